"""Native arrays among processes, threads, signals and event loops."""

import asyncio
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import dask.array
import fuzarr
import numpy as np
import pytest


def make(path, **options):
    options = {"chunks": (10, 10), "shards": (50, 50)} | options
    array = fuzarr.create_array(path, shape=(200, 200), dtype="i4", **options)
    array[...] = np.arange(40_000).reshape(200, 200)
    return array


def slow(path):
    """An array of which a column takes many seconds to read: 3000 chunks are decoded for it."""
    array = fuzarr.create_array(
        path, shape=(3000, 1 << 22), dtype="u1", chunks=(1, 1 << 22), compressors="gzip"
    )
    array[...] = 1
    return array


def total(array):
    return int(array[...].sum()), len(array.attrs)


def test_pickles_open_the_same_again(tmp_path):
    array = make(tmp_path / "x", config={"write_empty_chunks": True})
    reader = fuzarr.open(tmp_path / "x", mode="r")
    group = fuzarr.create_group(tmp_path / "g", attributes={"a": 1})
    for node in (array, reader, group, array.store):
        again = pickle.loads(pickle.dumps(node))
        assert again == node
        assert hash(again) == hash(node)
        assert type(again) is type(node)
    again = pickle.loads(pickle.dumps(array))
    assert again.config == array.config
    assert pickle.loads(pickle.dumps(reader)).read_only
    assert array.with_config({"write_empty_chunks": False}) != array
    assert array != group
    with pytest.raises(TypeError, match="memory"):
        pickle.dumps(fuzarr.zeros(3))


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_worker_process_takes_an_array(method, tmp_path):
    array = make(tmp_path)
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        assert list(pool.map(total, [array] * 4)) == [total(array)] * 4


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_arrays_survive_forks_after_use(tmp_path):
    array = make(tmp_path)
    expected = total(array)
    for _ in range(3):
        child = os.fork()
        if child == 0:
            right = total(array) == expected and total(fuzarr.open(tmp_path)) == expected
            os._exit(0 if right else 1)
        deadline = time.monotonic() + 60
        while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
            assert time.monotonic() < deadline, "the child hangs"
            time.sleep(0.01)
        assert ended == (child, 0)
        assert total(array) == expected


FIRST_USE = """
import builtins, os, sys, threading, time
import numpy as np
import fuzarr

array = fuzarr.open(sys.argv[1])
target = np.empty(array.shape, array.dtype)
uses = {
    "read": lambda: array[...],
    "one": lambda: array[0, 0],
    "row": lambda: array[np.int64(1)],
    "list": lambda: array[[0, 2]],
    "mask": lambda: array[np.ones(array.shape, bool)],
    "target": lambda: array.read(..., out=target),
    "write": lambda: array.__setitem__((0, 0), 7),
    "rows": lambda: array.__setitem__(slice(0, 2), np.ones((2, array.shape[1]), "i2")),
    "text": lambda: fuzarr.full((2,), "a", dtype="string")[...],
}
plain = builtins.__import__
looking, forked = threading.Event(), threading.Event()

def slow(name, *arguments, **options):
    # Another thread runs, and forks, while one looks up what it needs of NumPy.
    if threading.current_thread() is not threading.main_thread() and name == "numpy":
        looking.set()
        forked.wait()
    return plain(name, *arguments, **options)

for name, use in uses.items():
    looking.clear()
    forked.clear()
    thread = threading.Thread(target=use, daemon=True)
    builtins.__import__ = slow
    thread.start()
    while thread.is_alive() and not looking.wait(0.005):
        pass
    builtins.__import__ = plain
    child = os.fork()
    if child == 0:
        use()
        os._exit(0)
    deadline = time.monotonic() + 20
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(child, 9)
            sys.exit(f"{name}: the child hangs")
        time.sleep(0.005)
    assert ended[1] == 0, name
    forked.set()
    thread.join()
print("done")
"""


# Seen to fail when NumPy's functions were looked up, once, by whoever used them first.
def test_a_fork_during_the_first_use_of_numpy_leaves_nothing_to_wait_for(tmp_path):
    make(tmp_path / "x")
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FIRST_USE, tmp_path / "x"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.stdout.endswith("done\n"), run.stderr


@pytest.mark.parametrize("layout", [{}, {"shards": None}])
def test_eight_threads_share_an_array(layout, tmp_path):
    array = make(tmp_path, **layout)
    model = array[...]

    def work(number):
        # Each has rows of its own, all have chunks in common.
        rows = slice(number, None, 8)
        for step in range(4):
            array[rows] = model[rows] + step
            np.testing.assert_array_equal(array[rows], model[rows] + step)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    np.testing.assert_array_equal(array[...], model + 3)


LONG_READ = """
import signal, sys, time, fuzarr, numpy as np
# What a shell runs in the background ignores it, and so does what that runs.
signal.signal(signal.SIGINT, signal.default_int_handler)
array = fuzarr.open(sys.argv[1], mode="r")
print("reading", flush=True)
began = time.monotonic()
try:
    while time.monotonic() < began + 60:
        array[:, 0]
except KeyboardInterrupt:
    print(f"stopped after {time.monotonic() - began:.3f}", flush=True)
    # What was interrupted can be used again.
    assert array[5, 5] == 1
    sys.exit(7)
"""


def test_ctrl_c_ends_a_long_read_within_a_second(tmp_path):
    slow(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-c", LONG_READ, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout.readline() == "reading\n"
        time.sleep(0.5)
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        answer = process.stdout.read()
        process.wait(60)
        assert time.monotonic() - sent < 1
    assert answer.startswith("stopped after")
    assert process.returncode == 7


def test_what_a_handler_raises_ends_a_request(tmp_path):
    array = slow(tmp_path)

    class EnoughError(Exception):
        pass

    def handler(*_):
        raise EnoughError

    before = signal.signal(signal.SIGALRM, handler)
    began = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(EnoughError):
            array[:, 0]
    finally:
        signal.signal(signal.SIGALRM, before)
    assert 0.2 <= time.monotonic() - began < 1.2


def test_reads_for_an_event_loop(tmp_path):
    array = make(tmp_path)

    async def many():
        reads = [array.read_async((slice(row, row + 20),)) for row in range(0, 200, 20)]
        return np.concatenate(await asyncio.gather(*reads))

    np.testing.assert_array_equal(asyncio.run(many()), array[...])

    async def into():
        out = np.empty(200, "i4")
        assert await array.read_async((slice(None), 3), out=out) is out
        return out

    np.testing.assert_array_equal(asyncio.run(into()), array[:, 3])

    async def wrong():
        await array.read_async(200)

    with pytest.raises(IndexError):
        asyncio.run(wrong())


def test_ending_a_task_ends_its_read(tmp_path):
    array = slow(tmp_path)
    beats = 0

    async def main():
        nonlocal beats
        reading = asyncio.create_task(array.read_async((slice(None), 0)))
        for _ in range(10):
            await asyncio.sleep(0.01)
            beats += 1
        began = time.monotonic()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert time.monotonic() - began < 1

    asyncio.run(main())
    assert beats == 10


def test_writes_for_an_event_loop(tmp_path):
    array = make(tmp_path)
    expected = array[...]

    async def many():
        writes = [
            array.write_async(
                (slice(row, row + 20), [3, 5]), np.full((20, 2), row), mode="orthogonal"
            )
            for row in range(0, 200, 20)
        ]
        assert await asyncio.gather(*writes) == [None] * 10

    asyncio.run(many())
    for row in range(0, 200, 20):
        expected[row : row + 20, [3, 5]] = row
    np.testing.assert_array_equal(array[...], expected)

    async def wrong(*arguments, **named):
        await array.write_async(*arguments, **named)

    with pytest.raises(IndexError):
        asyncio.run(wrong(200, 1))
    with pytest.raises(ValueError, match="mode"):
        asyncio.run(wrong(0, 1, mode="no such"))
    np.testing.assert_array_equal(array[...], expected)
    array = fuzarr.open_array(tmp_path, mode="r")
    with pytest.raises(PermissionError):
        asyncio.run(wrong(0, 1))


def test_ending_a_task_ends_its_write(tmp_path):
    array = slow(tmp_path)

    async def main():
        writing = asyncio.create_task(array.write_async((slice(None), 0), 77))
        await asyncio.sleep(0.1)
        began = time.monotonic()
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        assert time.monotonic() - began < 1

    asyncio.run(main())
    assert set(array[:40, 0].tolist()) <= {1, 77}
    assert (array[-20:, 0] == 1).all()


def test_the_interpreter_goes_on_during_a_read(tmp_path):
    array = fuzarr.create_array(tmp_path, shape=(2_000_000,), dtype="u1", chunks=(2,))
    done = threading.Event()
    counted = 0

    def count():
        nonlocal counted
        while not done.is_set():
            counted += 1
            time.sleep(0.001)

    counter = threading.Thread(target=count)
    counter.start()
    began = time.monotonic()
    array[:]
    took = time.monotonic() - began
    done.set()
    counter.join()
    assert counted > min(took, 5) * 1000 / 20


def test_dask_cuts_along_shards(tmp_path):
    array = make(tmp_path)
    with dask.config.set({"array.chunk-size": "12kiB"}):
        lazy = dask.array.from_array(array)
    assert lazy.dtype == array.dtype
    assert len(lazy.chunks[0]) > 1
    for lengths in lazy.chunks:
        assert all(edge % 50 == 0 for edge in np.cumsum(lengths))
    np.testing.assert_array_equal((lazy[3:] + 1).compute(scheduler="threads"), array[3:] + 1)
    one, two = fuzarr.open(tmp_path), fuzarr.open(tmp_path)
    assert dask.array.from_array(one).name == dask.array.from_array(two).name
    other = make(tmp_path / "other")
    assert dask.array.from_array(other).name != lazy.name
    target = fuzarr.zeros_like(array, store=tmp_path / "target")
    dask.array.store(lazy * 2, target, lock=False, scheduler="threads")
    np.testing.assert_array_equal(target[...], array[...] * 2)


def test_options_by_name_and_environment(tmp_path):
    array = make(tmp_path)
    assert fuzarr.config["workers"] == 0
    with fuzarr.config.set(workers=1, memory="64MiB", index_cache=False):
        assert fuzarr.config["memory"] == 64 << 20
        assert fuzarr.config["index_cache"] is False
        assert array[5, 5] == 1005
    assert fuzarr.config["memory"] is None
    assert fuzarr.config.get("nonesuch") is None
    for wrong in [{"workers": "many"}, {"nonesuch": 1}, {"operations": 0}]:
        with pytest.raises(ValueError, match=next(iter(wrong))):
            fuzarr.config.set(wrong)
    with pytest.raises(TypeError):
        fuzarr.config.set(workers=[1])
    assert fuzarr.config["workers"] == 0
    program = "import fuzarr; print(fuzarr.config['workers'], fuzarr.config['streaming'])"
    environment = os.environ | {"FUZARR_WORKERS": "3", "FUZARR_STREAMING": "off"}
    answer = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert answer.stdout == "3 False\n"
    bad = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"FUZARR_WORKERS": "many"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "FUZARR_WORKERS" in bad.stderr


@pytest.mark.parametrize("shards", [None, (50, 50)])
def test_decoded_chunks_are_kept_if_that_is_asked_for(tmp_path, shards):
    array = make(tmp_path, shards=shards)
    expected = array[...]
    time.sleep(0.2)  # a file that was just changed may change again without a trace

    def costs():
        return array.explain((slice(3, 60), slice(7, 90)), exact=True)

    with fuzarr.config.set(chunk_cache="8MiB"):
        assert fuzarr.config["chunk_cache"] == 8 << 20
        cold = costs()
        np.testing.assert_array_equal(array[3:60, 7:90], expected[3:60, 7:90])
        warm = costs()
        assert cold.fetched[0] > 0
        assert (warm.fetched, warm.decoded) == ((0, 0), (0, 0))
        for key in np.s_[3:60, 7:90], np.s_[59:3:-4, 8], np.s_[[5, 3, 30], 20:40]:
            np.testing.assert_array_equal(array[key], expected[key])
        # Another handle's writes are seen, and the rest is still known.
        fuzarr.open(tmp_path)[5, 8] = expected[5, 8] = -1
        assert 0 < costs().fetched[0] < cold.fetched[0]
        np.testing.assert_array_equal(array[3:60, 7:90], expected[3:60, 7:90])
    np.testing.assert_array_equal(array[...], expected)
    assert costs().fetched[0] > 0


def test_importing_fuzarr_imports_no_other_engine():
    program = "import sys, fuzarr; print([m for m in ('zarr', 'dask') if m in sys.modules])"
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert answer.stdout == "[]\n"


def test_the_command_comes_with_the_package(tmp_path):
    make(tmp_path / "x.zarr")
    command = os.path.join(os.path.dirname(sys.executable), "fuzarr")
    answer = subprocess.run(
        [command, "get", tmp_path / "x.zarr", "5,5"], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "1005"
    missing = subprocess.run(
        [command, "info", tmp_path / "none"], capture_output=True, text=True, check=False
    )
    assert missing.returncode == 2
    assert "none" in missing.stderr


def test_the_stubs_are_what_the_module_is(tmp_path):
    answer = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "fuzarr"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_type_checkers_know_every_name_and_no_other(tmp_path):
    lazy = ["FuzarrCodecPipeline", "accelerate_zarr", "pipeline_counts", "pipeline_report"]
    assert {*fuzarr.__all__, *lazy} <= set(dir(fuzarr))
    program = tmp_path / "program.py"
    names = "".join(f"fuzarr.{name}\n" for name in [*fuzarr.__all__, *lazy])
    program.write_text(f"import fuzarr\n{names}fuzarr.pipeline_rapport\n")
    answer = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", program],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(Path(fuzarr.__file__).parent.parent)},
    )
    errors = [line for line in answer.stdout.splitlines() if "error:" in line]
    assert len(errors) == 1, answer.stdout + answer.stderr
    assert 'has no attribute "pipeline_rapport"' in errors[0]


def test_explanations_tell_what_a_read_takes(tmp_path):
    array = make(tmp_path)
    whole = array.explain()
    assert (whole.elements, whole.bytes, whole.objects) == (40_000, 160_000, 16)
    part = array.explain((slice(0, 5), slice(0, 5)), exact=True)
    assert (part.objects, part.chunks, part.decoded) == (1, 1, (1, 1))
    assert part.requests[0] >= 1
    assert "Objects" in repr(part)
    assert "\033" not in repr(part)
    assert (part.seconds, part.price) == (None, None)
    far = array.explain(exact=True, latency=0.05, bandwidth=1e6, price=0.001)
    assert far.requests == (16, 16)
    for seconds, price in zip(far.seconds, far.price, strict=True):
        assert seconds == pytest.approx(0.05 + far.fetched[0] / 1e6)
        assert price == pytest.approx(0.016)
    assert "Time" in repr(far)
    assert "Price" in repr(far)
    for wrong in [{"latency": -1.0}, {"bandwidth": float("nan")}, {"price": float("inf")}]:
        with pytest.raises(ValueError, match=next(iter(wrong))):
            array.explain(**wrong)
    with pytest.raises(IndexError):
        array.explain(200)


def test_what_is_stored_is_counted(tmp_path):
    array = fuzarr.create_array(
        tmp_path, shape=(100,), dtype="i4", chunks=(10,), shards=(50,), compressors=None
    )
    assert (array.nchunks, array.nchunks_initialized) == (10, 0)
    array[:5] = 1
    assert array.nchunks_initialized == 5
    files = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert array.nbytes_stored() == files
    for text in (repr(array), repr(array.info), array._repr_html_()):
        assert "100" in text
        assert str(tmp_path) in text


def test_pickles_keep_that_writes_are_synced(tmp_path):
    store = fuzarr.Store.local(tmp_path / "synced", fsync=True)
    array = fuzarr.create_array(store, shape=(10,), chunks=(5,), dtype="i4")
    again = pickle.loads(pickle.dumps(array))
    again[:] = np.arange(10)
    np.testing.assert_array_equal(array[:], np.arange(10))
    assert again == array
    assert again.store.__reduce__()[0] == fuzarr.Store._synced
    assert fuzarr.Store.local(tmp_path / "plain").__reduce__()[0] == fuzarr.Store.local
    pickled = pickle.dumps(array)
    shutil.rmtree(tmp_path / "synced")
    with pytest.raises(FileNotFoundError):
        pickle.loads(pickled)
    assert not (tmp_path / "synced").exists()

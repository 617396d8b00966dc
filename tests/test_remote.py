"""Remote stores: beside zarr-python on a server that others wrote, and on one that obeys."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time

import fuzarr
import numpy as np
import pytest
import zarr

import servers
import shell


@pytest.fixture(scope="module")
def azurite():
    if not servers.AZURITE.exists():
        pytest.skip("there is no Azurite: `make test` installs it if there is npm")
    with servers.azurite() as service:
        yield service


@pytest.fixture(params=["obedient", "moto", "azurite"])
def service(request):
    service = request.getfixturevalue(request.param)
    if request.param == "obedient":
        service.order()
    return service


@pytest.fixture
def place(request):
    """A path that no other test has."""
    return request.node.name.replace("[", "-").replace("]", "") + ".zarr"


LAYOUTS = {
    "chunks": {"chunks": (10, 10)},
    "shards": {"chunks": (5, 5), "shards": (20, 20)},
    "v2": {"chunks": (10, 10), "zarr_format": 2},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_fuzarr_writes_zarr_reads(service, place, layout):
    expected = np.arange(40 * 30, dtype="i4").reshape(40, 30)
    array = fuzarr.create_array(
        service.url(place),
        shape=expected.shape,
        dtype="i4",
        storage_options=service.options,
        **LAYOUTS[layout],
    )
    array[...] = expected
    np.testing.assert_array_equal(array[...], expected)
    array[3:17, 8:12] = expected[3:17, 8:12] = -5
    np.testing.assert_array_equal(array[2:19:3, 7:13], expected[2:19:3, 7:13])
    theirs = zarr.open_array(service.zarr_store(place), mode="r")
    np.testing.assert_array_equal(theirs[...], expected)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_zarr_writes_fuzarr_reads_and_changes(service, place, layout):
    expected = np.arange(40 * 30, dtype="f8").reshape(40, 30)
    theirs = zarr.create_array(
        service.zarr_store(place), shape=expected.shape, dtype="f8", **LAYOUTS[layout]
    )
    theirs[...] = expected
    array = fuzarr.open_array(service.url(place), storage_options=service.options)
    np.testing.assert_array_equal(array[...], expected)
    np.testing.assert_array_equal(array[5, ::7], expected[5, ::7])
    array[39] = expected[39] = 0.5
    np.testing.assert_array_equal(theirs[...], expected)


def test_groups_attributes_and_growth(service, place):
    root = fuzarr.open_group(
        service.url(place), mode="w", storage_options=service.options, attributes={"a": 1}
    )
    for name in ("x", "y", "deep/er"):
        root.create_array(name, shape=(10,), dtype="u1", chunks=(5,))
    assert sorted(root) == ["deep", "x", "y"]
    array = root["deep/er"]
    array.append(np.arange(5, dtype="u1"))
    array.attrs["unit"] = "m"
    again = fuzarr.open_group(service.url(place), mode="r", storage_options=service.options)
    np.testing.assert_array_equal(again["deep/er"][...], [0] * 10 + [0, 1, 2, 3, 4])
    assert again.attrs["a"] == 1
    theirs = zarr.open_group(service.zarr_store(place), mode="r")
    assert theirs["deep/er"].attrs["unit"] == "m"
    del root["x"]
    assert sorted(fuzarr.open_group(service.url(place), storage_options=service.options)) == [
        "deep",
        "y",
    ]


def test_the_shell_takes_addresses(service, place, tmp_path):
    def fuzarr_at(*arguments, **expected):
        return shell.fuzarr(*arguments, environment=os.environ | service.environment, **expected)

    source, copy = service.url(place) + "/a/b", service.url("copy-" + place)
    fuzarr_at("create", source, "--shape", "20,20", "--dtype", "int16", "--chunks", "5,5")
    fuzarr_at("put", source, "3:9, 4", "7")
    assert "int16" in fuzarr_at("info", source).out
    assert "0 7 0" in fuzarr_at("get", source, "3, 3:6").out
    assert "b" in fuzarr_at("tree", service.url(place)).out
    fuzarr_at("copy", source, copy, "--chunks", "10,10", "--verify")
    fuzarr_at("copy", copy, tmp_path / "here.zarr", "--verify")
    assert fuzarr.open_array(tmp_path / "here.zarr")[5, 4] == 7
    assert "fine" in fuzarr_at("verify", copy).out
    fuzarr_at("rm", copy)
    assert "no" in fuzarr_at("info", copy, code=2).err


def test_a_web_server_is_read_with_ranges_or_without(obedient, place, tmp_path):
    values = np.arange(400, dtype="u2").reshape(20, 20)
    layout = {"chunks": (5, 5), "shards": (10, 10)}
    array = fuzarr.create_array(
        obedient.url(place), data=values, storage_options=obedient.options, **layout
    )
    with_ranges = f"{obedient.endpoint}/{obedient.bucket}/{place}"
    fuzarr.create_array(tmp_path / place, data=values, **layout)
    with servers.folder(tmp_path) as address:
        for url in (with_ranges, f"{address}/{place}"):
            array = fuzarr.open_array(url, mode="r")
            np.testing.assert_array_equal(array[...], values)
            np.testing.assert_array_equal(array[3:12, 7], values[3:12, 7])
            with pytest.raises(fuzarr.errors.NotFoundError):
                fuzarr.open_array(url + "/nothing", mode="r")


def test_decoded_chunks_of_a_remote_array_are_kept_if_that_is_asked_for(obedient, place):
    obedient.order()
    values = np.arange(400, dtype="u2").reshape(20, 20)
    options = {"storage_options": obedient.options}
    theirs = fuzarr.create_array(
        obedient.url(place), data=values, chunks=(5, 5), shards=(10, 10), **options
    )
    array = fuzarr.open_array(obedient.url(place), **options)
    with fuzarr.config.set(chunk_cache=1 << 20, index_staleness=600):
        np.testing.assert_array_equal(array[...], values)
        assert array.explain(exact=True).fetched == (0, 0)
        # As long as nothing is asked, nothing is seen.
        theirs[3, 3] = 1
        np.testing.assert_array_equal(array[2:8, 2:8], values[2:8, 2:8])
        fuzarr.config.set(index_staleness=0)
        values[3, 3] = 1
        np.testing.assert_array_equal(array[...], values)
        array[4, 4] = values[4, 4] = 2
        fuzarr.config.set(index_staleness=600)
        np.testing.assert_array_equal(array[...], values)


# Seen to fail: nothing looked for signals before the store had answered.
def test_a_signal_ends_the_opening_of_nodes(obedient, place):
    class EnoughError(Exception):
        pass

    def handler(*_):
        raise EnoughError

    obedient.order()
    url, options = obedient.url(place), {"storage_options": obedient.options}
    group = fuzarr.create_group(url, **options)
    array = group.create_array("a", shape=(30,), chunks=(10,), dtype="u1")
    looks = {
        "open": lambda: fuzarr.open(url, mode="r", **options),
        "open_array": lambda: fuzarr.open_array(f"{url}/a", mode="r", **options),
        "open_group": lambda: fuzarr.open_group(url, mode="r", **options),
        "member": lambda: group["a"],
        "contains": lambda: "a" in group,
        "keys": lambda: list(group),
        "stored": array.nbytes_stored,
    }
    before = signal.signal(signal.SIGALRM, handler)
    obedient.order(latency=5000)
    try:
        for name, look in looks.items():
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            began = time.monotonic()
            with pytest.raises(EnoughError):
                look()
            assert time.monotonic() - began < 2, name
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        obedient.order()
    assert list(group) == ["a"]


def test_stores_pickle_and_survive_forks(obedient, place):
    obedient.order()
    array = fuzarr.create_array(
        obedient.url(place),
        data=np.arange(100, dtype="u1"),
        chunks=(10,),
        storage_options=obedient.options,
    )
    again = pickle.loads(pickle.dumps(array))
    np.testing.assert_array_equal(again[...], array[...])
    assert "secret" not in repr(array.store)
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        same = bool((array[...] == np.arange(100)).all())
        array[5] = 200
        os._exit(0 if same and array[5] == 200 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert array[5] == 200


def test_faults_pass_or_are_told_and_nothing_is_filled(obedient, place):
    obedient.order()
    values = np.arange(1, 101, dtype="u1")
    array = fuzarr.create_array(
        obedient.url(place), data=values, chunks=(10,), storage_options=obedient.options
    )
    obedient.order(rules=[{"path": place, "one_in": 3, "fault": ["status", 503]}])
    np.testing.assert_array_equal(array[...], values)
    obedient.order(rules=[{"path": "c/4", "fault": ["status", 403]}])
    with pytest.raises(fuzarr.errors.StoreError, match="denies access") as raised:
        array[...]
    assert raised.value.context["key"] == "c/4"
    np.testing.assert_array_equal(array[:40], values[:40])
    obedient.order()


def test_an_interrupt_ends_a_request_that_waits(obedient, place):
    obedient.order()
    fuzarr.create_array(
        obedient.url(place),
        data=np.arange(1000, dtype="u1"),
        chunks=(1,),
        storage_options=obedient.options,
    )
    program = f"""
import fuzarr, signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
array = fuzarr.open_array({obedient.url(place)!r}, storage_options={obedient.options!r})
print("ready", flush=True)
begun = time.monotonic()
try:
    array[...]
except KeyboardInterrupt:
    print(time.monotonic() - begun)
"""
    obedient.order(latency=2000)
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert float(process.stdout.readline()) < 1.9
    obedient.order()


def test_many_threads_share_a_store(obedient, place):
    obedient.order(latency=5)
    values = np.arange(400, dtype="u2").reshape(20, 20)
    array = fuzarr.create_array(
        obedient.url(place), data=values, chunks=(5, 5), storage_options=obedient.options
    )
    wrong = []

    def read():
        for row in range(20):
            if not np.array_equal(array[row], values[row]):
                wrong.append(row)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    obedient.order()


def test_writers_of_one_shard_at_a_service_do_not_undo_each_other(service, place):
    layout = {"shape": (32, 8), "dtype": "u2", "chunks": (4, 4), "shards": (32, 8)}
    options = service.options
    fuzarr.create_array(service.url(place), storage_options=options, **layout)
    failures = []

    def write(row):
        try:
            array = fuzarr.open_array(service.url(place), storage_options=options)
            for column in range(8):
                array[row, column] = 8 * row + column + 1
        except Exception as failure:
            failures.append(failure)

    threads = [threading.Thread(target=write, args=[row]) for row in range(0, 32, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    expected = np.zeros((32, 8), "u2")
    expected[::5] = np.arange(1, 257).reshape(32, 8)[::5]
    array = fuzarr.open_array(service.url(place), storage_options=options)
    np.testing.assert_array_equal(array[...], expected)
    # A part of a shard: where the last bytes cannot be asked for, its size is asked for before.
    with fuzarr.config.set(one_round_trip=False):
        np.testing.assert_array_equal(array[5:9, 2:7:2], expected[5:9, 2:7:2])
    # Claims of what is there already are conflicts.
    with pytest.raises(fuzarr.errors.ExistsError):
        fuzarr.create_array(service.url(place), storage_options=options, **layout)


def test_a_large_shard_goes_up_in_parts(service, place):
    values = np.random.default_rng(9).integers(0, 256, 40 << 20, dtype="u1")
    array = fuzarr.create_array(
        service.url(place),
        data=values,
        chunks=(1 << 20,),
        shards=(40 << 20,),
        storage_options=service.options,
    )
    np.testing.assert_array_equal(array[5 << 20 : 35 << 20], values[5 << 20 : 35 << 20])
    array[1_000_000:2_000_000] = values[1_000_000:2_000_000] = 3
    theirs = zarr.open_array(service.zarr_store(place), mode="r")
    np.testing.assert_array_equal(theirs[: 3 << 20], values[: 3 << 20])


WRITERS, ROUNDS = 8, 6

# Sets its own rows of the shard again and again, a piece of a chunk at a time.
WRITER = """
import sys, fuzarr, numpy as np
url, writer, writers, rounds, options = sys.argv[1], *map(int, sys.argv[2:5]), eval(sys.argv[5])
array = fuzarr.open_array(url, storage_options=options)
print("ready", flush=True)
sys.stdin.read()
for number in range(1, rounds + 1):
    for column in range(0, array.shape[1], 16):
        place = slice(writer, None, writers), slice(column, column + 16)
        array[place] = 1000 * writer + number
"""


def test_processes_that_change_one_shard_lose_nothing_though_answers_do(obedient, place):
    obedient.order()
    fuzarr.create_array(
        obedient.url(place),
        shape=(16, 32),
        dtype="u2",
        chunks=(4, 8),
        shards=(16, 32),
        storage_options={**obedient.options, "first_pause": "0.01"},
    )
    arguments = [str(WRITERS), str(ROUNDS), repr({**obedient.options, "first_pause": "0.01"})]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, obedient.url(place), str(writer), *arguments], **pipes
        )
        for writer in range(WRITERS)
    ]
    try:
        assert [process.stdout.readline() for process in processes] == ["ready\n"] * WRITERS
        # Puts are carried out and nobody is told; answers to gets end early.
        at_random = [("PUT", "lost", 12), ("GET", ["truncated", 20], 20)]
        obedient.order(
            latency=1,
            rules=[
                {"method": method, "path": f"{place}/c/", "one_in": one_in, "fault": fault}
                for method, fault, one_in in at_random
            ],
        )
        obedient.requests()
        for process in processes:
            process.stdin.close()
        assert [process.wait(timeout=120) for process in processes] == [0] * WRITERS
    finally:
        obedient.order()
        for process in processes:
            process.kill()
            process.stdout.close()
            process.wait()
    requests = obedient.requests()
    # They did meet, and answers did get lost.
    assert any(status == 412 and method == "PUT" for method, *_, status in requests)
    assert any(status == 0 and method == "PUT" for method, *_, status in requests)
    expected = np.repeat(1000 * (np.arange(16, dtype="u2") % WRITERS) + ROUNDS, 32)
    for engine in (
        fuzarr.open_array(obedient.url(place), storage_options=obedient.options),
        zarr.open_array(obedient.zarr_store(place), mode="r"),
    ):
        np.testing.assert_array_equal(engine[...], expected.reshape(16, 32))


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("s3://bucket/x", {"regoin": "x"}),
        ("s3:///x", {"region": "x"}),
        ("s3://bucket/x?y=z", {"region": "x"}),
    ],
)
def test_what_makes_no_sense_is_told_before_anything_is_asked(url, options):
    with pytest.raises(fuzarr.errors.ArgumentError):
        fuzarr.open(url, mode="r", storage_options=options)
    with pytest.raises(TypeError):
        fuzarr.open(fuzarr.Store.memory(), storage_options={"region": "x"})

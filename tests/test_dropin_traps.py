"""What breaks plug-ins of zarr-python: each trap has its test."""

import asyncio
import contextlib
import gc
import inspect
import json
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import fuzarr
import numcodecs
import numpy as np
import pytest
import zarr
from zarr.abc.store import Store
from zarr.codecs import BytesCodec, Crc32cCodec, GzipCodec, ShardingCodec, ZstdCodec
from zarr.core.buffer import BufferPrototype, cpu, default_buffer_prototype
from zarr.core.sync import sync
from zarr.errors import ChunkNotFoundError
from zarr.storage import LocalStore, LoggingStore, MemoryStore, ZipStore
from zarr.testing.store import LatencyStore

import dropin

VALUES = np.arange(120, dtype="i4").reshape(10, 12)


@pytest.fixture(autouse=True)
def use_fuzarr():
    with dropin.pipeline():
        yield


def create(store=None, **options):
    store = MemoryStore() if store is None else store
    defaults = {"shape": VALUES.shape, "chunks": (4, 5), "dtype": "i4"}
    return zarr.create_array(store, **{**defaults, **options})


def run(code, **environment):
    """The output of a new interpreter."""
    environment = {**os.environ, **environment}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True)


def test_importing_fuzarr_does_not_import_zarr():
    assert run("import fuzarr, sys; print('zarr' in sys.modules)").stdout == "False\n"


def test_the_pipeline_is_found_by_its_entry_point():
    code = "import zarr, sys; a = zarr.ones(3); print(type(a.async_array.codec_pipeline).__name__)"
    path = dropin.PIPELINES["fuzarr"]
    assert run(code, ZARR_CODEC_PIPELINE__PATH=path).stdout == "FuzarrCodecPipeline\n"


@pytest.mark.parametrize("shards", [None, (8, 10)])
def test_a_live_pipeline_follows_resize_and_append(shards):
    array = create(shards=shards)
    array[...] = VALUES
    array.resize((13, 7))
    expected = np.zeros((13, 7), dtype="i4")
    expected[:10] = VALUES[:, :7]
    np.testing.assert_array_equal(array[...], expected)
    array[12] = expected[12] = 5
    array.append(np.ones((3, 7), dtype="i4"))
    expected = np.concatenate([expected, np.ones((3, 7), dtype="i4")])
    np.testing.assert_array_equal(array[...], expected)
    np.testing.assert_array_equal(zarr.open_array(array.store)[...], expected)


def test_arrays_pickle_and_are_equal(tmp_path):
    array = create(LocalStore(tmp_path))
    array[...] = VALUES
    other = pickle.loads(pickle.dumps(array))
    assert other == array
    assert other.async_array.codec_pipeline == array.async_array.codec_pipeline
    assert type(other.async_array.codec_pipeline) is fuzarr.FuzarrCodecPipeline
    np.testing.assert_array_equal(other[...], VALUES)
    assert array != create(compressors=None)
    assert zarr.open_array(array.store) == array


class Doubling(GzipCodec):
    """A codec that a user registered in the place of a built-in one."""

    def _encode_sync(self, chunk_bytes, chunk_spec):
        return super()._encode_sync(super()._encode_sync(chunk_bytes, chunk_spec), chunk_spec)

    def _decode_sync(self, chunk_bytes, chunk_spec):
        return super()._decode_sync(super()._decode_sync(chunk_bytes, chunk_spec), chunk_spec)

    async def _encode_single(self, chunk_bytes, chunk_spec):
        return self._encode_sync(chunk_bytes, chunk_spec)

    async def _decode_single(self, chunk_bytes, chunk_spec):
        return self._decode_sync(chunk_bytes, chunk_spec)


@pytest.mark.parametrize("shards", [None, (8, 10)])
def test_a_codec_in_place_of_a_built_in_one_is_used(shards):
    stored = {}
    for name in ("fused", "fuzarr"):
        with dropin.pipeline(name):
            array = create(compressors=Doubling(), shards=shards)
            with dropin.served(*(["read fallback", "write fallback"] if name == "fuzarr" else [])):
                array[...] = VALUES
                np.testing.assert_array_equal(array[...], VALUES)
            stored[name] = dropin.objects(array.store)
    assert stored["fuzarr"] == stored["fused"]


def test_a_codec_of_numcodecs_that_a_user_replaced_is_used():
    class Own(numcodecs.Zlib):
        codec_id = "zlib"

        def encode(self, buf):
            return super().encode(super().encode(buf))

        def decode(self, buf, out=None):
            return super().decode(super().decode(buf), out)

    array = create(zarr_format=2, compressors=Own())
    with dropin.served("read fallback", "write fallback"):
        array[...] = VALUES
        np.testing.assert_array_equal(array[...], VALUES)


def test_missing_chunks_are_reported():
    array = create(config={"read_missing_chunks": False})
    array[:4, :5] = 1
    with dropin.served("read native"):
        assert (array[:4, :5] == 1).all()
        with pytest.raises(ChunkNotFoundError):
            array[...]
    sharded = create(shards=(8, 10), config={"read_missing_chunks": False})
    sharded[0, 0] = 1
    assert sharded[:8, :10].sum() == 1, "a missing inner chunk is filled"
    with pytest.raises(ChunkNotFoundError):
        sharded[...]


def test_results_are_given_in_order():
    array = create()
    array[4:8, :5] = 1
    batch, out = items(array)
    results = sync(array.async_array.codec_pipeline.read(batch, out))
    assert [result["status"] for result in results] == [
        "present" if item[0].path.endswith("c/1/0") else "missing" for item in batch
    ]


def items(array):
    """The items of a read of all of an array, and an output for them."""
    inner = array.async_array
    pipeline, seen = inner.codec_pipeline, []

    class Spy(type(pipeline)):
        async def read(self, batch_info, out, drop_axes=()):
            seen.append((list(batch_info), out))
            return await super().read(seen[-1][0], out, drop_axes)

    spy = Spy(**{name: getattr(pipeline, name) for name in pipeline.__dataclass_fields__})
    object.__setattr__(inner, "codec_pipeline", spy)
    array[...]
    object.__setattr__(inner, "codec_pipeline", pipeline)
    return seen[0]


def test_parts_of_the_output_that_overlap_are_left_to_zarr_python():
    array = create(shape=(8,), chunks=(4,))
    array[...] = np.arange(8)
    (first, second), _ = items(array)
    out = cpu.NDBuffer(np.zeros(6, dtype="i4"))
    moved = (*second[:3], (slice(2, 6),), second[4])
    with dropin.served("read fallback"):
        sync(array.async_array.codec_pipeline.read([first, moved], out))
    assert out.as_numpy_array()[4:].tolist() == [6, 7]


def test_a_part_of_the_output_may_be_left_alone():
    for dtype in ("<i4", ">i4"):
        array = create(shape=(8,), chunks=(4,), dtype=dtype)
        array[...] = np.arange(8)
        (first, _), _ = items(array)
        out = cpu.NDBuffer(np.full(8, 9, dtype=dtype))
        sync(array.async_array.codec_pipeline.read([first], out))
        assert out.as_numpy_array().tolist() == [0, 1, 2, 3, 9, 9, 9, 9]


def test_methods_are_python():
    for name in ("read", "write", "read_sync", "write_sync"):
        assert "def " in inspect.getsource(getattr(fuzarr.FuzarrCodecPipeline, name))


class MyNDBuffer(cpu.NDBuffer):
    """A user's own buffer."""


class MyBuffer(cpu.Buffer):
    """A user's own buffer."""


def test_a_prototype_of_the_users_own_falls_back():
    array = create()
    prototype = BufferPrototype(buffer=MyBuffer, nd_buffer=MyNDBuffer)
    with dropin.served("read fallback", "write fallback"):
        array.set_basic_selection(slice(None), VALUES, prototype=prototype)
        read = array.get_basic_selection(slice(None), prototype=prototype)
    np.testing.assert_array_equal(read, VALUES)


class Stored(LatencyStore):
    """Notes of what class the buffers are that it is given."""

    kinds = ()

    async def set(self, key, value):
        self.kinds = (*self.kinds, type(value))
        await super().set(key, value)


def test_buffers_that_are_stored_are_of_the_prototype():
    store = Stored(MemoryStore(), get_latency=0, set_latency=0)
    create(store)[...] = VALUES
    assert set(store.kinds) == {default_buffer_prototype().buffer}


@pytest.mark.parametrize(
    ("wrap", "way"),
    [
        (lambda store: store, "native"),
        (LoggingStore, "foreign"),
        (lambda store: LatencyStore(store, get_latency=0, set_latency=0), "foreign"),
        (lambda store: type("Own", (MemoryStore,), {})(store._store_dict), "foreign"),
    ],
)
def test_only_the_stores_themselves_take_the_short_way(wrap, way):
    store = wrap(MemoryStore())
    array = create(store, shards=(8, 10))
    with dropin.served(f"read {way}", f"write {way}"):
        array[...] = VALUES
        array[3:5, 2:9] = 0
        read = array[1:9]
    expected = VALUES.copy()
    expected[3:5, 2:9] = 0
    np.testing.assert_array_equal(read, expected[1:9])


def test_zip_obstore_and_fsspec(tmp_path):
    import obstore.store
    from zarr.storage import FsspecStore, ObjectStore

    stores = [
        ZipStore(tmp_path / "a.zip", mode="w"),
        ObjectStore(obstore.store.MemoryStore()),
        FsspecStore.from_url(f"file://{tmp_path}/fsspec", storage_options={"auto_mkdir": True}),
    ]
    for store in stores:
        array = create(store, shards=(8, 10))
        with dropin.served("read foreign", "write foreign"):
            array[...] = VALUES
            np.testing.assert_array_equal(array[3:9, ::2], VALUES[3:9, ::2])
        store.close()


class StrictStore(MemoryStore):
    """Takes no range that ends after the object, as icechunk does; counts the tasks that read."""

    most_tasks = 0

    async def get(self, key, prototype=None, byte_range=None):
        self.most_tasks = max(self.most_tasks, len(asyncio.all_tasks()))
        value = await super().get(key, prototype)
        if value is None or byte_range is None:
            return value
        end = getattr(byte_range, "end", getattr(byte_range, "suffix", 0))
        if end > len(value):
            raise ValueError(f"{byte_range} is out of bounds for an object of {len(value)} bytes")
        await asyncio.sleep(0)
        return await super().get(key, prototype, byte_range)


# Seen to fail: more than the index was asked for, of a shard shorter than that.
@pytest.mark.parametrize("location", ["start", "end"])
def test_no_range_ends_after_an_object(location):
    codec = ShardingCodec(chunk_shape=(2, 5), index_location=location)
    array = create(StrictStore(), chunks=(8, 10), serializer=codec, compressors=None)
    array[...] = VALUES
    with dropin.served("read foreign"):
        np.testing.assert_array_equal(array[3:9, ::2], VALUES[3:9, ::2])
        assert array[9, 11] == VALUES[9, 11]
    array[3, 4:8] = 0
    assert array[3, :9].tolist() == [36, 37, 38, 39, 0, 0, 0, 0, 44]


# Seen to fail: each object had a task of its own.
def test_tasks_are_bounded():
    store = StrictStore()
    array = zarr.create_array(store, shape=2000, chunks=2, dtype="i4")
    array[...] = np.arange(2000)
    with zarr.config.set({"async.concurrency": 3, "codec_pipeline.max_workers": 2}):
        store.most_tasks = 0
        np.testing.assert_array_equal(array[...], np.arange(2000))
    assert 0 < store.most_tasks < 30


def test_a_read_only_store_refuses():
    store = MemoryStore()
    create(store)[...] = VALUES
    array = zarr.open_array(store.with_read_only(True), mode="r")
    with pytest.raises(ValueError, match="read-only"):
        array[...] = 1


@pytest.mark.parametrize("kind", ["memory", "local", "async"])
def test_damage_is_a_value_error(kind, tmp_path):
    store = dropin.make_store(kind, tmp_path)
    array = create(store, shards=(8, 10), compressors=[Crc32cCodec()])
    array[...] = VALUES
    key = "c/0/0"
    good = dropin.objects(store)[key]
    for bad in (good[:40], good[:20] + b"!" + good[21:], good[:-9] + b"!" + good[-8:]):
        sync(store.set(key, cpu.Buffer.from_bytes(bad)))
        for selection in (np.s_[...], np.s_[0:2, 0:3]):
            with pytest.raises(ValueError, match=r"codec: \w+.*key: c/0/0"):
                array[selection]


def test_a_heartbeat_on_zarr_pythons_loop_goes_on():
    """Neither codecs nor files are waited for on the loop."""
    array = create(shape=(6_000_000,), chunks=(500_000,), compressors=[ZstdCodec(level=9)])
    values = np.random.default_rng(1).integers(0, 1000, 6_000_000, dtype="i4")
    gaps, done = [], threading.Event()

    async def beat():
        last = time.monotonic()
        while not done.is_set():
            await asyncio.sleep(0.001)
            now = time.monotonic()
            gaps.append(now - last)
            last = now

    from zarr.core.sync import _get_loop

    future = asyncio.run_coroutine_threadsafe(beat(), _get_loop())
    begin = time.monotonic()
    with dropin.served("write native", "read native"):
        array[...] = values
        assert (array[...] == values).all()
    took = time.monotonic() - begin
    done.set()
    future.result(10)
    assert took > 0.1, "there was something to wait for"
    assert max(gaps) < took / 3
    assert len(gaps) > 20


def test_one_hop_per_call(monkeypatch):
    hops = []
    from fuzarr import _loop

    hop = _loop.hop
    monkeypatch.setattr(_loop, "hop", lambda *args: hops.append(args) or hop(*args))
    array = create(shape=(1000,), chunks=(1,))
    array[...] = np.arange(1000)
    assert array[...].sum() == 499_500
    assert len(hops) == 2


@pytest.mark.parametrize("accelerated", [False, True])
def test_what_is_awaited_and_short_makes_no_hop(monkeypatch, accelerated):
    from fuzarr import _loop

    store = LatencyStore(MemoryStore(), get_latency=0, set_latency=0)
    array = create(store, shape=(1000,), chunks=(1,))
    array[...] = np.arange(1000)
    hops = []
    hop = _loop.hop
    monkeypatch.setattr(_loop, "hop", lambda *args: hops.append(args) or hop(*args))
    acceleration = fuzarr.accelerate_zarr() if accelerated else contextlib.nullcontext()
    with dropin.served("read foreign"), acceleration:
        assert array[:16].sum() == 120
        assert not hops
        # Many items are prepared elsewhere; what was read is at its place.
        assert array[...].sum() == 499_500
        assert len(hops) == 1


def test_small_reads_of_files_stay_on_the_loop_unless_a_disk_has_to_be_waited_for(
    monkeypatch, tmp_path
):
    from fuzarr import _loop, _pipeline

    # Of this file system nobody has to wait for; the other may be any.
    memory = Path("/dev/shm")
    folder = tempfile.mkdtemp(dir=memory if memory.is_dir() else tmp_path)
    array = create(LocalStore(folder))
    array[...] = VALUES
    hops = []
    hop = _loop.hop
    monkeypatch.setattr(_loop, "hop", lambda *args: hops.append(args) or hop(*args))
    try:
        assert array[1, 2] == VALUES[1, 2]
        if memory.is_dir():
            assert not hops
        # As if the file were on the disk only: the call is made once more, off the loop.
        asked = []

        def at_hand(call):
            asked.append(call)
            call.cancel()

        monkeypatch.setattr(_pipeline, "_at_hand", at_hand)
        hops.clear()
        assert array[1, 2] == VALUES[1, 2]
        assert len(asked) == len(hops) == 1
        array[1, 2] = 7
        assert len(hops) == 2, "writes always leave the loop"
        assert len(asked) == 1
        assert array[1, 2] == 7
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("workers", [1, 2, "many"])
def test_workers_are_read_at_each_call(workers):
    array = create()
    with zarr.config.set({"codec_pipeline.max_workers": workers}):
        if workers == "many":
            with pytest.warns(UserWarning, match="invalid `codec_pipeline.max_workers`"):
                array[...] = VALUES
        else:
            array[...] = VALUES
    np.testing.assert_array_equal(array[...], VALUES)


@pytest.mark.parametrize("kind", ["memory", "local", "async"])
def test_threads_share_an_array(kind, tmp_path):
    array = create(
        dropin.make_store(kind, tmp_path), shape=(8, 400), chunks=(1, 50), shards=(1, 100)
    )
    problems = []

    def work(row):
        try:
            for value in range(1, 9):
                array[row] = value * 10 + row
                assert (array[row] == value * 10 + row).all()
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=work, args=(row,)) for row in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    np.testing.assert_array_equal(array[...], np.tile(80 + np.arange(8)[:, None], (1, 400)))


@pytest.mark.parametrize("kind", ["memory", "local"])
def test_threads_that_write_parts_of_one_chunk_lose_nothing(kind, tmp_path):
    array = create(dropin.make_store(kind, tmp_path), shape=(64,), chunks=(64,))
    threads = [
        threading.Thread(target=array.set_basic_selection, args=(slice(at, at + 8), at + 1))
        for at in range(0, 64, 8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert array[...].tolist() == [at // 8 * 8 + 1 for at in range(64)]


def read_in_child(array, queue):
    queue.put(int(array[...].sum()))


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_process_reads(method, tmp_path):
    array = create(LocalStore(tmp_path), shards=(8, 10))
    array[...] = VALUES
    assert array[...].sum() == VALUES.sum()
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    stop = threading.Event()

    def busy():
        while not stop.is_set():
            array[...]

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        children = [context.Process(target=read_in_child, args=(array, queue)) for _ in range(2)]
        for child in children:
            child.start()
        sums = [queue.get(timeout=60) for _ in children]
        for child in children:
            child.join(30)
    finally:
        stop.set()
        thread.join()
    assert sums == [int(VALUES.sum())] * 2


def test_buffers_of_a_store_in_memory_are_let_go_of():
    array = create(compressors=None)
    array[...] = VALUES
    array[...]
    gc.collect()
    data = array.store._store_dict["c/0/0"].as_numpy_array()
    held = [thing for thing in gc.get_referrers(data) if isinstance(thing, dict) and thing]
    assert all("c/0/0" not in thing for thing in held)


def test_values_are_not_kept_by_a_store_in_memory():
    array = create(compressors=None, chunks=VALUES.shape)
    values = VALUES.copy()
    array[...] = values
    values[...] = 0
    np.testing.assert_array_equal(array[...], VALUES)


def test_values_that_are_spread_as_numpy_does():
    for name in ("fused", "fuzarr"):
        with dropin.pipeline(name):
            array = create(chunks=VALUES.shape)
            array[...] = np.arange(12, dtype="i4")[None, :]
            np.testing.assert_array_equal(array[...], np.tile(np.arange(12), (10, 1)))


def test_a_report_says_what_runs_where():
    report = fuzarr.pipeline_report(create(shards=(8, 10)))
    assert "native" in str(report)
    report = fuzarr.pipeline_report(create(compressors=Doubling()))
    assert "Doubling" in str(report)
    store = LatencyStore(MemoryStore(), get_latency=0, set_latency=0)
    assert "LatencyStore" in str(fuzarr.pipeline_report(create(store)))
    with dropin.pipeline("fused"):
        assert "FusedCodecPipeline" in str(fuzarr.pipeline_report(create()))


def test_a_store_of_the_users_own():
    class Own(Store):
        """The least that a store has to have."""

        supports_writes = supports_deletes = supports_listing = True

        def __init__(self):
            super().__init__(read_only=False)
            self.objects = {}

        def __eq__(self, other):
            return self is other

        async def get(self, key, prototype=None, byte_range=None):
            store = MemoryStore(self.objects)
            return await store.get(key, prototype or default_buffer_prototype(), byte_range)

        async def get_partial_values(self, prototype, key_ranges):
            return [await self.get(key, prototype, part) for key, part in key_ranges]

        async def exists(self, key):
            return key in self.objects

        async def set(self, key, value):
            self.objects[key] = value

        async def delete(self, key):
            self.objects.pop(key, None)

        async def list(self):
            for key in self.objects:
                yield key

        async def list_prefix(self, prefix):
            for key in self.objects:
                if key.startswith(prefix):
                    yield key

        async def list_dir(self, prefix):
            async for key in MemoryStore(self.objects).list_dir(prefix):
                yield key

    array = create(Own(), shards=(8, 10))
    with dropin.served("read foreign", "write foreign"):
        array[...] = VALUES
        np.testing.assert_array_equal(array[2:9], VALUES[2:9])


def test_the_document_is_as_the_fused_pipeline_writes_it(tmp_path):
    documents = []
    for name in ("fused", "fuzarr"):
        with dropin.pipeline(name):
            create(
                LocalStore(tmp_path / name),
                serializer=ShardingCodec(chunk_shape=(2, 5), codecs=[BytesCodec(), ZstdCodec()]),
                compressors=None,
            )
        documents.append(json.loads((tmp_path / name / "zarr.json").read_text()))
    assert documents[0] == documents[1]


LONG_READ = """
import signal, sys, time, numpy as np, zarr, fuzarr
# What a shell runs in the background ignores it, and so does what that runs.
signal.signal(signal.SIGINT, signal.default_int_handler)
path = "fuzarr.FuzarrCodecPipeline"
zarr.config.set({"codec_pipeline.path": path, "codec_pipeline.max_workers": 1})
if sys.argv[2] == "accelerated":
    fuzarr.accelerate_zarr()
array = zarr.open_array(sys.argv[1])
print("begin", flush=True)
try:
    while True:
        array[...]
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize("way", ["plain", "accelerated"])
def test_an_interrupt_ends_a_long_read(way, tmp_path):
    array = create(
        LocalStore(tmp_path),
        shape=(1 << 27,),
        chunks=(1 << 16,),
        dtype="i4",
        compressors=[GzipCodec(level=1)],
    )
    array[: 1 << 20] = np.random.default_rng(3).integers(0, 1 << 30, 1 << 20)
    for chunk in range(16, 1 << 11):
        (tmp_path / "c" / str(chunk)).hardlink_to(tmp_path / "c" / "0")
    command = [sys.executable, "-c", LONG_READ, str(tmp_path), way]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "begin\n"
        time.sleep(0.5)
        assert process.poll() is None
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "interrupted\n"
        process.wait(30)
        took = time.monotonic() - begin
    assert took < 1.5


def test_chunks_of_several_shapes():
    for store in (MemoryStore(), LatencyStore(MemoryStore(), get_latency=0, set_latency=0)):
        way = "native" if type(store) is MemoryStore else "foreign"
        with zarr.config.set({"array.rectilinear_chunks": True}):
            array = create(store, chunks=[[4, 6], [5, 2, 5]])
            with dropin.served(f"read {way}", f"write {way}"):
                array[...] = VALUES
                array[3:5, 4:8] = 0
                expected = VALUES.copy()
                expected[3:5, 4:8] = 0
                np.testing.assert_array_equal(array[...], expected)
                np.testing.assert_array_equal(array[2:, ::2], expected[2:, ::2])


@pytest.mark.parametrize("way", ["native", "foreign"])
def test_no_limit_on_operations(way):
    # zarr-python takes None for that, in which fuzarr has its own limit.
    stores = {"native": MemoryStore, "foreign": lambda: LatencyStore(MemoryStore())}
    with zarr.config.set({"async.concurrency": None}):
        array = create(stores[way](), chunks=(4, 5))
        with dropin.served(f"read {way}", f"write {way}"):
            array[...] = VALUES
            np.testing.assert_array_equal(array[...], VALUES)

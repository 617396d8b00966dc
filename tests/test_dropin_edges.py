"""What the pipeline is given at the edge of what it takes: the outcome is zarr-python's."""

import contextlib
import errno
import os
import pickle
import subprocess
import sys
import threading

import fuzarr
import fuzarr._pipeline
import numpy as np
import pytest
import zarr
from zarr.codecs import ZstdCodec
from zarr.core.buffer import cpu
from zarr.storage import LocalStore, MemoryStore, WrapperStore

import dropin


def accelerated(wanted):
    return fuzarr.accelerate_zarr() if wanted else contextlib.nullcontext()


@pytest.fixture(autouse=True)
def use_fuzarr():
    with dropin.pipeline():
        yield


LATE_WRITE = """
import os, sys, threading, time, numpy as np, zarr, fuzarr
from concurrent.futures import ThreadPoolExecutor
path = "fuzarr.FuzarrCodecPipeline"
zarr.config.set({"codec_pipeline.path": path, "codec_pipeline.max_workers": 1})
array = zarr.create_array(
    sys.argv[1], shape=(4_000_000,), chunks=(250_000,), dtype="f8",
    compressors=zarr.codecs.ZstdCodec(level=12),
)
values = np.random.default_rng(0).integers(0, 1000, array.shape).astype("f8")
if "accelerated" in sys.argv:
    fuzarr.accelerate_zarr()
def write():
    array[...] = values
if "executor" in sys.argv:
    ThreadPoolExecutor(1).submit(write)
else:
    threading.Thread(target=write, daemon="daemon" in sys.argv).start()
# Until it is under way.
deadline = time.monotonic() + 30
while not os.path.isdir(os.path.join(sys.argv[1], "c")) and time.monotonic() < deadline:
    time.sleep(0.005)
"""


@pytest.mark.parametrize("way", ["plain", "accelerated"])
@pytest.mark.parametrize("caller", ["thread", "executor", "daemon"])
def test_a_write_that_a_thread_waits_for_outlasts_the_main_thread(caller, way, tmp_path):
    if (caller, way) == ("daemon", "accelerated"):
        pytest.skip("nobody waits for a daemon's own work")
    subprocess.run([sys.executable, "-c", LATE_WRITE, str(tmp_path), caller, way], check=True)
    assert len(list((tmp_path / "c").iterdir())) == 16


@pytest.mark.parametrize("way", ["native", "accelerated"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_axis_of_one_element_may_have_any_stride(order, way):
    source = np.asarray(np.arange(12, dtype="i4").reshape(4, 3), order=order)
    backwards = source[::-1][0:1]
    far = np.lib.stride_tricks.as_strided(source[:1], (1, 3), (7, source.strides[1]))
    array = zarr.create_array(MemoryStore(), shape=(1, 3), chunks=(1, 2), dtype="i4")
    with accelerated(way == "accelerated"), dropin.served(f"write {way}", f"read {way}"):
        for values in (backwards, far):
            array[...] = values
            np.testing.assert_array_equal(array[...], values)
            form = "C" if way == "accelerated" else order
            out = np.zeros((4, 3), "i4", order=form)[::-1][0:1]
            array.get_basic_selection(..., out=cpu.NDBuffer(out))
            np.testing.assert_array_equal(out, values)


@pytest.mark.parametrize("gap", [-1, 2**70])
@pytest.mark.parametrize("way", ["native", "accelerated"])
def test_limits_on_joined_ranges_that_are_no_sizes(way, gap):
    with zarr.config.set({"array.sharding_coalesce_max_gap_bytes": gap}):
        array = zarr.create_array(MemoryStore(), shape=(40,), chunks=(4,), shards=(40,), dtype="u4")
    with accelerated(way == "accelerated"), dropin.served(f"write {way}", f"read {way}"):
        array[...] = np.arange(40)
        np.testing.assert_array_equal(array[3:9], np.arange(3, 9))


def test_what_cannot_be_read_of_a_call_is_left_to_zarr_python(monkeypatch):
    array = zarr.create_array(MemoryStore(), shape=(4,), chunks=(2,), dtype="u1")
    for error in (TypeError, OverflowError, BufferError):

        def refuse(*_args, error=error):
            raise error("not to be read")

        monkeypatch.setattr(fuzarr._pipeline.native, "WriteCall", refuse)
        with dropin.served("write fallback"):
            array[...] = 3


@pytest.mark.parametrize("way", ["native", "accelerated", "foreign"])
def test_stored_buffers_whose_bytes_lie_apart(way):
    stored = np.arange(8, dtype="u1")[::2]

    class Odd(WrapperStore):
        async def get(self, key, prototype, byte_range=None):
            found = await super().get(key, prototype, byte_range)
            return cpu.Buffer(stored) if found and key == "c/0" else found

    memory = MemoryStore()
    store = Odd(memory) if way == "foreign" else memory
    array = zarr.create_array(store, shape=(4,), chunks=(4,), dtype="u1", compressors=None)
    memory._store_dict["c/0"] = cpu.Buffer(stored)
    with accelerated(way == "accelerated"), dropin.served(f"write {way}", f"read {way}"):
        np.testing.assert_array_equal(array[...], [0, 2, 4, 6])
        array[1] = 77
    assert memory._store_dict["c/0"].to_bytes() == bytes([0, 77, 4, 6])


@pytest.mark.parametrize(("length", "on_loop"), [(100, True), (1 << 18, False)])
def test_large_objects_are_joined_off_the_event_loop(length, on_loop, monkeypatch):
    callers = {}

    class Watched:
        def __init__(self, machine):
            self.machine = machine

        def __getattr__(self, name):
            found = getattr(self.machine, name)

            def called(*args):
                callers[name] = threading.current_thread()
                return found(*args)

            return called if callable(found) else found

    def watched(call, items, machines):
        return drive_all(call, items, [Watched(machine) for machine in machines])

    drive_all = fuzarr._pipeline.drive_all
    monkeypatch.setattr(fuzarr._pipeline, "drive_all", watched)
    store = dropin.make_store("async", None)
    parts = {"chunks": (length // 4,), "shards": (length,), "compressors": None}
    array = zarr.create_array(store, shape=(length,), dtype="i4", **parts)
    array[...] = np.arange(length)
    for name in ("payload", "committed"):
        assert (callers[name].name == "zarr_io") == on_loop, callers
    np.testing.assert_array_equal(array[...], np.arange(length))


def test_a_step_in_a_chunk_that_reaches_beyond_the_array():
    with fuzarr.accelerate_zarr():
        array = zarr.create_array(MemoryStore(), shape=(6,), chunks=(3,), dtype="i4")
        array[...] = 1
        array.resize((4,))
        array[3:4:2] = 7
        array.resize((6,))
        assert array[...].tolist() == [1, 1, 1, 7, 1, 1]


def test_a_pipeline_of_ones_own_is_asked_when_accelerated():
    asked = []

    class Own(fuzarr.FuzarrCodecPipeline):
        async def read(self, *args, **options):
            asked.append("read")
            return await super().read(*args, **options)

        async def write(self, *args, **options):
            asked.append("write")
            return await super().write(*args, **options)

    zarr.registry.register_pipeline(Own)
    name = f"{Own.__module__}.{Own.__qualname__}"
    with fuzarr.accelerate_zarr(), zarr.config.set({"codec_pipeline.path": name}):
        array = zarr.create_array(MemoryStore(), shape=(4,), chunks=(2,), dtype="i4")
        array[...] = 1
        assert array[...].tolist() == [1] * 4
    assert asked == ["write", "read"]


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "c8", "c16"])
@pytest.mark.parametrize("version", [2, 3])
def test_a_fill_value_keeps_the_bits_of_its_nan(version, dtype):
    part = np.dtype({"c8": "f4", "c16": "f8"}.get(dtype, dtype))
    unsigned = f"u{part.itemsize}"
    odd = (np.array([-np.nan], part).view(unsigned) | np.array([1], unsigned)).view(part)
    fill = np.array([1.5, odd[0]], part).view(dtype)[-1]
    found = {}
    for name in ("fused", "fuzarr"):
        with dropin.pipeline(name):
            array = zarr.create_array(
                MemoryStore(), shape=(6,), chunks=(3,), dtype=dtype, fill_value=fill,
                zarr_format=version, compressors=None,
            )  # fmt: skip
            array[1] = 2
            found[name] = array[...].tobytes(), dropin.objects(array.store)
    assert found["fuzarr"] == found["fused"]
    assert found["fuzarr"][0].endswith(odd.tobytes())


@pytest.mark.parametrize("way", ["native", "accelerated"])
def test_errors_of_the_system_keep_class_and_number(way, tmp_path):
    array = zarr.create_array(LocalStore(tmp_path), shape=(4,), chunks=(4,), dtype="u1")
    (tmp_path / "c").write_bytes(b"")
    with (
        accelerated(way == "accelerated"),
        pytest.raises((FileExistsError, NotADirectoryError)) as raised,
    ):
        array[...] = 1
    assert isinstance(raised.value, fuzarr.errors.StoreError)
    for error in (raised.value, pickle.loads(pickle.dumps(raised.value))):
        assert type(error) is type(raised.value)
        assert error.errno in (errno.EEXIST, errno.ENOTDIR)
        assert error.strerror == os.strerror(error.errno)


def test_damage_is_a_runtime_error():
    store = MemoryStore()
    array = zarr.create_array(store, shape=(4,), dtype="u4", compressors=[ZstdCodec()])
    array[...] = np.arange(4)
    store._store_dict["c/0"] = cpu.Buffer.from_bytes(b"nothing")
    with pytest.raises(RuntimeError):
        array[...]

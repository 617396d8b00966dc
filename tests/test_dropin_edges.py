"""What the pipeline is given at the edge of what it takes: the outcome is zarr-python's."""

import contextlib
import subprocess
import sys

import fuzarr
import fuzarr._pipeline
import numpy as np
import pytest
import zarr
from zarr.core.buffer import cpu
from zarr.storage import MemoryStore

import dropin


def accelerated(wanted):
    return fuzarr.accelerate_zarr() if wanted else contextlib.nullcontext()


@pytest.fixture(autouse=True)
def use_fuzarr():
    with dropin.pipeline():
        yield


LATE_WRITE = """
import sys, threading, time, numpy as np, zarr, fuzarr
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
time.sleep(0.3)
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

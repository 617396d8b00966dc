"""What the pipeline is given at the edge of what it takes: the outcome is zarr-python's."""

import contextlib
import subprocess
import sys

import fuzarr
import fuzarr._pipeline
import pytest

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

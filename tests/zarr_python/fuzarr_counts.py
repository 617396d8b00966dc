"""A pytest plugin: how the calls of a run of zarr-python's own tests were served.

Every process writes its counts to a file of `FUZARR_COUNTS`, a folder.
"""

import json
import os
from pathlib import Path


def pytest_configure():
    if os.environ.get("FUZARR_ACCELERATE"):
        import fuzarr

        fuzarr.accelerate_zarr()


def pytest_sessionfinish():
    folder = os.environ.get("FUZARR_COUNTS")
    if folder:
        from fuzarr import _pipeline

        record = {"counts": _pipeline.pipeline_counts(), "reasons": _pipeline.fallback_reasons()}
        path = Path(folder) / f"{os.getpid()}.json"
        path.write_text(json.dumps(record))

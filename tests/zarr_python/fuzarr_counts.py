"""A pytest plugin for runs of zarr-python's own tests: outcomes, and how calls were served.

Outcomes go to `FUZARR_OUTCOMES`, a file; every process writes its counts into `FUZARR_COUNTS`, a
folder.
"""

import json
import os
from pathlib import Path

_outcomes = {}


def pytest_configure():
    if os.environ.get("FUZARR_ACCELERATE"):
        import fuzarr

        fuzarr.accelerate_zarr()


def pytest_runtest_logreport(report):
    known = _outcomes.get(report.nodeid)
    outcome = "xfailed" if hasattr(report, "wasxfail") else report.outcome
    if outcome != "passed" or (known is None and report.when == "call"):
        _outcomes[report.nodeid] = outcome


def pytest_sessionfinish():
    if "PYTEST_XDIST_WORKER" not in os.environ:
        Path(os.environ["FUZARR_OUTCOMES"]).write_text(json.dumps(_outcomes))
    if "fuzarr" in os.environ["ZARR_CODEC_PIPELINE__PATH"]:
        from fuzarr import _report

        record = {"counts": _report.pipeline_counts(), "reasons": _report.fallback_reasons()}
        path = Path(os.environ["FUZARR_COUNTS"]) / f"{os.getpid()}.json"
        path.write_text(json.dumps(record))

"""A pytest plugin for runs of zarr-python's own tests: outcomes, and how calls were served.

Outcomes go to `FUZARR_OUTCOMES`, a file; every process writes its counts into `FUZARR_COUNTS`, a
folder. Tests whose names start as `FUZARR_EXPECTED`, a JSON list in a file, says are expected to
fail: pytest's own list of failures then holds the others only.
"""

import json
import os
from pathlib import Path

import pytest

EXPECTED = "fails with zarr-python's own pipeline too, or is bound to it"

_outcomes = {}


def pytest_configure():
    if os.environ.get("FUZARR_ACCELERATE"):
        import fuzarr

        fuzarr.accelerate_zarr()


def pytest_collection_modifyitems(items):
    expected = os.environ.get("FUZARR_EXPECTED")
    starts = tuple(json.loads(Path(expected).read_text())) if expected else ()
    for item in items:
        if item.nodeid.startswith(starts):
            item.add_marker(pytest.mark.xfail(reason=EXPECTED, strict=False))


def outcome_of(report):
    """Whether a test passed, failed, as expected by this plugin or not, or was marked otherwise."""
    reason = getattr(report, "wasxfail", None)
    if reason is None:
        return report.outcome
    if reason != EXPECTED:
        return "xfailed"
    return "passed" if report.passed else "failed"


def pytest_runtest_logreport(report):
    known, outcome = _outcomes.get(report.nodeid), outcome_of(report)
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

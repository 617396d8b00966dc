"""Plans of fuzarr, driven from Python.

This is the foreign executor in its smallest form: Python awaits a store's bytes, Rust plans,
decodes, scatters and encodes. `FuzarrCodecPipeline` is the codec pipeline for zarr-python.
"""

from typing import Any

from ._foreign import read, write
from ._fuzarr import Machine, ReadPlan, WritePlan

#: What needs zarr-python, which is imported when it is asked for.
_LAZY = {
    "FuzarrCodecPipeline": "_pipeline",
    "pipeline_counts": "_pipeline",
    "pipeline_report": "_report",
    "accelerate_zarr": "_accelerate",
}

__all__ = ["Machine", "ReadPlan", "WritePlan", "read", "write"]


def __getattr__(name: str) -> Any:
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{module}", __name__), name)

"""Zarr arrays, read and written by a Rust engine.

``fuzarr.open``, ``fuzarr.create_array`` and the others take the arguments that zarr-python's users
know. `FuzarrCodecPipeline` makes zarr-python itself faster; importing fuzarr does not import zarr.
"""

from typing import TYPE_CHECKING

from ._config import config
from ._create import (
    create,
    create_array,
    create_group,
    empty,
    empty_like,
    full,
    full_like,
    ones,
    ones_like,
    zeros,
    zeros_like,
)
from ._fuzarr import Array, Explanation, Group, Store, __version__
from ._open import (
    consolidate_metadata,
    load,
    open,
    open_array,
    open_group,
    save,
    save_array,
    save_group,
)

__all__ = [
    "Array",
    "Explanation",
    "Group",
    "Store",
    "__version__",
    "config",
    "consolidate_metadata",
    "create",
    "create_array",
    "create_group",
    "empty",
    "empty_like",
    "full",
    "full_like",
    "load",
    "ones",
    "ones_like",
    "open",
    "open_array",
    "open_group",
    "save",
    "save_array",
    "save_group",
    "zeros",
    "zeros_like",
]

#: What needs zarr-python, which is imported when it is asked for.
_LAZY = {
    "FuzarrCodecPipeline": "_pipeline",
    "accelerate_zarr": "_accelerate",
    "pipeline_counts": "_report",
    "pipeline_report": "_report",
}

if TYPE_CHECKING:
    from ._accelerate import accelerate_zarr as accelerate_zarr
    from ._pipeline import FuzarrCodecPipeline as FuzarrCodecPipeline
    from ._report import pipeline_counts as pipeline_counts
    from ._report import pipeline_report as pipeline_report
else:
    # Hidden from type checkers, which would take it to have any name.
    def __getattr__(name):
        module = _LAZY.get(name)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(f".{module}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})

"""What runs where when zarr-python reads and writes an array, and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import LocalStore, MemoryStore

from . import _bind, _remote
from ._bind import DeclinedError
from ._pipeline import FuzarrCodecPipeline, _counts

if TYPE_CHECKING:
    from zarr import Array


@dataclass(frozen=True)
class Report:
    """What runs where."""

    #: Who encodes and decodes.
    codecs: str
    #: Who reads and writes the store.
    store: str
    #: Why not fuzarr, for what it does not do.
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"codecs  {self.codecs}", f"store   {self.store}"]
        return "\n".join([*lines, *(f"because {reason}" for reason in self.reasons)])


def pipeline_report(array: Array[Any]) -> Report:
    """Says what runs where when zarr-python reads and writes `array`, and why."""
    inner = array.async_array
    pipeline, store = inner.codec_pipeline, inner.store_path.store
    if not isinstance(pipeline, FuzarrCodecPipeline):
        name = type(pipeline).__name__
        reason = 'zarr.config has another "codec_pipeline.path" than "fuzarr.FuzarrCodecPipeline"'
        return Report(f"zarr-python ({name})", "zarr-python", (reason,))
    reasons = []
    try:
        shape = inner._chunk_grid.chunk_shape
    except (AttributeError, ValueError):
        shape = None
    codecs = "fuzarr, native"
    if shape is None:
        codecs, reasons = "zarr-python (FusedCodecPipeline)", ["chunks of several shapes"]
    else:
        metadata = inner.metadata
        spec = ArraySpec(
            shape=shape,
            dtype=metadata.dtype,
            fill_value=metadata.fill_value,
            config=inner.config,
            prototype=default_buffer_prototype(),
        )
        try:
            bound = _bind.bind(pipeline, spec)
            if bound.order is None:
                reasons.append("writes: nested shards ask for inner chunks in different orders")
        except DeclinedError as reason:
            codecs, reasons = "zarr-python (FusedCodecPipeline)", [str(reason)]
    remote = _remote.is_remote(store)
    found = _remote.look(store) if remote and _remote.is_on() else None
    if type(store) in (LocalStore, MemoryStore) or isinstance(found, _remote.Carried):
        way = "fuzarr, native"
        if isinstance(found, _remote.Carried) and not found.place.writable:
            reasons.append("writes: zarr-python's store does them in a way of its own")
    else:
        way = f"zarr-python ({type(store).__name__}), driven by fuzarr's plan"
        reasons.append(found or f"the store is a {type(store).__name__}")
        if remote and found is None:
            reasons.append("remote_stores is off in fuzarr.config")
    if codecs.startswith("zarr"):
        way = "zarr-python"
    return Report(codecs, way, tuple(reasons))


def pipeline_counts() -> dict[str, int]:
    """How many calls of this process were served in which way.

    `native` and `foreign` (driven from Python) by fuzarr, `fallback` by zarr-python's fused
    pipeline, `accelerated` without ever coming to a pipeline.
    """
    ways = ("native", "foreign", "fallback", "accelerated")
    counts = {f"{name} {way}": 0 for name in ("read", "write") for way in ways}
    for (name, _), count in _counts.items():
        counts[name] += count
    return counts


def fallback_reasons() -> dict[str, int]:
    """Why calls of this process were left to zarr-python, and how many."""
    reasons = Counter[str]()
    for (name, reason), count in _counts.items():
        if name.endswith("fallback"):
            reasons[f"{name.split()[0]}: {reason}"] += count
    return dict(reasons.most_common())

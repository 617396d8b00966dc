"""From the codecs and specs of zarr-python's live objects to layouts of fuzarr's.

Only classes that are exactly zarr-python's own are taken: a user may have registered another in the
place of one, of which the JSON says nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numcodecs  # type: ignore[import-untyped]
import numcodecs.registry  # type: ignore[import-untyped]
import numpy as np
import zarr.codecs
from zarr.codecs import numcodecs as zarr_numcodecs
from zarr.codecs._v2 import V2Codec
from zarr.codecs.sharding import ShardingCodec

from ._fuzarr import pipeline as native

if TYPE_CHECKING:
    from zarr.core.array_spec import ArraySpec

    from ._pipeline import FuzarrCodecPipeline

_PLAIN = (
    zarr.codecs.BytesCodec,
    zarr.codecs.TransposeCodec,
    zarr.codecs.GzipCodec,
    zarr.codecs.ZstdCodec,
    zarr.codecs.BloscCodec,
    zarr.codecs.Crc32cCodec,
    zarr.codecs.VLenUTF8Codec,
    zarr.codecs.VLenBytesCodec,
)


class DeclinedError(Exception):
    """A call that fuzarr leaves to zarr-python, with the reason."""


@dataclass(frozen=True)
class Bound:
    """What fuzarr makes of a spec."""

    layout: Any
    #: The type of elements, in native byte order.
    dtype: np.dtype[Any]
    #: In which order inner chunks are written; `None` if shards within shards differ in it.
    order: str | None


def bind(pipeline: FuzarrCodecPipeline, spec: ArraySpec) -> Bound:
    """The layout for a spec of an array of this pipeline.

    Raises `DeclinedError` if fuzarr lacks something.
    """
    known = pipeline.__dict__.get("_fuzarr")
    if known is None:
        known = {}
        object.__setattr__(pipeline, "_fuzarr", known)
    key = (spec.shape, spec.dtype, _identity(spec.fill_value), spec.config.order)
    outcome = known.get(key)
    if outcome is None:
        try:
            outcome = _bind(pipeline.codecs, spec)
        except NotImplementedError as reason:
            outcome = str(reason)
        if len(known) >= 64:
            known.clear()
        known[key] = outcome
    if isinstance(outcome, str):
        raise DeclinedError(outcome)
    return outcome


def in_native_order(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type with its numbers in this machine's byte order."""
    return dtype if dtype.isnative else dtype.newbyteorder("=")


def _identity(value: Any) -> Any:
    """What tells fill values apart, by bits."""
    if isinstance(value, np.generic):
        return value.dtype.str, value.tobytes()
    return type(value), value


def _bind(codecs: tuple[Any, ...], spec: ArraySpec) -> Bound:
    orders: set[str] = set()
    if len(codecs) == 1 and type(codecs[0]) is V2Codec:
        name, document = ".zarray", _document_v2(codecs[0], spec)
    else:
        name, document = "zarr.json", _document(codecs, spec, orders)
    layout = native.Layout(name, json.dumps(document).encode())
    dtype = in_native_order(spec.dtype.to_native_dtype())
    if layout.variable is None and layout.element != dtype.itemsize:
        raise NotImplementedError(f"type {spec.dtype}")
    order = "morton" if not orders else orders.pop() if len(orders) == 1 else None
    return Bound(layout, dtype, order)


def _document(codecs: tuple[Any, ...], spec: ArraySpec, orders: set[str]) -> dict[str, Any]:
    """The metadata of an array of one chunk."""
    for codec in codecs:
        _check(codec, orders)
    fill = spec.fill_value
    if fill is None:
        fill = spec.dtype.default_scalar()
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": spec.shape,
        "data_type": spec.dtype.to_json(zarr_format=3),
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": spec.shape}},
        "chunk_key_encoding": {"name": "default"},
        "fill_value": _spelled(fill, spec, 3),
        "codecs": [codec.to_dict() for codec in codecs],
        "attributes": {},
    }


def _spelled(fill: Any, spec: ArraySpec, version: Literal[2, 3]) -> Any:
    """A fill value as a document has it, but for NaNs, which keep their bits."""
    value: Any = spec.dtype.to_json_scalar(fill, zarr_format=version)
    dtype = in_native_order(spec.dtype.to_native_dtype())
    if dtype.kind not in "fc":
        return value
    parts = np.asarray([fill], dtype).view(f"f{dtype.itemsize // (1 + (dtype.kind == 'c'))}")
    bits = parts.view(f"u{parts.itemsize}")
    spelled = [
        f"0x{number:0{2 * parts.itemsize}x}" if np.isnan(part) else known
        for part, number, known in zip(
            parts, bits, value if dtype.kind == "c" else [value], strict=True
        )
    ]
    return spelled if dtype.kind == "c" else spelled[0]


def _check(codec: Any, orders: set[str]) -> None:
    """Takes codecs that are zarr-python's own."""
    kind = type(codec)
    if kind is ShardingCodec:
        orders.add(codec.subchunk_write_order)
        for inner in (*codec.codecs, *codec.index_codecs):
            _check(inner, orders)
    elif kind not in _PLAIN:
        own = getattr(zarr_numcodecs, kind.__name__, None)
        if own is not kind:
            raise NotImplementedError(f"codec {kind.__module__}.{kind.__qualname__}")


def _document_v2(codec: V2Codec, spec: ArraySpec) -> dict[str, Any]:
    """The `.zarray` of an array of one chunk."""
    filters = codec.filters or ()
    for part in (*filters, codec.compressor):
        if part is None:
            continue
        own = numcodecs.registry.codec_registry.get(getattr(part, "codec_id", None))
        if own is not type(part) or not own.__module__.startswith("numcodecs."):
            raise NotImplementedError(f"codec {type(part).__module__}.{type(part).__qualname__}")
    fill = spec.fill_value
    if fill is not None:
        fill = _spelled(fill, spec, 2)
    return {
        "zarr_format": 2,
        "shape": spec.shape,
        "chunks": spec.shape,
        "dtype": spec.dtype.to_json(zarr_format=2)["name"],
        "fill_value": fill,
        "order": spec.config.order,
        "filters": [part.get_config() for part in filters] or None,
        "compressor": None if codec.compressor is None else codec.compressor.get_config(),
    }

"""Selections of zarr-python's arrays planned by fuzarr, before zarr-python cuts them into items.

zarr-python makes a list of all chunks that a selection touches before it asks its codec pipeline
for anything. For many small chunks that takes longer than reading them. The functions replaced here
are zarr-python's own business, so this is for those to ask for who want it, on known versions.
"""

from __future__ import annotations

import contextlib
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
import zarr.core.array as zarr_array
from packaging.version import Version
from zarr.codecs import ShardingCodec
from zarr.core import indexing
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import cpu
from zarr.core.chunk_key_encodings import DefaultChunkKeyEncoding, V2ChunkKeyEncoding
from zarr.core.metadata import ArrayV2Metadata
from zarr.storage import LocalStore, MemoryStore

from . import _loop, _pipeline
from ._bind import DeclinedError
from ._drive import run_of_bytes
from ._fuzarr import pipeline as native
from ._pipeline import FuzarrCodecPipeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

#: The versions whose functions are as this module knows them: from, and before.
KNOWN = (Version("3.4.0"), Version("3.5.0.dev0"))

#: zarr-python's own functions, while they are replaced, and by how many.
_original: tuple[Any, Any, Any] | None = None
_users = 0


class Acceleration:
    """What `accelerate_zarr` gives: call it, or leave its block, to undo it."""

    def __init__(self, active: bool) -> None:
        #: Whether anything was changed.
        self.active = active

    def __call__(self) -> None:
        """Undoes it."""
        global _original, _users
        if not self.active:
            return
        self.active = False
        _users -= 1
        if _users == 0 and _original is not None:
            _replace(*_original)
            _original = None

    def __enter__(self) -> Acceleration:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self()


def accelerate_zarr() -> Acceleration:
    """Has fuzarr plan the selections of arrays whose pipeline is fuzarr's.

    Gives what undoes it: to be called, or used in a `with` statement. On a version of zarr-python
    that is not known it warns, and changes nothing.
    """
    global _original, _users
    version = Version(zarr.__version__)
    if not KNOWN[0] <= version < KNOWN[1]:
        warnings.warn(
            f"fuzarr does not know zarr-python {version}: nothing is accelerated", stacklevel=2
        )
        return Acceleration(active=False)
    if _original is None:
        _original = _own()
        _replace(_get_selection, _set_selection, _sync)
    _users += 1
    return Acceleration(active=True)


def _replace(get: Any, put: Any, sync: Any) -> None:
    """Puts functions in the place of zarr-python's."""
    module: Any = zarr_array
    module._get_selection, module._set_selection, module.sync = get, put, sync


def _own() -> tuple[Any, Any, Any]:
    """zarr-python's functions."""
    module: Any = zarr_array
    return _original or (module._get_selection, module._set_selection, module.sync)


def _sync(coroutine: Any, *args: Any, **options: Any) -> Any:
    """zarr-python's `sync`, that has this thread do what is for a selection, if fuzarr can."""
    attempt = _AT_ONCE.get(getattr(coroutine, "cr_code", None))
    outcome = None
    if attempt is not None:
        try:
            # None of the coroutine has run: its arguments are all that it is.
            outcome = attempt(coroutine.cr_frame.f_locals)
        except BaseException:
            coroutine.close()
            raise
    if outcome is None:
        return _own()[2](coroutine, *args, **options)
    coroutine.close()
    return outcome[0]


def _read_at_once(arguments: Mapping[str, Any]) -> tuple[Any] | None:
    """The selection that `AsyncArray._get_selection` was called for."""
    array, indexer = arguments["self"], arguments["indexer"]
    prototype, out, fields = (arguments[name] for name in ("prototype", "out", "fields"))
    work = _reading(_parts(array, indexer), prototype, out, fields, at_once=True)
    return work and _attempt("read", array.store_path.store, work)


def _write_at_once(arguments: Mapping[str, Any]) -> tuple[Any] | None:
    """Writes what `AsyncArray._set_selection` was called for."""
    array, indexer = arguments["self"], arguments["indexer"]
    if getattr(array.metadata, "_stored_document", None) is not None:
        # A document that zarr-python repairs is stored by the first write.
        return None
    value, prototype, fields = (arguments[name] for name in ("value", "prototype", "fields"))
    work = _writing(_parts(array, indexer), value, prototype, fields, at_once=True)
    return work and _attempt("write", array.store_path.store, work)


def _parts(array: Any, indexer: Any) -> tuple[Any, ...]:
    """What zarr-python's functions are given of an array."""
    parts = (array.store_path, array.metadata, array.codec_pipeline, array.config)
    return (*parts, array._chunk_grid, indexer)


#: What zarr-python's synchronous methods have its event loop do for a selection.
_AT_ONCE: dict[Any, Callable[[Mapping[str, Any]], tuple[Any] | None]] = {
    zarr_array.AsyncArray._get_selection.__code__: _read_at_once,
    zarr_array.AsyncArray._set_selection.__code__: _write_at_once,
}


def _dimension(part: Any) -> Any:
    """One dimension of a selection, as a term."""
    match part:
        case indexing.IntDimIndexer():
            return int(part.dim_sel)
        case indexing.SliceDimIndexer():
            return slice(part.start, max(part.start, part.stop), part.step)
        case indexing.BoolArrayDimIndexer():
            return np.flatnonzero(part.dim_sel)
        case indexing.IntArrayDimIndexer():
            return _as_asked(part.dim_sel, part.dim_out_sel)
    raise DeclinedError(f"indexer {type(part).__name__}")


def _as_asked(positions: np.ndarray, order: np.ndarray | None) -> np.ndarray:
    """Positions that zarr-python has sorted by chunk, in the order in which they were asked for."""
    positions = np.asarray(positions, dtype=np.int64)
    if order is None:
        return np.ascontiguousarray(positions)
    asked = np.empty_like(positions)
    asked[order] = positions
    return asked


def _terms(indexer: Any) -> tuple[list[Any], bool]:
    """The terms of a selection, and whether they are coordinates of points."""
    kind = type(indexer)
    if kind in (indexing.BasicIndexer, indexing.OrthogonalIndexer, indexing.BlockIndexer):
        return [_dimension(part) for part in indexer.dim_indexers], False
    if kind in (indexing.CoordinateIndexer, indexing.MaskIndexer):
        parts = indexer.selection
        if not parts or any(np.ndim(part) != 1 for part in parts):
            raise DeclinedError("points of an array without dimensions")
        return [_as_asked(part, indexer.sel_sort) for part in parts], True
    raise DeclinedError(f"indexer {kind.__name__}")


class _Request(_pipeline._Call):
    """A selection of an array, of a store that answers at once."""

    def __init__(
        self,
        place: Any,
        metadata: Any,
        pipeline: Any,
        config: Any,
        grid: Any,
        indexer: Any,
        *,
        prototype: Any,
        at_once: bool,
    ) -> None:
        store: Any = place.store
        if type(store) not in (LocalStore, MemoryStore):
            raise DeclinedError(f"store {type(store).__name__}")
        if not grid.is_regular or 0 in indexer.shape:
            raise DeclinedError("chunks of several shapes, or no elements")
        if isinstance(metadata, ArrayV2Metadata):
            config = replace(config, order=metadata.order)
            v2, separator = True, metadata.dimension_separator
        else:
            keys = metadata.chunk_key_encoding
            if type(keys) not in (DefaultChunkKeyEncoding, V2ChunkKeyEncoding):
                raise DeclinedError(f"chunk keys of {type(keys).__name__}")
            v2, separator = type(keys) is V2ChunkKeyEncoding, keys.separator
        spec = ArraySpec(grid.chunk_shape, metadata.dtype, metadata.fill_value, config, prototype)
        # What has no element of its own for an item is asked of the first one.
        super().__init__(pipeline, [(place, spec, (), (), False)], ())
        if self.way == "foreign" or self.bound.layout.variable is not None:
            raise DeclinedError("elements of variable size")
        self.options["attended"] = at_once
        terms, points = _terms(indexer)
        self.place = {
            "path": place.path,
            "shape": metadata.shape,
            "v2": v2,
            "separator": separator,
            "terms": terms,
            "points": points,
        }

    def objects(self, keys: list[str]) -> dict[str, Any]:
        """The buffers of these keys, of a `MemoryStore`."""
        store = self.store._store_dict
        found = {}
        for key in keys:
            # Another thread may delete it at any time.
            buffer = store.get(key)
            if buffer is None:
                continue
            if type(buffer) is not cpu.Buffer:
                raise DeclinedError(f"buffer {type(buffer).__name__}")
            found[key] = buffer
        return found

    def read(self, out: np.ndarray) -> None:
        """Reads into `out`."""
        if type(out) is not np.ndarray or not out.flags.c_contiguous or not out.flags.writeable:
            raise DeclinedError("an output of another form")
        found = _pipeline._memory(out)
        if found is None or out.dtype != self.bound.dtype:
            raise DeclinedError("an output of another form")
        call = self.planned(native.ReadCall.of_array, found[0])
        with self.running(call):
            if self.way == "local":
                call.local(self.store.root)
            else:
                buffers = self.objects(call.keys())
                call.memory({key: run_of_bytes(buffer) for key, buffer in buffers.items()})

    def planned(self, kind: Any, memory: np.ndarray) -> Any:
        """The call of a kind for the selection."""
        return _pipeline.made(kind, self.bound.layout, self.place, memory, self.options)

    @contextlib.contextmanager
    def running(self, call: Any) -> Iterator[None]:
        """Has the call end with the interpreter, if another thread than the caller's makes it."""
        if self.options["attended"]:
            yield
            return
        self.calls = [([], [], call)]
        _pipeline._running.add(self)
        try:
            yield
        finally:
            _pipeline._running.discard(self)

    def write(self, values: np.ndarray, shape: tuple[int, ...]) -> None:
        """Writes `values`, of the selection's `shape` or one for all."""
        if self.store.read_only or self.bound.order is None:
            raise DeclinedError("a store that is read-only, or orders that differ")
        extents = zip(self.place["shape"], self.batch[0][1].shape, strict=True)
        if any(extent % chunk for extent, chunk in extents):
            # zarr-python keeps what a shard holds beyond the array's shape, and what a chunk holds
            # there if a slice with a step writes to it.
            if isinstance(self.pipeline.codecs[0], ShardingCodec):
                raise DeclinedError("shards that reach beyond the array")
            terms = self.place["terms"]
            if any(isinstance(term, slice) and term.step not in (None, 1) for term in terms):
                raise DeclinedError("steps in chunks that reach beyond the array")
        if values.shape not in ((), shape):
            raise DeclinedError("values that are spread over a selection")
        values = np.ascontiguousarray(_pipeline._in_native_order(values))
        if values.dtype != self.bound.dtype:
            raise DeclinedError(f"values of {values.dtype}")
        memory = values.reshape(-1).view(np.uint8)
        left = True
        while left:
            call = self.planned(native.WriteCall.of_array, memory)
            with self.running(call):
                left = self.way != "local" and self.write_memory_once(call)
                if self.way == "local":
                    call.local(self.store.root)

    def write_memory_once(self, call: Any) -> bool:
        """Writes to a `MemoryStore`; whether others were quicker."""
        before = self.objects(call.keys())
        try:
            changes = call.memory({key: run_of_bytes(part) for key, part in before.items()})
        except Exception as error:
            self.commit(before, getattr(error, "changes", {}))
            raise
        return bool(self.commit(before, changes))


def _reading(
    parts: tuple[Any, ...], prototype: Any, out: Any, fields: Any, at_once: bool
) -> Callable[[], Any] | None:
    """What reads a selection; `None` if that is for zarr-python to do."""
    _, metadata, codec_pipeline, config, _, indexer = parts
    if type(codec_pipeline) is not FuzarrCodecPipeline or fields:
        return None
    # What does not fit is for zarr-python to complain of.
    if out is not None and (type(out) is not cpu.NDBuffer or out.shape != indexer.shape):
        return None

    def read() -> Any:
        if not config.read_missing_chunks:
            raise DeclinedError("missing chunks are errors")
        request = _Request(*parts, prototype=prototype, at_once=at_once)
        result: Any = out
        if result is None:
            order = request.batch[0][1].order
            dtype = metadata.dtype.to_native_dtype()
            result = prototype.nd_buffer.empty(shape=indexer.shape, dtype=dtype, order=order)
        request.read(result.as_ndarray_like())
        basic = isinstance(indexer, indexing.BasicIndexer)
        return result.as_scalar() if basic and indexer.shape == () else result.as_ndarray_like()

    return read


def _writing(
    parts: tuple[Any, ...], value: Any, prototype: Any, fields: Any, at_once: bool
) -> Callable[[], Any] | None:
    """What writes a selection; `None` if that is for zarr-python to do."""
    _, metadata, codec_pipeline, _, _, indexer = parts
    plain = np.isscalar(value) or type(value) is np.ndarray
    if type(codec_pipeline) is not FuzarrCodecPipeline or not plain or fields:
        return None

    def write() -> None:
        request = _Request(*parts, prototype=prototype, at_once=at_once)
        dtype = metadata.dtype.to_native_dtype()
        values = value
        if np.isscalar(value):
            values = np.asanyarray(value, dtype=dtype)
        elif value.dtype.name != dtype.name:
            values = value.astype(dtype=dtype, order="A")
        request.write(values, indexer.shape)

    return write


async def _get_selection(
    store_path: Any,
    metadata: Any,
    codec_pipeline: Any,
    config: Any,
    chunk_grid: Any,
    indexer: Any,
    *,
    prototype: Any,
    out: Any = None,
    fields: Any = None,
) -> Any:
    """zarr-python's `_get_selection`, planned as a whole where fuzarr can."""
    parts = (store_path, metadata, codec_pipeline, config, chunk_grid, indexer)
    work = _reading(parts, prototype, out, fields, at_once=False)
    outcome = work and await _hopped("read", store_path.store, work)
    if outcome is not None:
        return outcome[0]
    return await _own()[0](*parts, prototype=prototype, out=out, fields=fields)


async def _set_selection(
    store_path: Any,
    metadata: Any,
    codec_pipeline: Any,
    config: Any,
    chunk_grid: Any,
    indexer: Any,
    value: Any,
    *,
    prototype: Any,
    fields: Any = None,
) -> None:
    """zarr-python's `_set_selection`, planned as a whole where fuzarr can."""
    parts = (store_path, metadata, codec_pipeline, config, chunk_grid, indexer)
    work = _writing(parts, value, prototype, fields, at_once=False)
    if not work or await _hopped("write", store_path.store, work) is None:
        await _own()[1](*parts, value, prototype=prototype, fields=fields)


async def _hopped(name: str, store: Any, work: Callable[[], Any]) -> tuple[Any] | None:
    """As `_attempt`, off the event loop, unless it is plain that zarr-python has to do it."""
    if type(store) not in (LocalStore, MemoryStore):
        return None
    if not store._is_open:
        await store._ensure_open()
    return await _loop.hop(_attempt, name, store, work)


def _attempt(name: str, store: Any, work: Callable[[], Any]) -> tuple[Any] | None:
    """The outcome of `work`, in a tuple, or `None` if it is for zarr-python to do."""
    if type(store) not in (LocalStore, MemoryStore) or not store._is_open:
        return None
    try:
        outcome = work()
    except (DeclinedError, NotImplementedError):
        return None
    _pipeline._counts[f"{name} accelerated", ""] += 1
    return (outcome,)

"""The codec pipeline for zarr-python: `zarr.config.set({"codec_pipeline.path": ...})`.

What fuzarr has, it does: stores that answer at once are read and written outside the interpreter
lock, for all others Python awaits the bytes and drives the plan's machines. What it does not have,
zarr-python's fused pipeline does, of which this one is a kind.
"""

from __future__ import annotations

import asyncio
import concurrent.futures.thread
import functools
import os
import sys
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import zarr.core.codec_pipeline as zarr_pipeline
import zarr.core.sync as zarr_sync
from zarr.abc.codec import GetResult
from zarr.codecs import ShardingCodec
from zarr.core.buffer import cpu
from zarr.core.config import config as zarr_config
from zarr.registry import register_pipeline
from zarr.storage import LocalStore, MemoryStore
from zarr.storage._common import StorePath

from . import _bind, _loop, _remote
from ._bind import DeclinedError
from ._drive import drive_all, operations, run_of_bytes
from ._fuzarr import pipeline as native

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from zarr.core.buffer import NDBuffer


#: Where bytes are, the spec, what is wanted inside, where it goes, whether that is all of it.
_Item = tuple[Any, Any, Any, Any, bool]

#: How many calls were served how, and why the others were not.
_counts: Counter[tuple[str, str]] = Counter()


#: What is told of an object, by whether it is stored.
_STATUS: tuple[Literal["missing"], Literal["present"]] = ("missing", "present")


#: Items of a call that may stay there from beginning to end.
FEW = 4

#: ... of one that is only prepared and finished there, and awaits its store in between.
FEW_AWAITED = 16

#: So many folders are remembered.
MOST_FOLDERS = 1000

#: The largest size that there is.
MOST_BYTES = (1 << 64) - 1

#: Calls whose threads are at work.
_running: set[_Call] = set()


#: What the workers of executors do between two pieces of work.
_IDLE = concurrent.futures.thread._worker.__code__


def _is_waited_for() -> bool:
    """Whether another thread may wait for a call, so that it is to be brought to its end."""
    frames = sys._current_frames()
    # What looks after a pool of processes waits for nothing of ours either.
    process = sys.modules.get("concurrent.futures.process")
    manager = getattr(process, "_ExecutorManagerThread", ())
    for thread in threading.enumerate():
        if thread is threading.current_thread() or _loop.is_own(thread):
            continue
        if isinstance(thread, manager):
            continue
        frame = frames.get(thread.ident or 0)
        # The interpreter joins the idle workers of executors, too.
        if frame is not None and not thread.daemon and frame.f_code is not _IDLE:
            return True
        while frame is not None:
            if frame.f_code is zarr_sync.sync.__code__:
                return True
            frame = frame.f_back
    return False


def _end_all() -> None:
    """An interpreter that ends, after Ctrl-C, does not wait for what nobody waits for."""
    if _running and not _is_waited_for():
        for call in list(_running):
            call.cancel()


# Called before `concurrent.futures` joins its threads; `atexit` would be too late.
if hasattr(threading, "_register_atexit"):
    threading._register_atexit(_end_all)


#: What zarr-python asks the system for anew each time.
_cores = functools.lru_cache(os.cpu_count)


def _workers() -> int:
    """How many threads zarr-python's settings allow."""
    if zarr_config.get("codec_pipeline.max_workers", default=None) is None:
        return _cores() or 1
    return zarr_pipeline._resolve_max_workers()


def made(kind: Any, *parts: Any) -> Any:
    """A call of fuzarr's; `DeclinedError` if it cannot be made of these parts."""
    try:
        return kind(*parts)
    except (NotImplementedError, TypeError, OverflowError, BufferError) as reason:
        raise DeclinedError(str(reason)) from None


class _Call:
    """What the items of one call have in common, and how they are to be carried out."""

    trust_complete = True
    #: Whether the call changes nothing.
    reads = True
    #: Whether making and finishing the call takes no longer than the way to another thread.
    is_small = False
    #: Whether the call is to fail with `BlockingIOError` rather than wait for a disk.
    at_hand = False
    #: The calls that are to be made: the numbers of the items of each, these, and itself.
    calls: Sequence[tuple[list[int], list[_Item], Any]] = ()

    def __init__(
        self, pipeline: FuzarrCodecPipeline, batch: list[_Item], drop_axes: tuple[int, ...]
    ) -> None:
        getter, spec = batch[0][:2]
        if type(getter) is not StorePath:
            raise DeclinedError(f"byte getter {type(getter).__name__}")
        prototype = spec.prototype
        if prototype.buffer is not cpu.Buffer or prototype.nd_buffer is not cpu.NDBuffer:
            raise DeclinedError("buffer prototype")
        self.pipeline = pipeline
        self.bound = _bind.bind(pipeline, spec)
        self.batch = batch
        self.store: Any = getter.store
        self.remote = self.find_remote()
        self.drop_axes = drop_axes
        config = spec.config
        self.workers = _workers()
        self.options = {
            "workers": self.workers,
            "gap": min(max(config.sharding_coalesce_max_gap_bytes, 0), MOST_BYTES),
            "span": min(max(config.sharding_coalesce_max_bytes, 0), MOST_BYTES),
            "operations": operations(),
            "write_empty_chunks": config.write_empty_chunks,
            "order": self.bound.order or "morton",
            "generous": self.way != "foreign",
            "attended": False,
        }

    def plan(
        self,
        kind: Any,
        batch: list[_Item],
        shape: tuple[int, ...] | None,
        strides: tuple[int, ...],
        memory: Any,
    ) -> list[tuple[list[int], list[_Item], Any]]:
        """Plans the items: one call for each shape of chunks, with the numbers of its items.

        `shape` and `strides` (in elements) are those of `memory`; of a single value it has none.
        """
        groups: dict[tuple[int, ...], list[int]] = {}
        first = batch[0][1]
        if any(item[1] is not first for item in batch):
            for number, item in enumerate(batch):
                groups.setdefault(item[1].shape, []).append(number)
        else:
            groups[first.shape] = list(range(len(batch)))
        if len(groups) > 1 and self.bound.layout.variable is not None:
            raise DeclinedError("text in chunks of several shapes")
        calls = []
        for numbers in groups.values():
            items = batch if len(groups) == 1 else [batch[number] for number in numbers]
            spec = items[0][1]
            frame = {
                "getter": StorePath,
                "store": self.store,
                "spec": spec,
                "trust_complete": self.trust_complete,
                "drop_axes": list(self.drop_axes),
                "shape": shape,
                "strides": strides,
            }
            bound = self.bound if spec is first else _bind.bind(self.pipeline, spec)
            call = made(kind, bound.layout, items, frame, memory, self.options)
            calls.append((numbers, items, call))
        return calls

    @property
    def estimate(self) -> int:
        """About how long it takes, in nanoseconds."""
        return sum(call.estimate for _, _, call in self.calls)

    def cancel(self) -> None:
        """Ends the call early."""
        for _, _, call in self.calls:
            call.cancel()

    def find_remote(self) -> Any:
        """fuzarr's store that does what a remote store of zarr-python would, if there is one."""
        if not _remote.is_remote(self.store) or not _remote.is_on():
            return None
        found = _remote.look(self.store)
        if isinstance(found, str) or not (found.place.writable or self.reads):
            return None
        plain = all(_remote.is_plain(item[0].path) for item in self.batch)
        return found.store if plain else None

    @property
    def way(self) -> str:
        """Who does the input and output of the call."""
        if self.remote is not None:
            return "remote"
        kind = type(self.store)
        if kind is LocalStore:
            return "local"
        if kind is MemoryStore and type(self.store._store_dict) is dict:
            return "memory"
        return "foreign"

    def pinned(self, items: list[_Item]) -> dict[str, Any]:
        """The buffers of the objects that the items name, of a `MemoryStore`."""
        found = {}
        objects = self.store._store_dict
        for item in items:
            key = item[0].path
            buffer = objects.get(key)
            if buffer is not None:
                if type(buffer) is not cpu.Buffer:
                    raise DeclinedError(f"buffer {type(buffer).__name__}")
                found[key] = buffer
        return found

    def commit(self, before: dict[str, Any], changes: dict[str, bytes | None]) -> set[str]:
        """Puts what was written into the store; the keys that others changed meanwhile."""
        new = {
            key: None if data is None else cpu.Buffer.from_bytes(data)
            for key, data in changes.items()
        }
        return set(native.commit(self.store._store_dict, before, new))


def _memory(array: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]] | None:
    """The bytes of an array that is one run of memory, with its strides in elements."""
    if array.flags.c_contiguous:
        flat = array.reshape(-1)
    elif array.flags.f_contiguous:
        flat = array.T.reshape(-1)
    else:
        return None
    # The stride of an axis of one element means nothing, and may be anything.
    steps = zip(array.shape, array.strides, strict=True)
    known = tuple([0 if extent == 1 else stride for extent, stride in steps])
    if array.size == 0 or any(stride % array.itemsize for stride in known):
        return None
    strides = tuple([stride // array.itemsize for stride in known])
    return flat.view(np.uint8), array, strides


def _in_native_order(array: np.ndarray) -> np.ndarray:
    """The array with its numbers in this machine's byte order."""
    if array.dtype.isnative:
        return array
    return array.byteswap().view(_bind.in_native_order(array.dtype))


class _Read(_Call):
    """A call of `read`."""

    def __init__(
        self,
        pipeline: FuzarrCodecPipeline,
        batch: list[_Item],
        out: NDBuffer,
        drop_axes: tuple[int, ...],
    ) -> None:
        super().__init__(pipeline, batch, drop_axes)
        if type(out) is not cpu.NDBuffer:
            raise DeclinedError(f"output {type(out).__name__}")
        self.out = cast("Any", out.as_ndarray_like())
        if type(self.out) is not np.ndarray:
            raise DeclinedError(f"output {type(self.out).__name__}")
        self.swapped = False
        layout = self.bound.layout
        if layout.variable is not None:
            self.target = self.out
            memory, shape = None, self.out.shape
            strides = tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape)))
        else:
            native_type = self.bound.dtype
            if _bind.in_native_order(self.out.dtype) != native_type:
                raise DeclinedError(f"output of {self.out.dtype} for {native_type}")
            self.target = self.out
            found = _memory(self.out) if self.out.flags.writeable else None
            if found is None:
                self.target = _in_native_order(np.array(self.out, order="C", copy=True))
                found = _memory(self.target)
            elif not self.out.dtype.isnative:
                self.swapped = True
            if found is None:
                raise DeclinedError("output without elements")
            memory, _, strides = found
            shape = self.target.shape
        self.calls = self.plan(native.ReadCall, batch, shape, strides, memory)
        wanted = sum(call.elements for _, _, call in self.calls)
        if wanted != self.out.size and (layout.variable or self.swapped):
            raise DeclinedError("a read of a part of the output")

    @property
    def ends_at_once(self) -> bool:
        """Whether the end of the call, once all is read, takes no longer than the way to another
        thread."""
        is_there = self.target is self.out and not self.swapped
        return self.is_small or (is_there and self.bound.layout.variable is None)

    def finish(self, present: list[bool], elements: list[Any] | None) -> tuple[GetResult, ...]:
        """Brings the output into its form."""
        if elements is not None:
            values = np.empty(len(elements), dtype=object)
            values[:] = elements
            self.out[...] = values.reshape(self.out.shape)
        elif self.swapped:
            self.out.view(self.bound.dtype).byteswap(inplace=True)
        elif self.target is not self.out:
            # Bytes are moved, not values: NumPy does not swap times without a unit.
            swap = not self.out.dtype.isnative
            self.out.view(self.bound.dtype)[...] = self.target.byteswap() if swap else self.target
        return tuple([GetResult(status=_STATUS[stored]) for stored in present])

    def execute(self) -> tuple[GetResult, ...]:
        """Reads from a store that answers at once."""
        present, elements = [False] * len(self.batch), None
        for numbers, items, call in self.calls:
            if self.way == "local":
                found, elements = call.local(self.store.root, self.at_hand)
            elif self.way == "remote":
                found, elements = call.remote(self.remote)
            else:
                pinned = {key: run_of_bytes(value) for key, value in self.pinned(items).items()}
                found, elements = call.memory(pinned)
            for number, stored in zip(numbers, found, strict=True):
                present[number] = stored
        return self.finish(present, elements)

    async def drive(self) -> tuple[GetResult, ...]:
        """Reads from any other store."""
        present, elements = [False] * len(self.batch), None
        for numbers, items, call in self.calls:
            machines, result = call.machines()
            steps = await drive_all(self, items, machines)
            elements = await _loop.unless(self.ends_at_once, result.take)
            for number, step in zip(numbers, steps, strict=True):
                present[number] = step == "present"
        return await _loop.unless(self.ends_at_once, self.finish, present, elements)


class _Write(_Call):
    """A call of `write`."""

    reads = False

    def __init__(
        self,
        pipeline: FuzarrCodecPipeline,
        batch: list[_Item],
        value: NDBuffer,
        drop_axes: tuple[int, ...],
    ) -> None:
        super().__init__(pipeline, batch, drop_axes)
        if type(value) is not cpu.NDBuffer:
            raise DeclinedError(f"values {type(value).__name__}")
        if self.store.read_only:
            raise DeclinedError("store that is read-only")
        if self.bound.order is None:
            raise DeclinedError("orders of inner chunks that differ")
        array: Any = value.as_ndarray_like()
        if not isinstance(array, np.ndarray):
            raise DeclinedError(f"values {type(array).__name__}")
        self.value = array
        # zarr-python keeps what a shard holds beyond the array's shape.
        self.trust_complete = not isinstance(pipeline.codecs[0], ShardingCodec)
        self.calls = self.plan_values(batch)

    def plan_values(self, batch: list[_Item]) -> list[tuple[list[int], list[_Item], Any]]:
        """Plans the writing of these items."""
        array, layout = self.value, self.bound.layout
        if layout.variable is not None:
            values: Any = array.reshape(-1).tolist()
            strides = tuple(int(np.prod(array.shape[axis + 1 :])) for axis in range(array.ndim))
        else:
            native_type = self.bound.dtype
            if _bind.in_native_order(array.dtype) != native_type:
                raise DeclinedError(f"values of {array.dtype} for {native_type}")
            array = _in_native_order(array)
            found = _memory(array) or _memory(np.array(array, order="C", copy=True))
            if found is None:
                raise DeclinedError("no values")
            values, _, strides = found
        shape = array.shape or None
        return self.plan(native.WriteCall, batch, shape, strides, values)

    def execute(self) -> None:
        """Writes to a store that answers at once."""
        for _, items, call in self.calls:
            if self.way == "local":
                call.local(self.store.root)
            elif self.way == "remote":
                self.write_remote(items, call)
            else:
                self.write_memory(items, call)

    def write_remote(self, items: list[_Item], call: Any) -> None:
        """Writes to a remote store."""
        try:
            call.remote(self.remote)
        finally:
            _remote.wrote(self.store, [item[0].path for item in items])

    def write_memory(self, items: list[_Item], call: Any) -> None:
        """Writes to a `MemoryStore`, anew where others were quicker."""
        before = self.pinned(items)
        try:
            changes = call.memory({key: run_of_bytes(value) for key, value in before.items()})
        except Exception as error:
            self.commit(before, getattr(error, "changes", {}))
            raise
        again = self.commit(before, changes)
        if again:
            left = [item for item in items if item[0].path in again]
            for _, items, call in self.plan_values(left):
                self.write_memory(items, call)

    async def drive(self) -> None:
        """Writes to any other store."""
        for _, items, call in self.calls:
            machines = await _loop.unless(self.is_small, call.machines)
            await drive_all(self, items, machines)


class FuzarrCodecPipeline(zarr_pipeline.FusedCodecPipeline):
    """zarr-python's codec pipeline, done by fuzarr wherever it can."""

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_fuzarr"}

    async def read(
        self,
        batch_info: Iterable[Any],
        out: NDBuffer,
        drop_axes: tuple[int, ...] = (),
    ) -> tuple[GetResult, ...]:
        batch: list[Any] = list(batch_info)
        if not batch:
            return ()
        outcome = await _run(self, _Read, batch, out, drop_axes)
        if outcome is None:
            return await super().read(batch, out, drop_axes)
        found: tuple[GetResult, ...] = outcome[0]
        return found

    async def write(
        self,
        batch_info: Iterable[Any],
        value: NDBuffer,
        drop_axes: tuple[int, ...] = (),
    ) -> None:
        batch: list[Any] = list(batch_info)
        if batch and await _run(self, _Write, batch, value, drop_axes) is None:
            await super().write(batch, value, drop_axes)


#: Whether folders are of file systems of this machine, of those that were read.
_prompt: dict[Any, bool] = {}


def _is_near(kind: type[_Read | _Write], store: Any) -> bool:
    """Whether a store may answer without anybody waiting for a disk or another machine."""
    # Files that are written are waited for: nobody knows how long a disk takes.
    if type(store) is LocalStore:
        return kind is _Read and _prompt.get(store.root, False)
    return type(store) is MemoryStore


def _is_small(batch: list[_Item], array: NDBuffer, most: int) -> bool:
    """Whether a call, if of at most so many items, may be so short that it need not leave the event
    loop."""
    if len(batch) > most:
        return False
    values: Any = array.as_ndarray_like()
    if type(values) is not np.ndarray or values.dtype.hasobject:
        return False
    return values.nbytes <= _loop.SMALL


def _execute(call: _Read | _Write) -> Any:
    """The outcome of a call, or what drives it if its store has to be awaited."""
    if call.way == "foreign":
        return call.drive()
    if call.way == "local" and call.store.root not in _prompt:
        if len(_prompt) >= MOST_FOLDERS:
            _prompt.clear()
        _prompt[call.store.root] = native.is_prompt(call.store.root)
    _running.add(call)
    try:
        return call.execute()
    finally:
        _running.discard(call)


def _at_hand(call: _Read | _Write) -> tuple[Any] | None:
    """As `_execute`, in a tuple; `None` if that would wait for a disk: the call is spent then."""
    call.at_hand = True
    try:
        return (_execute(call),)
    except BlockingIOError:
        return None


async def _is_ours(store: Any) -> bool:
    """Whether fuzarr does the input and output of a store, by all that is known before a call."""
    if type(store) in (LocalStore, MemoryStore):
        return True
    if not _remote.is_remote(store) or not _remote.is_on():
        return False
    found = _remote.seen(store) or await _loop.hop(_remote.look, store)
    return not isinstance(found, str)


async def _run(
    pipeline: FuzarrCodecPipeline,
    kind: type[_Read | _Write],
    batch: list[_Item],
    array: NDBuffer,
    drop_axes: tuple[int, ...],
) -> tuple[Any] | None:
    """The outcome of a call, in a tuple; `None` if zarr-python has to make it."""
    name = "read" if kind is _Read else "write"
    getter = batch[0][0]
    try:
        if type(getter) is not StorePath:
            raise DeclinedError(f"byte getter {type(getter).__name__}")
        if await _is_ours(getter.store):
            if not getter.store._is_open:
                await getter.store._ensure_open()

            calls: list[_Read | _Write] = []

            def prepare() -> Any:
                call = kind(pipeline, batch, array, drop_axes)
                calls.append(call)
                return call

            try:
                near = _is_near(kind, getter.store) and _is_small(batch, array, FEW)
                call = prepare() if near else None
                found = None
                if call and call.estimate <= _loop.QUICK:
                    found, call = _at_hand(call), None
                if found is None:
                    found = (await _loop.hop(lambda: _execute(call or prepare())),)
                (outcome,) = found
            except asyncio.CancelledError:
                for made in calls:
                    made.cancel()
                raise
            way = "native"
            if asyncio.iscoroutine(outcome):
                way, outcome = "foreign", await outcome
        else:
            small = _is_small(batch, array, FEW_AWAITED)
            driven: Any = await _loop.unless(small, kind, pipeline, batch, array, drop_axes)
            driven.is_small = small
            way, outcome = "foreign", await driven.drive()
    except (DeclinedError, NotImplementedError) as reason:
        _counts[f"{name} fallback", str(reason)] += 1
        return None
    _counts[f"{name} {way}", ""] += 1
    return (outcome,)


# Under this name it is found, and pickled.
FuzarrCodecPipeline.__module__ = "fuzarr"
register_pipeline(FuzarrCodecPipeline)

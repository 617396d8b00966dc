"""zarr-python, with each of its codec pipelines."""

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from clock import Clock
from engine import Cell, Engine, NotOfferedError, Read, Write
from place import Folder, Place, is_document, stored_files, write_files
from remote import Remote
from selections import Selection
from zarr.core.buffer import cpu
from zarr.storage import FsspecStore, MemoryStore, ObjectStore
from zarr.testing.store import LatencyStore

#: zarr-python's own pipelines.
BATCHED = "zarr.core.codec_pipeline.BatchedCodecPipeline"
FUSED = "zarr.core.codec_pipeline.FusedCodecPipeline"
_DROP_IN = "fuzarr.FuzarrCodecPipeline"
_ZARRS = "zarrs.ZarrsCodecPipeline"


class _AwaitedStore(LatencyStore):
    """A store that can only be awaited, for exactly as long as is asked."""

    def __init__(self, store: Any, *, get_latency: float, set_latency: float) -> None:
        super().__init__(store, get_latency=get_latency, set_latency=set_latency)
        self._clock = Clock()

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        await self._clock.sleep(self.get_latency)
        return await self._store.get(key, prototype=prototype, byte_range=byte_range)

    async def set(self, key: str, value: Any) -> None:
        await self._clock.sleep(self.set_latency)
        await self._store.set(key, value)

    @property
    def _supports_sync_io(self) -> bool:
        return False


class _Memory(Place):
    """A store of zarr-python's over a dictionary."""

    def __init__(self, cell: Cell, folder: Path) -> None:
        objects = stored_files(folder)
        self.objects: dict[str, Any] = {
            key: cpu.Buffer.from_bytes(content) for key, content in objects.items()
        }
        self.store: Any = MemoryStore(self.objects)
        if cell["store"] != "memory":
            seconds = cell["latency"] if cell["store"] == "latency" else 0.0
            self.store = _AwaitedStore(self.store, get_latency=seconds, set_latency=seconds)

    def clear(self) -> None:
        for key in [key for key in self.objects if not is_document(key)]:
            del self.objects[key]

    def remember(self) -> None:
        # Buffers are replaced, never changed.
        self._kept = dict(self.objects)

    def recall(self) -> None:
        self.objects.clear()
        self.objects.update(self._kept)

    def dump(self, folder: Path) -> None:
        write_files(folder, {key: buffer.to_bytes() for key, buffer in self.objects.items()})


def over_obstore(place: Remote) -> Any:
    """A remote place as a store of zarr-python's over obstore."""
    from obstore.store import S3Store

    client = {"client_options": {"allow_http": True}}
    return ObjectStore(S3Store(place.bucket, prefix=place.prefix, **place.options, **client))


def over_s3fs(place: Remote) -> Any:
    """A remote place as a store of zarr-python's over fsspec."""
    from s3fs import S3FileSystem

    # As many connections as zarr-python may use; botocore's pool has 10 otherwise.
    pool = {"max_pool_connections": max(10, zarr.config.get("async.concurrency"))}
    options = place.options
    system = S3FileSystem(
        key=options["access_key_id"],
        secret=options["secret_access_key"],
        client_kwargs={"endpoint_url": place.endpoint, "region_name": options["region"]},
        config_kwargs=pool,
        asynchronous=True,
        use_listings_cache=False,
        skip_instance_cache=True,
    )
    return FsspecStore(system, path=f"{place.bucket}/{place.prefix}")


class ZarrPython(Engine):
    """zarr-python with one codec pipeline for the whole process."""

    packages: tuple[str, ...] = ("zarr", "numcodecs", "numpy", "obstore")
    #: What makes a store of a remote place.
    over: Callable[[Remote], Any] = staticmethod(over_obstore)

    def __init__(self, pipeline: str, workers: int, *, threads: int | None = None) -> None:
        zarr.config.set({"codec_pipeline.path": pipeline})
        if workers:
            zarr.config.set({"threading.max_workers": workers})
        if threads or workers:
            # Of the fused pipeline, and of fuzarr's, which is one.
            zarr.config.set({"codec_pipeline.max_workers": threads or workers})
        self.concurrency = zarr.config.get("async.concurrency")

    def configure(self, cell: Cell) -> None:
        super().configure(cell)
        zarr.config.set({"async.concurrency": cell.get("concurrency") or self.concurrency})
        if self.asks_for_sync:
            raise NotOfferedError("zarr-python's LocalStore has no option to sync")

    def versions(self) -> dict[str, str]:
        return {name: version(name) for name in self.packages}

    def memory(self, folder: Path) -> Place:
        return _Memory(self.cell, folder)

    def open(self, place: Any, path: str = "", *, writable: bool = False) -> zarr.Array:
        mode: Any = "r+" if writable else "r"
        return zarr.open_array(self._store(place), path=path, mode=mode)

    def _store(self, place: Any) -> Any:
        if isinstance(place, Remote):
            return self.over(place)
        return str(place.path) if isinstance(place, Folder) else place.store

    def reader(self, array: zarr.Array, selection: Selection) -> Read:
        if selection.steps_back:
            raise NotOfferedError("zarr-python has no negative steps")
        index = selection.index
        target = selection.within(array)
        return lambda: target[index]

    def reader_into(self, array: zarr.Array, selection: Selection, out: np.ndarray) -> Read:
        if selection.steps_back:
            raise NotOfferedError("zarr-python has no negative steps")
        index, buffer = selection.index, cpu.NDBuffer.from_numpy_array(out)
        read = {
            "orthogonal": array.get_orthogonal_selection,
            "points": array.get_coordinate_selection,
            "mask": array.get_mask_selection,
        }.get(selection.kind, array.get_basic_selection)
        return lambda: read(index, out=buffer)

    def writer(self, array: zarr.Array, selection: Selection) -> Write:
        if selection.steps_back:
            raise NotOfferedError("zarr-python has no negative steps")
        index, target = selection.index, selection.within(array)

        def write(values: np.ndarray) -> None:
            target[index] = values

        return write

    def append(self, array: zarr.Array, rows: np.ndarray) -> None:
        array.append(rows)

    def walk(self, place: Any) -> list[tuple[str, tuple[int, ...], np.dtype]]:
        group = zarr.open_group(self._store(place), mode="r")
        return [
            (path, node.shape, node.dtype)
            for path, node in group.members(max_depth=None)
            if isinstance(node, zarr.Array)
        ]


class OverFsspec(ZarrPython):
    """zarr-python whose remote stores are fsspec's."""

    packages = ("zarr", "numcodecs", "numpy", "s3fs", "aiobotocore")
    over = staticmethod(over_s3fs)

    def configure(self, cell: Cell) -> None:
        if cell["store"] != "remote":
            raise NotOfferedError("this row is about remote stores")
        super().configure(cell)


class DropIn(ZarrPython):
    """zarr-python with fuzarr's pipeline, and fuzarr's planning if it is accelerated."""

    packages = ("fuzarr", *ZarrPython.packages)

    def __init__(self, workers: int, *, accelerated: bool) -> None:
        super().__init__(_DROP_IN, workers)
        import fuzarr

        self.config = fuzarr.config
        if accelerated:
            fuzarr.accelerate_zarr()

    def configure(self, cell: Cell) -> None:
        super().configure(cell)
        self.config.set(index_cache=bool(cell.get("caches")))


class _Counted:
    """zarr-python's pipeline inside of zarrs', which counts the calls that are left to it."""

    def __init__(self, pipeline: Any, owner: "Zarrs") -> None:
        self._pipeline = pipeline
        self._owner = owner

    async def read(self, *arguments: Any) -> Any:
        self._owner.left += 1
        return await self._pipeline.read(*arguments)

    async def write(self, *arguments: Any) -> Any:
        self._owner.left += 1
        return await self._pipeline.write(*arguments)


class Zarrs(ZarrPython):
    """zarr-python with the pipeline of zarrs-python."""

    packages = ("zarrs", *ZarrPython.packages)
    # It writes in place.
    weaker = True

    def __init__(self, workers: int) -> None:
        # It obeys `threading.max_workers`; the bounds of chunks at a time follow from that.
        super().__init__(_ZARRS, workers)
        self.left = 0

    def configure(self, cell: Cell) -> None:
        super().configure(cell)
        if cell["store"] not in ("local", "remote"):
            raise NotOfferedError("zarrs-python has no store in memory, nor stores of Python's")
        if cell.get("concurrency"):
            # Neither `chunk_concurrent_maximum` nor `threading.max_workers` changes it.
            raise NotOfferedError("zarrs-python waits for as many chunks as there are cores")

    def open(self, place: Any, path: str = "", *, writable: bool = False) -> zarr.Array:
        array = super().open(place, path, writable=writable)
        pipeline: Any = array.async_array.codec_pipeline
        if pipeline.impl is None:
            raise NotOfferedError("zarrs-python leaves this array to zarr-python")
        # Only calls that it does not make itself come by here.
        pipeline.python_impl = _Counted(pipeline.python_impl, self)
        return array

    def fallback(self) -> str | None:
        left, self.left = self.left, 0
        return "zarrs-python leaves this selection to zarr-python" if left else None


def batched(workers: int) -> Engine:
    """zarr-python as it comes."""
    return ZarrPython(BATCHED, workers)


def fused(workers: int) -> Engine:
    """zarr-python with its synchronous pipeline."""
    return ZarrPython(FUSED, workers)


def batched_fsspec(workers: int) -> Engine:
    """zarr-python as it comes, its remote stores over fsspec."""
    return OverFsspec(BATCHED, workers)


def fused_fsspec(workers: int) -> Engine:
    """Its synchronous pipeline, its remote stores over fsspec."""
    return OverFsspec(FUSED, workers)


def batched_alone(_workers: int) -> Engine:
    """zarr-python as it comes, with one thread for codecs and stores."""
    return ZarrPython(BATCHED, 1)


def fused_alone(workers: int) -> Engine:
    """The synchronous pipeline with one thread."""
    return ZarrPython(FUSED, workers, threads=1)


def drop_in(workers: int) -> Engine:
    """zarr-python with fuzarr's pipeline."""
    return DropIn(workers, accelerated=False)


def drop_in_accelerated(workers: int) -> Engine:
    """The same, with selections planned by fuzarr."""
    return DropIn(workers, accelerated=True)

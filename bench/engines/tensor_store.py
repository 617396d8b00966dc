"""tensorstore, with its file driver in both settings of `file_io_sync`."""

import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore
from engine import CACHE, Cell, Engine, NotOfferedError, Read, Write
from place import Folder, Place, is_document, stored_files, write_files
from remote import Remote
from selections import Selection


class _Memory(Place):
    """tensorstore's memory driver; the objects belong to the context."""

    def __init__(self, context: tensorstore.Context, folder: Path) -> None:
        self.context = context
        self.store = tensorstore.KvStore.open("memory://", context=context).result()
        self._put(stored_files(folder))

    def _put(self, objects: dict[str, bytes]) -> None:
        for key, content in objects.items():
            self.store.write(key, content).result()

    def _objects(self) -> dict[str, bytes]:
        keys = [key.decode() for key in self.store.list().result()]
        return {key: self.store.read(key).result().value for key in keys}

    def clear(self) -> None:
        for key in self.store.list().result():
            if not is_document(key.decode()):
                self.store.write(key, None).result()

    def remember(self) -> None:
        self._kept = self._objects()

    def recall(self) -> None:
        self.store.delete_range(tensorstore.KvStore.KeyRange()).result()
        self._put(self._kept)

    def dump(self, folder: Path) -> None:
        write_files(folder, self._objects())


class TensorStore(Engine):
    """tensorstore.

    It looks up again whether what it knows is up to date when it comes to it by itself: metadata
    when an array is opened, data, of which nothing is kept without a pool, at every read.
    """

    def __init__(self, workers: int, *, synced: bool) -> None:
        self.workers = workers
        self.synced = synced

    def configure(self, cell: Cell) -> None:
        super().configure(cell)
        if cell["operation"]["kind"] == "walk":
            raise NotOfferedError("tensorstore has no groups")
        if cell["store"] not in ("local", "memory", "remote"):
            raise NotOfferedError("tensorstore has no stores of Python's")
        if self.synced and not self.asks_for_sync:
            raise NotOfferedError("this row is about writes that are synced")
        if self.asks_for_sync and not self.synced:
            raise NotOfferedError("the row `tensorstore synced` is about this")
        self.driver = "zarr" if cell.get("array", {}).get("format") == 2 else "zarr3"
        self.context = self._context()

    def _context(self) -> tensorstore.Context:
        spec: dict[str, Any] = {}
        if self.workers:
            limit = {"limit": self.workers}
            spec = {"data_copy_concurrency": limit, "file_io_concurrency": limit}
        if self.cell.get("durability") != "as they come":
            # It comes with synced writes.
            spec["file_io_sync"] = self.synced
        if self.cell.get("caches"):
            # There is none unless asked for, and none for indexes alone.
            spec["cache_pool"] = {"total_bytes_limit": CACHE}
        if self.cell.get("concurrency"):
            spec["s3_request_concurrency"] = {"limit": self.cell["concurrency"]}
        return tensorstore.Context(spec)

    def versions(self) -> dict[str, str]:
        return {"tensorstore": version("tensorstore")}

    def memory(self, folder: Path) -> Place:
        return _Memory(self._context(), folder)

    def open(self, place: Any, path: str = "", *, writable: bool = False) -> Any:
        if isinstance(place, Folder):
            context = self.context
            kvstore = {"driver": "file", "path": str(place.path / path)}
        elif isinstance(place, Remote):
            context = self.context
            kvstore = self._s3(place, path)
        else:
            context = place.context
            kvstore = {"driver": "memory", "path": path}
        spec = {"driver": self.driver, "kvstore": kvstore}
        return tensorstore.open(
            spec, context=context, open=True, read=True, write=writable
        ).result()

    @staticmethod
    def _s3(place: Remote, path: str) -> dict[str, Any]:
        # Secrets have no place in a specification.
        os.environ["AWS_ACCESS_KEY_ID"] = place.options["access_key_id"]
        os.environ["AWS_SECRET_ACCESS_KEY"] = place.options["secret_access_key"]
        return {
            "driver": "s3",
            "bucket": place.bucket,
            "path": f"{place.prefix}/{path}",
            "endpoint": place.endpoint,
            "aws_region": place.options["region"],
            "aws_credentials": {"type": "environment"},
        }

    def reader(self, array: Any, selection: Selection) -> Read:
        index = selection.index
        match selection.kind:
            case "whole":
                return lambda: array.read().result()
            case "orthogonal":
                return lambda: array.oindex[index].read().result()
            case "points" | "mask":
                return lambda: array.vindex[index].read().result()
        return lambda: array[index].read().result()

    def reader_into(self, array: Any, selection: Selection, out: np.ndarray) -> Read:
        # The way there is: an array in memory is a store too, and stores are copied.
        index, target = selection.index, tensorstore.array(out)
        match selection.kind:
            case "whole":
                return lambda: target.write(array).result()
            case "orthogonal":
                return lambda: target.write(array.oindex[index]).result()
            case "points" | "mask":
                return lambda: target.write(array.vindex[index]).result()
        return lambda: target.write(array[index]).result()

    def writer(self, array: Any, selection: Selection) -> Write:
        index = selection.index
        match selection.kind:
            case "whole":
                return lambda values: array.write(values).result()
            case "orthogonal":
                return lambda values: array.oindex[index].write(values).result()
            case "points" | "mask":
                return lambda values: array.vindex[index].write(values).result()
        return lambda values: array[index].write(values).result()

    def append(self, array: Any, rows: np.ndarray) -> None:
        before = array.shape[0]
        shape = (before + len(rows), *array.shape[1:])
        longer = array.resize(exclusive_max=shape, expand_only=True).result()
        longer[before:].write(rows).result()


def unsynced(workers: int) -> Engine:
    """tensorstore with `file_io_sync` off."""
    return TensorStore(workers, synced=False)


def synced(workers: int) -> Engine:
    """tensorstore with `file_io_sync` on, as it comes."""
    return TensorStore(workers, synced=True)

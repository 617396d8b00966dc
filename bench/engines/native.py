"""fuzarr's own arrays."""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import fuzarr
import numpy as np
from engine import CACHE, Cell, Engine, NotOfferedError, Read, Write
from place import Place, is_document, stored_files, write_files
from remote import Remote
from selections import Selection


class _Memory(Place):
    """A store in memory."""

    def __init__(self, folder: Path) -> None:
        self.store = fuzarr.Store.memory()
        self._put(stored_files(folder))

    def _put(self, objects: Mapping[str, bytes]) -> None:
        for key, content in objects.items():
            self.store.put(key, content)

    def _objects(self) -> dict[str, bytes]:
        return {key: self.store.get(key) or b"" for key in self.store.list_keys()}

    def clear(self) -> None:
        for key in self.store.list_keys():
            if not is_document(key):
                self.store.delete(key)

    def remember(self) -> None:
        self._kept = self._objects()

    def recall(self) -> None:
        self.store = fuzarr.Store.memory()
        self._put(self._kept)

    def dump(self, folder: Path) -> None:
        write_files(folder, self._objects())


class Fuzarr(Engine):
    """fuzarr without zarr-python."""

    def __init__(self, workers: int) -> None:
        if workers:
            fuzarr.config.set(workers=workers)

    def configure(self, cell: Cell) -> None:
        super().configure(cell)
        if cell["store"] not in ("local", "memory", "remote"):
            raise NotOfferedError("the Python package has no stores of Python's")
        caches = bool(cell.get("caches"))
        fuzarr.config.set(
            index_cache=caches,
            chunk_cache=CACHE if caches else 0,
            operations=cell.get("concurrency") or None,
        )

    def versions(self) -> dict[str, str]:
        return {"fuzarr": version("fuzarr")}

    def memory(self, folder: Path) -> Place:
        return _Memory(folder)

    def open(self, place: Any, path: str = "", *, writable: bool = False) -> fuzarr.Array:
        store, mode = self._store(place), "r+" if writable else "r"
        if path:
            return fuzarr.open_array(store, path=path, mode=mode)
        return fuzarr.open_array(store, mode=mode)

    def _store(self, place: Any) -> Any:
        if isinstance(place, _Memory):
            return place.store
        if isinstance(place, Remote):
            return fuzarr.Store.remote(place.url, place.options)
        if self.asks_for_sync:
            return fuzarr.Store.local(place.path, fsync=True)
        return str(place.path)

    def reader(self, array: fuzarr.Array, selection: Selection) -> Read:
        index = selection.index
        target = selection.within(array)
        return lambda: target[index]

    def reader_into(self, array: fuzarr.Array, selection: Selection, out: np.ndarray) -> Read:
        index, modes = selection.index, {"orthogonal": "orthogonal", "whole": "basic"}
        mode: Any = modes.get(selection.kind, "vectorized")
        if selection.kind == "basic":
            mode = "basic"
        return lambda: array.read(index, out=out, mode=mode)

    def writer(self, array: fuzarr.Array, selection: Selection) -> Write:
        index, target = selection.index, selection.within(array)

        def write(values: np.ndarray) -> None:
            target[index] = values

        return write

    def append(self, array: fuzarr.Array, rows: np.ndarray) -> None:
        array.append(rows)

    def walk(self, place: Any) -> list[tuple[str, tuple[int, ...], np.dtype]]:
        group = fuzarr.open_group(self._store(place), mode="r")
        return [
            (path, node.shape, node.dtype)
            for path, node in group.members(max_depth=None)
            if isinstance(node, fuzarr.Array)
        ]

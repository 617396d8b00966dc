"""fuzarr's own arrays."""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import fuzarr
import numpy as np
from engine import CACHE, Cell, Engine, NotOfferedError, Read, Write
from place import Place, encoded, write_files
from remote import Remote
from selections import Selection

#: What codecs turn elements into bytes, in the documents of v3.
_SERIALIZERS = frozenset({"bytes", "sharding_indexed"})


def _layout(document: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with which `fuzarr.create_array` makes this document."""
    layout = {
        "shape": document["shape"],
        "fill_value": document["fill_value"],
        "attributes": document.get("attributes") or None,
        "zarr_format": document["zarr_format"],
    }
    if document["zarr_format"] == 2:
        compressor = document["compressor"]
        return layout | {
            "dtype": np.dtype(document["dtype"]),
            "chunks": document["chunks"],
            "order": document["order"],
            "filters": document["filters"] or None,
            "compressors": compressor and [compressor],
            "chunk_key_encoding": ("v2", document.get("dimension_separator", ".")),
        }
    codecs = document["codecs"]
    at = next(at for at, codec in enumerate(codecs) if codec["name"] in _SERIALIZERS)
    return layout | {
        "dtype": document["data_type"],
        "chunks": document["chunk_grid"]["configuration"]["chunk_shape"],
        "filters": codecs[:at],
        "serializer": codecs[at],
        "compressors": codecs[at + 1 :],
        "chunk_key_encoding": document["chunk_key_encoding"],
        "dimension_names": document.get("dimension_names"),
    }


class _Memory(Place):
    """A store in memory.

    The package has no way to put stored bytes there or to get them out: arrays are made with the
    documents of those in a folder, and filled with their values.
    """

    def __init__(self, folder: Path) -> None:
        self.store = fuzarr.Store.memory()
        node = fuzarr.open(str(folder), mode="r")
        if isinstance(node, fuzarr.Array):
            self._add("", node.metadata, node[...])
            return
        fuzarr.create_group(self.store)
        for path, member in node.members(max_depth=None):
            if isinstance(member, fuzarr.Array):
                self._add(path, member.metadata, member[...])
            else:
                fuzarr.create_group(self.store, path=path)

    def _add(self, path: str, document: Mapping[str, Any], values: np.ndarray) -> None:
        array = fuzarr.create_array(self.store, name=path, **_layout(document))
        array[...] = values

    def clear(self) -> None:
        array = fuzarr.open_array(self.store)
        shape = array.shape
        array.resize((0,) * len(shape))
        array.resize(shape)

    def remember(self) -> None:
        array = fuzarr.open_array(self.store)
        self._kept = array.metadata, array[...]

    def recall(self) -> None:
        self.store = fuzarr.Store.memory()
        self._add("", *self._kept)

    def dump(self, folder: Path) -> None:
        array = fuzarr.open_array(self.store)
        key = "zarr.json" if array.zarr_format == 3 else ".zarray"
        write_files(folder, {key: encoded(array.metadata)})
        fuzarr.open_array(str(folder))[...] = array[...]


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

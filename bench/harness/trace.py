"""What the floor does: which stored bytes a result is in, found by no engine."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from harness.documents import document_name
from harness.selections import Selection

#: An inner chunk's offset and length where there is none.
MISSING = 2**64 - 1

Object = dict[str, Any]


@dataclass(frozen=True)
class Touched:
    """Chunks that have selected elements, in C order."""

    #: Places in the grid, one a row.
    chunks: np.ndarray
    #: How many elements of each are selected.
    counts: np.ndarray
    #: The first and the last of them, counted through the chunk in C order.
    first: np.ndarray
    last: np.ndarray

    def __getitem__(self, which: Any) -> "Touched":
        return Touched(self.chunks[which], self.counts[which], self.first[which], self.last[which])


def touched(shape: list[int], chunk: list[int], selection: Selection) -> Touched:
    """The chunks in which elements are selected."""
    if selection["kind"] == "mask":
        return _touched_by_points(shape, chunk, list(np.nonzero(np.load(selection["file"]))))
    if selection["kind"] == "points":
        return _touched_by_points(shape, chunk, [np.array(a) for a in selection["coordinates"]])
    terms = selection.get("terms", [[0, extent, 1] for extent in shape])
    along = [_along(*each) for each in zip(terms, shape, chunk, strict=True)]
    hit = [np.nonzero(counts)[0] for counts, _, _ in along]
    chunks = np.stack(np.meshgrid(*hit, indexing="ij"), axis=-1).reshape(-1, len(shape))
    counts, first, last = np.ones((3, len(chunks)), np.int64)
    first, last = first - 1, last - 1
    for axis, (per_chunk, lowest, highest) in enumerate(along):
        places, stride = chunks[:, axis], prod(chunk[axis + 1 :])
        counts *= per_chunk[places]
        first += lowest[places] * stride
        last += highest[places] * stride
    return Touched(chunks, counts, first, last)


def _touched_by_points(shape: list[int], chunk: list[int], axes: list[np.ndarray]) -> Touched:
    grid = [-(-extent // size) for extent, size in zip(shape, chunk, strict=True)]
    sizes = np.array(chunk)[:, None]
    flat = np.ravel_multi_index(list(axes // sizes), grid)
    within = np.ravel_multi_index(list(axes % sizes), chunk)
    found, numbers, counts = np.unique(flat, return_inverse=True, return_counts=True)
    first, last = np.full(len(found), prod(chunk)), np.zeros(len(found), np.int64)
    np.minimum.at(first, numbers, within)
    np.maximum.at(last, numbers, within)
    return Touched(np.stack(np.unravel_index(found, grid), axis=-1), counts, first, last)


def _along(term: Any, extent: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How many places of one axis a term takes in each chunk, and the first and last of them."""
    cells = -(-extent // size)
    corners = np.arange(cells) * size
    if not isinstance(term, list):
        places = np.sort(term["list"]) if isinstance(term, dict) else np.array([term % extent])
        bounds = np.searchsorted(places, np.arange(cells + 1) * size)
        before, after = bounds[:-1], bounds[1:]
        first = places[np.minimum(before, len(places) - 1)]
        return after - before, first - corners, places[after - 1] - corners
    places = range(*term)
    edges = np.arange(cells + 1) * size
    bounds = np.clip(-((places.start - edges) // places.step), 0, len(places))
    before, after = bounds[:-1], bounds[1:]
    first = places.start + before * places.step
    return after - before, first - corners, places.start + (after - 1) * places.step - corners


def index_entries(index: bytes) -> np.ndarray:
    """Offsets and lengths of a shard's inner chunks, one a row, from the bytes of its index."""
    return np.frombuffer(index[: len(index) // 16 * 16], "<u8").reshape(-1, 2)


class Levels:
    """The layout of an array: objects, and the chunks that lie in them, one level or two."""

    def __init__(self, array: dict[str, Any]) -> None:
        self.array = array
        self.itemsize = np.dtype(array["dtype"]).itemsize
        sizes = [array["shards"], array["chunks"], array["nested"]]
        self.sizes: list[list[int]] = [size for size in sizes if size]

    @property
    def finest(self) -> list[int]:
        return self.sizes[-1]

    @property
    def decoded(self) -> int:
        """Bytes of a decoded chunk of the finest level."""
        return prod(self.finest) * self.itemsize

    def chunks_of(self, place: tuple[int, ...]) -> np.ndarray:
        """The finest chunks in the object at a place, inside the array or not."""
        per = [outer // inner for outer, inner in zip(self.sizes[0], self.finest, strict=True)]
        within = np.stack(np.unravel_index(np.arange(prod(per)), per), axis=-1)
        return within + np.array(place) * per

    def key(self, place: tuple[int, ...]) -> str:
        """The key of the object at a place of the grid."""
        if self.array["format"] == 2:
            return ".".join(map(str, place))
        return "/".join(["c", *map(str, place)])

    def objects(self, selection: Selection) -> Iterator[tuple[tuple[int, ...], Touched]]:
        """Each touched object's place with its chunks of the finest level."""
        found = touched(self.array["shape"], self.finest, selection)
        ratio = [outer // inner for outer, inner in zip(self.sizes[0], self.finest, strict=True)]
        places = found.chunks // ratio
        order = np.lexsort(places.T[::-1])
        found, places = found[order], places[order]
        first = np.ones(len(places), bool)
        first[1:] = (places[1:] != places[:-1]).any(axis=1)
        bounds = [*np.nonzero(first)[0].tolist(), len(places)]
        for start, stop in itertools.pairwise(bounds):
            yield tuple(places[start].tolist()), found[start:stop]


def read_trace(
    array: dict[str, Any],
    folder: Path,
    selections: list[Selection],
    prefix: str = "",
    caches: bool = False,
) -> list[Object]:
    """The objects and parts that hold what `selections` take of the array stored in `folder`.

    The indexes of shards are among what is read, once an object and selection, if nothing is kept
    between calls (`caches`)."""
    levels = Levels(array)
    objects = []
    indexes = _Indexes(levels, folder)
    for selection in selections:
        for place, found in levels.objects(selection):
            key = levels.key(place)
            traced = _traced(levels, key, indexes.spans(key, found.chunks), found.counts)
            traced["key"] = prefix + key
            if array["codec"]["name"] == "raw":
                _narrow(traced, found, levels.itemsize)
            if not caches:
                traced["indexes"] = indexes.taken()
            objects.append(traced)
    return objects


def _traced(levels: Levels, key: str, spans: list[tuple[int, int]], counts: np.ndarray) -> Object:
    parts = [
        [offset, length, levels.decoded, count * levels.itemsize]
        for (offset, length), count in zip(spans, counts.tolist(), strict=True)
    ]
    return {"key": key, "whole": len(levels.sizes) == 1, "parts": parts}


def _narrow(traced: Object, found: Touched, itemsize: int) -> None:
    """Leaves of chunks that are stored as they are what lies from the first wanted element on."""
    for part, first, last in zip(
        traced["parts"], found.first.tolist(), found.last.tolist(), strict=True
    ):
        offset, length, _, wanted = part
        if length:
            taken = (last - first + 1) * itemsize
            part[:] = [offset + first * itemsize, taken, taken, wanted]
            traced["whole"] = traced["whole"] and taken == length


def write_trace(array: dict[str, Any], folder: Path, selection: Selection) -> list[Object]:
    """The objects that writing `selection` makes or changes, with all of their parts, in the order
    of the index: where they are when `values` is stored, and how much of each is written."""
    levels = Levels(array)
    objects = []
    indexes = _Indexes(levels, folder)
    for place, found in levels.objects(selection):
        every = levels.chunks_of(place)
        places = map(tuple, found.chunks.tolist())
        written = dict(zip(places, found.counts.tolist(), strict=True))
        amounts = np.array([written.get(tuple(each), 0) for each in every.tolist()])
        key = levels.key(place)
        objects.append(_traced(levels, key, indexes.spans(key, every), amounts))
    return objects


class _Indexes:
    """Where chunks lie in objects; indexes are read once."""

    def __init__(self, levels: Levels, folder: Path) -> None:
        self.levels = levels
        self.folder = folder
        self.known: dict[tuple[str, int, int], np.ndarray] = {}
        #: Where the indexes are that were asked for since `taken`.
        self.asked: dict[tuple[int, int], None] = {}

    def taken(self) -> list[tuple[int, int]]:
        """Where the indexes are that were needed since the last call."""
        asked, self.asked = self.asked, {}
        return list(asked)

    def spans(self, key: str, chunks: np.ndarray) -> list[tuple[int, int]]:
        """Offset and length of each chunk in its object; (0, 0) if it is missing."""
        path = self.folder / key
        if not path.exists():
            return [(0, 0)] * len(chunks)
        spans = [(0, path.stat().st_size)] * len(chunks)
        for outer, inner in zip(self.levels.sizes, self.levels.sizes[1:], strict=False):
            per = [many // one for many, one in zip(outer, inner, strict=True)]
            # The chunk of this level that holds each of the finest ones.
            ratio = [many // one for many, one in zip(inner, self.levels.finest, strict=True)]
            within = (chunks // ratio) % per
            numbers = np.ravel_multi_index(list(within.T), per).tolist()
            spans = [
                self._inner(key, span, number, prod(per))
                for span, number in zip(spans, numbers, strict=True)
            ]
        return spans

    def _inner(self, key: str, span: tuple[int, int], number: int, count: int) -> tuple[int, int]:
        if span == (0, 0):
            return span
        start, size = span
        place = (start + size - 16 * count - 4, 16 * count + 4)
        self.asked[place] = None
        index = self.known.get((key, *span))
        if index is None:
            with (self.folder / key).open("rb") as file:
                file.seek(place[0])
                index = index_entries(file.read(place[1]))
            self.known[(key, *span)] = index
        offset, length = index[number].tolist()
        return (0, 0) if offset == MISSING else (start + offset, length)


def document_trace(folder: Path, array: dict[str, Any], names: list[str]) -> list[Object]:
    """The documents of the arrays called `names` below `folder` ("" for itself), read whole."""
    objects = []
    for name in names:
        key = f"{name}/{document_name(array)}".lstrip("/")
        size = (folder / key).stat().st_size
        objects.append({"key": key, "whole": True, "parts": [[0, size, size, size]]})
    return objects

"""The operations of cells, made of what an engine can do."""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from itertools import cycle, product
from pathlib import Path
from threading import Barrier
from time import perf_counter
from typing import Any

import numpy as np
from engine import Cell, Engine, Read
from selections import WHOLE, Selection, point


def _written(results: list[Any], path: Path) -> None:
    """Writes results one after the other, in C order and this machine's byte order."""
    with path.open("wb") as file:
        for result in results:
            array = np.ascontiguousarray(result)
            array = array.astype(array.dtype.newbyteorder("="), copy=False)
            file.write(array.reshape(-1).view(np.uint8))


class Operation:
    """What a cell times."""

    #: Whether something is to be done, untimed, before every call.
    restores = False
    #: Seconds that the call of `check` took, if nothing else was timed with it.
    taken: float | None = None
    #: One call.
    call: Callable[[], Any]

    def __init__(self, engine: Engine, cell: Cell, request: Mapping[str, Any]) -> None:
        self.engine = engine
        self.cell = cell
        self.described = cell["operation"]
        self.request = request
        self.folder = Path(request["folder"])
        self.scratch = Path(request["scratch"])
        self.prepare()

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape."""
        return tuple(self.cell["array"]["shape"])

    def selections(self) -> list[Selection]:
        """The selections of the operation."""
        return [Selection(each, self.shape) for each in self.described["selections"]]

    def contents(self) -> tuple[np.ndarray, np.ndarray]:
        """The array's two contents."""
        dtype = np.dtype(self.cell["array"]["dtype"])
        values, other = (
            np.fromfile(self.request[name], dtype).reshape(self.shape)
            for name in ("values", "other")
        )
        return values, other

    def prepare(self) -> None:
        """Opens what the operation needs."""
        raise NotImplementedError

    def restore(self) -> None:
        """Makes the state in which a call starts."""

    def check(self) -> None:
        """One call, whose outcome is left in `scratch`."""
        raise NotImplementedError

    def touch(self) -> None:
        """One point read."""
        raise NotImplementedError

    def close(self) -> None:
        """Ends what does not end by itself."""


class ReadOperation(Operation):
    """Selections of an array that is open, one after the other."""

    def prepare(self) -> None:
        self.place = self.engine.source(self.folder)
        self.wanted = self.selections()
        self.reopen()

    def reopen(self) -> None:
        """Opens the array anew."""
        # The one before goes first: an engine may keep what an open array knows.
        self.array, self.reads, self.call = None, [], self.all
        self.array = self.engine.open(self.place)
        self.reads = [self.read(selection) for selection in self.wanted]
        if len(self.reads) == 1:
            # What a loop over one would take is not the engine's.
            self.call = self.reads[0]

    def read(self, selection: Selection) -> Read:
        """What reads one selection."""
        if not self.described.get("into"):
            return self.engine.reader(self.array, selection)
        shape = selection.of(np.broadcast_to(np.uint8(0), self.shape)).shape
        out = np.full(shape, 1, dtype=self.cell["array"]["dtype"])
        read = self.engine.reader_into(self.array, selection, out)

        def into() -> np.ndarray:
            read()
            return out

        return into

    def all(self) -> Any:
        """All selections."""
        for read in self.reads:
            result = read()
        return result

    def check(self) -> None:
        start = perf_counter()
        results = [read() for read in self.reads]
        self.taken = perf_counter() - start
        _written(results, self.scratch / "result.bin")

    def touch(self) -> None:
        self.engine.reader(self.array, point(self.shape))()


class ColdOperation(ReadOperation):
    """The same of an array that has just been opened."""

    restores = True

    def restore(self) -> None:
        self.reopen()


class ThreadsOperation(ReadOperation):
    """Selections of one array, shared out over threads."""

    def prepare(self) -> None:
        super().prepare()
        self.count = self.described["threads"]
        self.pool = _started(self.count)

        self.call = self.together

    def _share(self, thread: int) -> None:
        for read in self.reads[thread :: self.count]:
            read()

    def together(self) -> None:
        """All threads, from the first to the last."""
        for share in [self.pool.submit(self._share, thread) for thread in range(self.count)]:
            share.result()

    def close(self) -> None:
        self.pool.shutdown()


class ArraysOperation(Operation):
    """Whole arrays, each with a handle and a thread of its own."""

    def prepare(self) -> None:
        self.count = self.described["count"]
        self.place = self.engine.source(self.folder)
        whole = Selection(WHOLE, self.shape)
        self.arrays = [self.engine.open(self.place, str(name)) for name in range(self.count)]
        self.reads = [self.engine.reader(array, whole) for array in self.arrays]
        self.pool = _started(self.count)

    def call(self) -> list[Any]:
        reads = [self.pool.submit(read) for read in self.reads]
        return [read.result() for read in reads]

    def check(self) -> None:
        _written(self.call(), self.scratch / "result.bin")

    def touch(self) -> None:
        self.engine.reader(self.arrays[0], point(self.shape))()

    def close(self) -> None:
        self.pool.shutdown()


def _started(count: int) -> ThreadPoolExecutor:
    """A pool of threads that have started."""
    pool, all_there = ThreadPoolExecutor(count), Barrier(count)
    for thread in [pool.submit(all_there.wait) for _ in range(count)]:
        thread.result()
    return pool


class WriteOperation(Operation):
    """A selection, or several, of an array that is open."""

    def prepare(self) -> None:
        self.restores = self.described["onto"] == "nothing"
        document, at = self.cell["document"], self.scratch / "array"
        # The same bytes for all engines, and none of them has been at work yet, if they are there.
        stored = None if self.restores or not any(self.folder.glob("*")) else self.folder
        self.place = self.engine.target(document, at, stored)
        self.array = self.engine.open(self.place, writable=True)
        selections = self.selections()
        self.writes = [self.engine.writer(self.array, selection) for selection in selections]
        self.values, self.other = self.contents()
        if not self.restores and not stored:
            self.engine.writer(self.array, Selection(WHOLE, self.shape))(self.values)
        self.checked, changed = (_parts(each, selections) for each in (self.values, self.other))
        # Other contents first: what is stored is `values`.
        self.turns = cycle([changed, self.checked])
        self.changed = changed

    def restore(self) -> None:
        if self.restores:
            self.place.clear()

    def call(self) -> None:
        self._write(next(self.turns))

    def _write(self, parts: list[Any]) -> None:
        for write, part in zip(self.writes, parts, strict=True):
            write(part)

    def check(self) -> None:
        self.restore()
        if not self.restores:
            # If `values` were all that is written, who does nothing would pass.
            self._write(self.changed)
            self._confirm()
        self._write(self.checked)
        self.place.dump(self.scratch / "array")

    def _confirm(self) -> None:
        array = self.engine.open(self.place)
        for selection in self.selections():
            read = self.engine.reader(array, selection)()
            if not np.array_equal(read, selection.of(self.other)):
                raise ValueError("a write over what was stored changed something else")

    def touch(self) -> None:
        self.engine.reader(self.array, point(self.shape))()


def _parts(contents: np.ndarray, selections: list[Selection]) -> list[Any]:
    """The contents of selections, each as one run of memory or a single number."""
    parts = (selection.of(contents) for selection in selections)
    return [np.ascontiguousarray(part) if np.ndim(part) else part for part in parts]


class AppendOperation(Operation):
    """Rows at the end of an array."""

    restores = True

    def prepare(self) -> None:
        rows = self.described["rows"]
        values, other = self.contents()
        self.rows, self.checked = other[-rows:].copy(), values[-rows:].copy()
        document = deepcopy(dict(self.cell["document"]))
        document["shape"][0] -= rows
        self.place = self.engine.target(document, self.scratch / "array")
        before = self.engine.open(self.place, writable=True)
        shape = (self.shape[0] - rows, *self.shape[1:])
        self.engine.writer(before, Selection(WHOLE, shape))(np.ascontiguousarray(values[:-rows]))
        self.place.remember()
        self.restore()

    def restore(self) -> None:
        self.place.recall()
        self.array = self.engine.open(self.place, writable=True)

    def call(self) -> None:
        self.engine.append(self.array, self.rows)

    def check(self) -> None:
        self.restore()
        self.engine.append(self.array, self.checked)
        self.place.dump(self.scratch / "array")

    def touch(self) -> None:
        self.engine.reader(self.array, point(self.shape))()


class RoundTripOperation(Operation):
    """An array read and written again, an object at a time."""

    restores = True

    def prepare(self) -> None:
        self.source = self.engine.source(self.folder)
        document = self.cell["document"]
        self.place = self.engine.target(document, self.scratch / "array")
        self.array = self.engine.open(self.source)
        target = self.engine.open(self.place, writable=True)
        self.steps = [
            (self.engine.reader(self.array, region), self.engine.writer(target, region))
            for region in _objects(document, self.shape)
        ]

    def restore(self) -> None:
        self.place.clear()

    def call(self) -> None:
        for read, write in self.steps:
            write(read())

    def check(self) -> None:
        self.restore()
        self.call()
        self.place.dump(self.scratch / "array")

    def touch(self) -> None:
        self.engine.reader(self.array, point(self.shape))()


def _objects(document: Mapping[str, Any], shape: tuple[int, ...]) -> list[Selection]:
    """The regions of an array's objects."""
    if document["zarr_format"] == 2:
        lengths = document["chunks"]
    else:
        lengths = document["chunk_grid"]["configuration"]["chunk_shape"]
    axes = [
        [[start, min(start + length, extent), 1] for start in range(0, extent, length)]
        for extent, length in zip(shape, lengths, strict=True)
    ]
    return [Selection({"kind": "basic", "terms": list(terms)}, shape) for terms in product(*axes)]


class OpenOperation(Operation):
    """An array is opened, nothing is read."""

    def prepare(self) -> None:
        self.place = self.engine.source(self.folder)

    def call(self) -> Any:
        return self.engine.open(self.place)

    def check(self) -> None:
        first = self.engine.reader(self.call(), point(self.shape))()
        _written([first], self.scratch / "result.bin")

    def touch(self) -> None:
        self.engine.reader(self.call(), point(self.shape))()


class WalkOperation(Operation):
    """All members of a group are visited."""

    def prepare(self) -> None:
        self.place = self.engine.source(self.folder)

    def call(self) -> Any:
        return self.engine.walk(self.place)

    def check(self) -> None:
        found = sorted((path, list(shape), dtype.name) for path, shape, dtype in self.call())
        (self.scratch / "result.bin").write_text(json.dumps(found))

    def touch(self) -> None:
        """There is no one array to read."""


OPERATIONS: dict[str, type[Operation]] = {
    "read": ReadOperation,
    "read cold": ColdOperation,
    "threads": ThreadsOperation,
    "arrays": ArraysOperation,
    "write": WriteOperation,
    "append": AppendOperation,
    "round trip": RoundTripOperation,
    "open": OpenOperation,
    "walk": WalkOperation,
}

"""Workloads: from the tables in `bench/families` to cells, each one thing that is timed."""

import itertools
import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

FAMILIES = Path(__file__).parents[1] / "families"

CODECS: dict[str, dict[str, Any]] = {
    "raw": {"name": "raw"},
    "zstd 0": {"name": "zstd", "level": 0, "checksum": False},
    "gzip 5": {"name": "gzip", "level": 5},
    "blosc lz4": {"name": "blosc", "cname": "lz4", "clevel": 5, "shuffle": "shuffle"},
}

ARRAY = {
    "shape": None,
    "chunks": None,
    "shards": None,
    "nested": None,
    "dtype": "uint8",
    "codec": "zstd 0",
    "format": 3,
    "fill_value": 0,
}

#: Everything else that a family may set, with what it is where a family is silent.
SETTINGS = {
    "content": "semi-random",
    "latency": 0.0,
    "concurrency": 0,
    "durability": "renamed",
    "caches": False,
    "workers": 0,
    "place": "memory",
    "measure": "time",
    "target": None,
    "turns": 0,
    "stores": ["local", "memory"],
}

#: Kinds of operation that change what is stored.
CHANGES = ("write", "append", "round trip")


@dataclass(frozen=True)
class Cell:
    """One operation on one array in one kind of store."""

    family: str
    name: str
    array: dict[str, Any]
    content: str
    #: As the family gives it: selections not yet drawn.
    operation: dict[str, Any]
    store: str
    latency: float
    durability: str
    caches: bool
    #: Threads of each engine; 0: what the engine takes by itself.
    workers: int
    #: Whether local files lie in "memory" (a file system there) or on "disk".
    place: str
    #: "time", or "memory": peak and allocations.
    measure: str
    #: Seconds that the native engine must not exceed, if that is asked of the cell.
    target: float | None
    quick: bool = field(default=False, compare=False)
    #: Requests to a remote store at the same time, where an engine can be told; 0: as it comes.
    concurrency: int = 0
    #: Turns that each engine gets at least; 0: by how long a call takes.
    turns: int = 0

    @property
    def title(self) -> str:
        return f"{self.family}: {self.name}"

    @property
    def changes(self) -> bool:
        """Whether the operation writes."""
        return self.operation["kind"] in CHANGES

    @property
    def data(self) -> str:
        """What is the same for all cells that share what is stored."""
        group = self.operation["kind"] if self.operation["kind"] in ("arrays", "walk") else ""
        count = self.operation.get("count", 0)
        return json.dumps([self.array, self.content, group, count], sort_keys=True)

    @property
    def chunk_bytes(self) -> int:
        """Bytes of the smallest chunk, the one that is encoded by itself."""
        chunk = self.array["nested"] or self.array["chunks"]
        return prod(chunk) * np.dtype(self.array["dtype"]).itemsize

    @property
    def array_bytes(self) -> int:
        return prod(self.array["shape"]) * np.dtype(self.array["dtype"]).itemsize


def load(folder: Path = FAMILIES, only: str = "", quick: bool = False) -> list[Cell]:
    """The cells of all families whose title contains `only`.

    Raises ValueError for a family that does not make sense."""
    cells = []
    for path in sorted(folder.glob("*.toml"), key=_rank):
        cells += family(path.stem, tomllib.loads(path.read_text()))
    return [cell for cell in cells if only in cell.title and (cell.quick or not quick)]


def titles(folder: Path = FAMILIES) -> dict[str, tuple[str, str]]:
    """Each family's title and what it is about, in the order of the report."""
    found = {}
    for path in sorted(folder.glob("*.toml"), key=_rank):
        table = tomllib.loads(path.read_text())
        found[path.stem] = (table["title"], table["about"].strip())
    return found


def _rank(path: Path) -> tuple[int, str]:
    return tomllib.loads(path.read_text())["rank"], path.stem


def family(name: str, table: dict[str, Any]) -> list[Cell]:
    """The cells of one family."""
    cells: list[Cell] = []
    for sweep in table["sweep"]:
        found = list(_sweep(name, sweep))
        known = {cell.name for cell in found}
        for quick in sweep.get("quick", []):
            if quick not in known:
                raise ValueError(f"{name}: no cell {quick!r} to run quickly")
        cells += found
    names = [cell.name for cell in cells]
    if len(set(names)) != len(names):
        twice = {cell for cell in names if names.count(cell) > 1}
        raise ValueError(f"{name}: cells of one name: {sorted(twice)}")
    return cells


def _sweep(family_name: str, sweep: dict[str, Any]) -> Iterator[Cell]:
    unknown = set(sweep) - {"array", "operations", "vary", "quick"} - set(SETTINGS)
    if unknown:
        raise ValueError(f"{family_name}: unknown settings {sorted(unknown)}")
    axes = [list(options.items()) for options in sweep.get("vary", {}).values()]
    for choice in itertools.product(*axes):
        settings = SETTINGS | {key: sweep[key] for key in SETTINGS if key in sweep}
        array = ARRAY | sweep.get("array", {})
        skipped: set[str] = set()
        for _, option in choice:
            array |= {key: option[key] for key in ARRAY if key in option}
            settings |= {key: option[key] for key in SETTINGS if key in option}
            skipped |= set(option.get("without", []))
            if rest := set(option) - set(ARRAY) - set(SETTINGS) - {"without"}:
                raise ValueError(f"{family_name}: unknown settings {sorted(rest)}")
        labels = [label for label, _ in choice]
        for label, operation in sweep["operations"].items():
            if label in skipped:
                continue
            for store in settings["stores"]:
                yield _cell(family_name, [label, *labels, store], array, settings, operation, sweep)


def _cell(
    family_name: str,
    labels: list[str],
    array: dict[str, Any],
    settings: dict[str, Any],
    operation: dict[str, Any],
    sweep: dict[str, Any],
) -> Cell:
    name = ", ".join(label for label in labels if label)
    own = {key: operation[key] for key in SETTINGS if key in operation and key != "stores"}
    operation = {key: value for key, value in operation.items() if key not in SETTINGS}
    settings = settings | own
    target = settings["target"]
    return Cell(
        family=family_name,
        name=name,
        array=dict(array, codec=CODECS[array["codec"]]),
        content=settings["content"],
        operation=operation,
        store=labels[-1],
        latency=settings["latency"],
        durability=settings["durability"],
        caches=settings["caches"],
        workers=settings["workers"],
        place=settings["place"],
        measure=settings["measure"],
        target=target.get(labels[-1]) if isinstance(target, dict) else target,
        quick=name in sweep.get("quick", []),
        concurrency=settings["concurrency"],
        turns=settings["turns"],
    )

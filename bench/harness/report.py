"""A run as data, as a page, and as plots."""

import dataclasses
import itertools
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import cells as workloads
from harness import page, plots
from harness.cells import Cell
from harness.engines import DROP_IN_PEERS, DROP_INS, NATIVE, PEERS, RUST, RUST_PEERS
from harness.ratios import (
    Row,
    best,
    floor_kind,
    geometric_mean,
    is_small,
    misses,
    ratio,
    slower_with_workers,
    standing,
)

#: Each engine of ours with those that it is compared with.
COMPARED = {
    NATIVE: PEERS,
    **dict.fromkeys(DROP_INS, DROP_IN_PEERS),
    RUST: RUST_PEERS,
}


STANDS = {"behind": "behind", "near tie": "a tie that does not count"}


@dataclass
class Run:
    """What was measured, and where."""

    machine: dict[str, Any]
    commit: str
    cells: list[Cell]
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    date: str = ""
    seconds: int = 0
    #: What the base is called, if there is one.
    base: str = ""
    #: How it was asked for: engines, seconds.
    settings: dict[str, Any] = field(default_factory=dict)
    #: Families that were measured again, and cells that came to others, by date and commit.
    again: dict[str, list[str]] = field(default_factory=dict)

    def by_cell(self) -> dict[str, dict[str, Row]]:
        """The rows of each cell by engine."""
        found: dict[str, dict[str, Row]] = {cell.title: {} for cell in self.cells}
        for row in self.rows:
            found[row["cell"]][row["engine"]] = row
        return found

    def renewal(self, cells: list[Cell], settings: dict[str, Any]) -> list[str]:
        """What measuring `cells` would make new: families, and those that cells come to.

        Raises ValueError if that is some of what is known of a family, or asked for otherwise.
        """
        for what, asked in settings.items():
            if self.settings.get(what, asked) != asked:
                raise ValueError(f"other {what} than those of the run: {self.settings[what]}")
        told = []
        for family in dict.fromkeys(cell.family for cell in cells):
            known, new = (
                {cell.title for cell in some if cell.family == family}
                for some in (self.cells, cells)
            )
            if known <= new:
                told.append(family)
            elif known & new:
                raise ValueError(f"not all cells of {family}")
            else:
                told.append(f"{family}, {len(new)} new cells")
        return told

    def renew(self, newer: "Run") -> None:
        """Puts what `newer` measured in the place of the same families, or adds new cells to them.

        Raises ValueError if that is of another machine, and as `renewal` does.
        """
        for what in ("cpu", "cores", "memory_bytes", "kernel"):
            if self.machine[what] != newer.machine[what]:
                raise ValueError(f"another machine: its {what} is {newer.machine[what]}")
        told = self.renewal(newer.cells, {})
        titles = {cell.title for cell in newer.cells}
        kept = [cell for cell in self.cells if cell.title not in titles]
        rank = {family: number for number, family in enumerate(workloads.titles())}
        self.cells = sorted(
            [*kept, *newer.cells], key=lambda cell: rank.get(cell.family, len(rank))
        )
        self.rows = [row for row in self.rows if row["cell"] not in titles] + newer.rows
        self.versions |= newer.versions
        self.seconds = 0
        for by, known in self.again.items():
            self.again[by] = [each for each in known if each.split(",")[0] not in told]
        by = f"{newer.date}, commit {newer.commit}"
        self.again[by] = sorted({*self.again.get(by, ()), *told})
        if {cell.family for cell in self.cells} <= set(itertools.chain(*self.again.values())):
            # Nothing is left of the run that was begun with.
            for what in ("machine", "commit", "date", "settings"):
                setattr(self, what, getattr(newer, what))
            self.again[by] = [each for each in self.again[by] if "," in each]
        self.again = {by: known for by, known in self.again.items() if known}

    def to_json(self) -> str:
        """Everything, a row a line."""
        table = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        table["cells"] = [dataclasses.asdict(cell) for cell in self.cells]
        lines = [f'"{key}": {_lines(value)}' for key, value in table.items()]
        return "{\n" + ",\n".join(lines) + "\n}\n"

    @classmethod
    def from_json(cls, text: str) -> "Run":
        """What `to_json` made."""
        table = json.loads(text)
        table["cells"] = [Cell(**cell) for cell in table["cells"]]
        return cls(**table)


def _lines(value: Any) -> str:
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(json.dumps(each) for each in value) + "\n]"
    return json.dumps(value)


@dataclass
class Summary:
    """How a run stands."""

    #: Of each engine of ours: how many cells stand in which way.
    counts: dict[str, Counter[str]]
    #: How many times as fast as the best peer for small chunks, in the mean.
    small: dict[str, float | None]
    #: The same of each family (of memory: as lean).
    families: dict[str, dict[str, float | None]]
    #: Of each engine: (cell, what), worst first.
    behind: dict[str, list[tuple[str, str]]]
    off_floor: dict[str, list[tuple[str, str]]]
    slower_with_workers: list[tuple[str, str]]
    failures: list[tuple[str, str, str]]


def summary(run: Run) -> Summary:
    """What the page says first."""
    found = Summary({}, {}, {}, {}, {}, [], [])
    rows = run.by_cell()
    families = dict.fromkeys(cell.family for cell in run.cells)
    found.families = {family: _means(run, rows, family) for family in families}
    for engine, peers in COMPARED.items():
        counts: Counter[str] = Counter()
        behind, off, small = [], [], []
        for cell in run.cells:
            mine = rows[cell.title]
            stands = standing(mine, engine, peers, floor_kind(cell))
            if stands is not None:
                counts[stands] += 1
                peer = best(mine, peers)
                over = ratio(mine[engine], mine[peer]) if peer else None
                if over and stands in ("behind", "near tie"):
                    behind.append((over, cell.title, f"{over:.2f} of {peer}, {STANDS[stands]}"))
                if over and is_small(cell):
                    small.append(1 / over)
            if engine in (NATIVE, RUST):
                over = ratio(mine.get(engine), mine.get(floor_kind(cell))) or 0.0
                off += [(over, cell.title, why) for why in misses(cell, mine, engine)]
        found.counts[engine] = counts
        found.small[engine] = geometric_mean(small)
        found.behind[engine] = [each[1:] for each in sorted(behind, reverse=True)]
        found.off_floor[engine] = [each[1:] for each in sorted(off, reverse=True)]
    found.slower_with_workers = list(_slower_with_workers(run))
    for engine, versions in run.versions.items():
        if "error" in versions:
            found.failures.append(("not measured", engine, versions["error"]))
    for row in run.rows:
        for kind in ("wrong", "error"):
            if kind in row:
                found.failures.append((kind, row["engine"], f"{row['cell']}: {row[kind]}"))
    return found


def _means(run: Run, rows: dict[str, dict[str, Row]], family: str) -> dict[str, float | None]:
    """How many times as fast as the best peer each engine is in a family, in the mean."""
    cells = [rows[cell.title] for cell in run.cells if cell.family == family]
    means = {}
    for engine, peers in COMPARED.items():
        overs = (ratio(mine.get(best(mine, peers) or ""), mine.get(engine)) for mine in cells)
        means[engine] = geometric_mean([over for over in overs if over])
    return means


def _slower_with_workers(run: Run) -> Iterable[tuple[str, str]]:
    rows = run.by_cell()
    for cell in run.cells:
        if cell.workers != 1:
            continue
        together = cell.title.replace("one worker", "all workers")
        for engine in COMPARED:
            alone, all_of_them = rows[cell.title].get(engine), rows.get(together, {}).get(engine)
            if slower_with_workers(cell, alone, all_of_them):
                over = ratio(all_of_them, alone)
                yield engine, f"{together}: {over:.2f} of one worker"


def closing(run: Run) -> str:
    """The end of a run in a few lines."""
    found = summary(run)
    lines = []
    for engine, counts in found.counts.items():
        told = ", ".join(f"{count} {stands}" for stands, count in counts.most_common())
        mean = found.small[engine]
        small = f"; small chunks {mean:.1f} times as fast as the best peer" if mean else ""
        lines.append(f"{engine}: {told or 'nothing to compare'}{small}")
    return "\n".join(lines)


def write(run: Run, folder: Path, name: str) -> list[Path]:
    """Writes page, data and plots into `folder`; says which files."""
    folder.mkdir(parents=True, exist_ok=True)
    data, text = folder / f"{name}.json", folder / f"{name}.md"
    data.write_text(run.to_json())
    pictures = plots.write(run, folder, name)
    families = workloads.titles()
    text.write_text(
        page.page(run, summary(run), families, {key: path.name for key, path in pictures.items()})
    )
    return [text, data, *pictures.values()]

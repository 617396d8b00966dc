"""A run as a page of Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from harness.cells import Cell
from harness.engines import (
    BASE,
    DROP_IN_PEERS,
    DROP_INS,
    NATIVE,
    PEERS,
    REPORTED,
    RUST,
    RUST_ENGINES,
    RUST_PEERS,
    WAITS,
)
from harness.ratios import (
    FEW_TURNS,
    SMALL_MEAN,
    Row,
    best,
    floor_kind,
    misses,
    overlap,
    ratio,
    standing,
    value,
)

if TYPE_CHECKING:
    from harness.report import Run, Summary

#: Cells named in a list of the summary at the most.
LISTED = 60


def page(
    run: Run,
    summary: Summary,
    families: dict[str, tuple[str, str]],
    pictures: dict[str, str],
) -> str:
    """The page: summary, then a section a family."""
    lines = ["# fuzarr beside its peers", "", *_machine(run), ""]
    if "overview" in pictures:
        lines += [f"![Time over the best peer's, every cell]({pictures['overview']})", ""]
    lines += [*_summary(summary), *_families(summary, families)]
    if run.base:
        lines += _against_base(run)
    rows = run.by_cell()
    for family, (title, about) in families.items():
        cells = [cell for cell in run.cells if cell.family == family]
        if not cells:
            continue
        lines += ["", f"## {title}", "", " ".join(about.split()), ""]
        if family in pictures:
            lines += [f"![{title}: every engine]({pictures[family]})", ""]
        lines += _table(cells, rows)
        lines += ["", *_every_engine(cells, rows)]
    return "\n".join(lines) + "\n"


def _machine(run: Run) -> list[str]:
    machine = run.machine
    packages = ", ".join(sorted(_packages(run)))
    return [
        f"{run.date}, commit {run.commit}; {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['memory_bytes'] / 2**30:.0f} GiB, {machine['kernel']}, "
        f"files on {' and '.join(machine['file_systems'])}; load at the start "
        f"{machine['load_at_start']}. {len(run.cells)} cells"
        f"{f' in {run.seconds / 60:.0f} minutes' if run.seconds else ''}, "
        f"{run.settings.get('seconds', 0):g} s an engine and cell.",
        *(f"Measured again, {by}: {'; '.join(families)}." for by, families in run.again.items()),
        f"Versions: {packages}.",
        "",
        "Numbers after a time are that time over the other's: below 1 is ahead. How to read this: "
        "`docs/benchmark.md`.",
    ]


def _packages(run: Run) -> set[str]:
    """Names and versions of what the engines are made of."""
    return {
        f"{name}{' (crate)' if engine in RUST_ENGINES else ''} {version}"
        for engine, versions in run.versions.items()
        for name, version in versions.items()
        if name not in ("error", "not", "threads")
    }


def _summary(summary: Summary) -> list[str]:
    lines = [
        "| | ahead | tie | tie, peer not near the floor | behind | chunks under 16 kB |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for engine, counts in summary.counts.items():
        mean = summary.small[engine]
        small = f"{mean:.1f} times as fast" if mean else ""
        if engine == NATIVE and mean:
            small += f" (target {SMALL_MEAN:g})"
        numbers = [counts[stands] for stands in ("ahead", "tie", "near tie", "behind")]
        lines.append(f"| {engine} | " + " | ".join(map(str, numbers)) + f" | {small} |")
    return lines


def _families(summary: Summary, families: dict[str, tuple[str, str]]) -> list[str]:
    """How many times as fast as the best peer, family by family; then what is short of its goal."""
    lines = [
        "",
        "Times as fast as the best peer of each cell (memory: times as lean), geometric means:",
        "",
        f"| | {' | '.join(summary.counts)} |",
        "|---|" + "--:|" * len(summary.counts),
    ]
    for family, means in summary.families.items():
        told = [f"{mean:.2f}" if mean else "" for mean in means.values()]
        title, _ = families.get(family, (family, ""))
        lines.append(f"| {title} | {' | '.join(told)} |")
    for engine, cells in summary.behind.items():
        lines += _list(f"{engine}: behind, or a tie that does not count", cells)
    for engine, cells in summary.off_floor.items():
        lines += _list(f"{engine}: further from the floor than it should be", cells)
    lines += _list("Slower with more workers", summary.slower_with_workers)
    lines += _list("Failures", [(f"{kind}: {who}", what) for kind, who, what in summary.failures])
    return lines


def _list(title: str, entries: Iterable[tuple[str, str]]) -> list[str]:
    found = list(entries)
    if not found:
        return []
    lines = ["", "<details>", f"<summary>{title}: {len(found)}</summary>", ""]
    lines += [f"- {cell}: {what}" for cell, what in found[:LISTED]]
    if len(found) > LISTED:
        lines.append(f"- and {len(found) - LISTED} more, in the tables below")
    return [*lines, "", "</details>"]


def _table(cells: list[Cell], rows: dict[str, dict[str, Row]]) -> list[str]:
    timed = any(cell.measure == "time" for cell in cells)
    columns = [
        "cell",
        "fuzarr",
        "to the best peer",
        "to the floor, ready / fresh",
        "drop-in",
        "accelerated",
        "fuzarr in Rust, to zarrs",
        "notes",
    ]
    if not timed:
        columns[3] = "allocations, peer's"
    lines = [f"| {' | '.join(columns)} |", "|---|--:|--:|--:|--:|--:|--:|---|"]
    lines += [f"| {' | '.join(_cells(cell, rows[cell.title]))} |" for cell in cells]
    return lines


def _cells(cell: Cell, rows: dict[str, Row]) -> list[str]:
    native = rows.get(NATIVE)
    beside = _floors(cell, rows) if cell.measure == "time" else _allocations(rows)
    return [
        cell.name,
        amount(cell, value(native)),
        _to_best(rows, NATIVE, PEERS),
        beside,
        *(_with_ratio(cell, rows, engine, DROP_IN_PEERS) for engine in DROP_INS),
        _with_ratio(cell, rows, RUST, RUST_PEERS),
        "; ".join(_notes(cell, rows)),
    ]


def _to_best(rows: dict[str, Row], engine: str, peers: tuple[str, ...]) -> str:
    peer = best(rows, peers)
    over = ratio(rows.get(engine), rows.get(peer)) if peer else None
    if over is None or peer is None:
        return ""
    return f"{over:.2f}" if len(peers) == 1 else f"{over:.2f} {peer}"


def _with_ratio(cell: Cell, rows: dict[str, Row], engine: str, peers: tuple[str, ...]) -> str:
    mine = value(rows.get(engine))
    if mine is None:
        return ""
    told = [amount(cell, mine), _to_best(rows, engine, peers)]
    return ", ".join(each for each in told if each)


def _floors(cell: Cell, rows: dict[str, Row]) -> str:
    """Both ratios; the one that counts is in bold. Where waiting is all, the one there is."""
    if floor_kind(cell) == WAITS:
        over = ratio(rows.get(NATIVE), rows.get(WAITS))
        return "" if over is None else f"**{over:.2f}**"
    told = []
    for floor in ("floor ready", "floor fresh"):
        over = ratio(rows.get(NATIVE), rows.get(floor))
        text = "" if over is None else f"{over:.2f}"
        told.append(f"**{text}**" if text and floor == floor_kind(cell) else text)
    return " / ".join(told) if any(told) else ""


def _allocations(rows: dict[str, Row]) -> str:
    counted = {
        engine: rows[engine].get("allocations")
        for engine in (NATIVE, *PEERS)
        if value(rows.get(engine)) is not None
    }
    mine = counted.pop(NATIVE, None)
    if mine is None:
        return ""
    others = [count for count in counted.values() if count is not None]
    return f"{mine}, {min(others)}" if others else str(mine)


def _notes(cell: Cell, rows: dict[str, Row]) -> Iterable[str]:
    groups = ((NATIVE, PEERS), *((each, DROP_IN_PEERS) for each in DROP_INS), (RUST, RUST_PEERS))
    for engine, peers in groups:
        stands = standing(rows, engine, peers, floor_kind(cell))
        if stands not in (None, "ahead"):
            yield f"{engine} {'tie, does not count' if stands == 'near tie' else stands}"
    for engine in (NATIVE, RUST):
        for reason in misses(cell, rows, engine):
            yield f"{engine} {reason}"
    for engine, row in rows.items():
        if row.get("weaker") and value(row) is not None:
            over = ratio(rows.get(NATIVE), row)
            beside = f", to it {over:.2f}" if over is not None else ""
            yield f"{engine} writes in place{beside}"
        for kind in ("wrong", "error"):
            if kind in row:
                yield f"**{engine}: {kind}**"


def _every_engine(cells: list[Cell], rows: dict[str, dict[str, Row]]) -> list[str]:
    """Medians of all engines with their spreads, folded away; and who was not measured, and why."""
    present = {engine for cell in cells for engine in rows[cell.title]}
    engines = [name for each in REPORTED for name in (each, each + BASE) if name in present]
    lines = ["<details>", "<summary>Every engine</summary>", ""]
    lines += [f"| cell | {' | '.join(engines)} |", "|---|" + "--:|" * len(engines)]
    for cell in cells:
        told = [_with_spread(cell, rows[cell.title].get(engine)) for engine in engines]
        lines.append(f"| {cell.name} | {' | '.join(told)} |")
    refusals = Counter(
        (engine, row["not"])
        for cell in cells
        for engine, row in rows[cell.title].items()
        if "not" in row
    )
    refused = [(who, f"{why} ({count} cells)") for (who, why), count in refusals.items()]
    lines += ["", "</details>", *_list("Not measured", refused)]
    return [*lines, *_requests(cells, rows, engines)]


def _with_spread(cell: Cell, row: Row | None) -> str:
    """A median with half of what lies between its quartiles, and the turns if they are few."""
    middle = value(row)
    told = amount(cell, middle)
    if row is None or not middle or "quartiles" not in row:
        return told
    first, third = row["quartiles"]
    turns = row.get("samples", FEW_TURNS)
    few = f", {turns} turns" if turns < FEW_TURNS else ""
    return f"{told} ± {(third - first) / 2 / middle:.0%}{few}"


def _requests(
    cells: list[Cell], rows: dict[str, dict[str, Row]], engines: list[str]
) -> Iterable[str]:
    """What a call asks of a remote store, folded away."""
    if not any(cell.store == "remote" for cell in cells):
        return
    engines = [name for name in engines if name != WAITS]
    yield from ("", "<details>", "<summary>Requests of a call</summary>", "")
    yield f"| cell | {' | '.join(engines)} |"
    yield "|---|" + "--:|" * len(engines)
    for cell in cells:
        told = [str(rows[cell.title].get(name, {}).get("requests", "")) for name in engines]
        yield f"| {cell.name} | {' | '.join(told)} |"
    yield from ("", "</details>")


def _against_base(run: Run) -> list[str]:
    """Each of our engines beside its base, cells that differ first."""
    lines = ["", f"## Against {run.base}", ""]
    rows = run.by_cell()
    changed, same = [], 0
    for cell in run.cells:
        for engine, row in rows[cell.title].items():
            base = rows[cell.title].get(engine + BASE)
            over = ratio(row, base)
            if over is None or base is None:
                continue
            if "quartiles" in row and overlap(row, base):
                same += 1
                continue
            told = f"{amount(cell, value(base))} → {amount(cell, value(row))}"
            changed.append((over, f"| {engine} | {cell.title} | {told} | {over:.2f} |"))
    lines += [f"{len(changed)} rows differ beyond their spread, {same} do not.", ""]
    lines += ["| engine | cell | base → now | ratio |", "|---|---|--:|--:|"]
    lines += [line for _, line in sorted(changed, reverse=True)]
    return lines


def amount(cell: Cell, found: float | None) -> str:
    """A time, or an amount of memory, with three digits and its unit."""
    if found is None:
        return ""
    if cell.measure == "memory":
        return _scaled(found, (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)))
    return _scaled(found, (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9)))


def _scaled(found: float, units: tuple[tuple[str, float], ...]) -> str:
    name, size = next((unit for unit in units if found >= unit[1]), units[-1])
    number = found / size
    digits = 0 if number >= 100 else 1 if number >= 10 else 2
    return f"{number:.{digits}f} {name}"

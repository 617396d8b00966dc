"""What is made of the times: spread, the best peer, ratios, and how a cell stands."""

import math
import statistics
from collections.abc import Iterable, Mapping
from typing import Any

from harness.cells import Cell
from harness.engines import WAITS

Row = Mapping[str, Any]
#: The rows of one cell, by engine.
Rows = Mapping[str, Row]

#: A tie counts where the peer is within this of the floor.
NEAR_FLOOR = 1.1
#: A floor below this is fixed costs more than work,
SHORT = 5e-3
#: which allows this much over it, and otherwise this.
SHORT_LIMIT, LIMIT = 2.0, 1.15
#: Where waiting is all.
WAITS_LIMIT = 1.2
#: Words of families that stand for several selections.
SEVERAL = {"each", "random chunks"}

#: Chunks below this are small.
SMALL_CHUNK = 16_000
#: What the native package is to be ahead of the best peer for small chunks, in the mean.
SMALL_MEAN = 5.0

#: Of fewer turns than these, the spread is taken to be this part of the median at least.
FEW_TURNS, LEAST_SPREAD = 3, 0.05

#: The system counts what is resident in steps of so many bytes; less is not told from nothing.
RESIDENT_STEP = float(1 << 18)


def quantiles(samples: list[float]) -> dict[str, Any]:
    """Median, least and quartiles; of fewer than four samples the extremes are the quartiles."""
    ordered = sorted(samples)
    if len(ordered) < 4:
        quartiles = [ordered[0], ordered[-1]]
    else:
        first, _, third = statistics.quantiles(ordered, n=4, method="inclusive")
        quartiles = [first, third]
    return {"median": statistics.median(ordered), "least": ordered[0], "quartiles": quartiles}


def value(row: Row | None) -> float | None:
    """What a row is compared by: its median, or its peak of memory."""
    if row is None or any(key in row for key in ("not", "error", "wrong")):
        return None
    if "median" in row:
        return float(row["median"])
    return max(float(row["peak"]), RESIDENT_STEP) if row.get("peak") is not None else None


def best(rows: Rows, engines: Iterable[str]) -> str | None:
    """The engine with the least value, of those that write as safely as the cell asks for."""
    fair = [name for name in engines if value(rows.get(name)) is not None]
    fair = [name for name in fair if not rows[name].get("weaker")]
    return min(fair, key=lambda name: value(rows[name]) or 0.0, default=None)


def ratio(row: Row | None, other: Row | None) -> float | None:
    """How many times the other's value the row's is."""
    mine, theirs = value(row), value(other)
    if mine is None or not theirs:
        return None
    return mine / theirs


def overlap(row: Row, other: Row) -> bool:
    """Whether the spreads of two rows, from quartile to quartile, meet."""
    (low, high), (other_low, other_high) = _spread(row), _spread(other)
    return bool(low <= other_high and other_low <= high)


def _spread(row: Row) -> tuple[float, float]:
    """From where to where a row's times spread."""
    low, high = row["quartiles"]
    if row.get("samples", FEW_TURNS) >= FEW_TURNS:
        return low, high
    half = row["median"] * LEAST_SPREAD / 2
    return min(low, row["median"] - half), max(high, row["median"] + half)


def floor_kind(cell: Cell) -> str:
    """Into which memory the cell's floor goes: fresh where a call returns new memory.

    Of several results one after the other, the next can have the memory of the last."""
    if cell.store == "remote":
        return WAITS
    operation = cell.operation
    select = operation.get("select")
    several = isinstance(select, list) or (isinstance(select, dict) and not set(select) - SEVERAL)
    fresh = operation["kind"] in ("read", "read cold", "arrays") and not several
    return "floor fresh" if fresh and not operation.get("into") else "floor ready"


def standing(rows: Rows, engine: str, peers: Iterable[str], floor: str) -> str | None:
    """ "ahead", "tie", "near tie" or "behind" the best peer; None without an engine or a peer.

    "tie": within the spread, with a peer that is near the floor itself; a "near tie" is one with a
    peer that is not, which is not good enough. Of memory, "ahead" is at most the leanest peer's,
    and a "tie" no further from it than the system counts."""
    peer = best(rows, peers)
    if peer is None or value(rows.get(engine)) is None:
        return None
    mine, other = rows[engine], rows[peer]
    if "median" not in mine:
        over = (value(mine) or 0.0) - (value(other) or 0.0)
        return "ahead" if over <= 0 else "tie" if over <= RESIDENT_STEP else "behind"
    if not overlap(mine, other):
        return "ahead" if mine["median"] < other["median"] else "behind"
    to_floor = ratio(other, rows.get(floor))
    return "tie" if to_floor is not None and to_floor <= NEAR_FLOOR else "near tie"


def floor_limit(rows: Rows, floor: str) -> float | None:
    """How many times the floor a cell may take; None without a floor."""
    least = value(rows.get(floor))
    if least is None:
        return None
    if floor == WAITS:
        return WAITS_LIMIT
    return SHORT_LIMIT if least < SHORT else LIMIT


def misses(cell: Cell, rows: Rows, engine: str) -> list[str]:
    """In which ways a cell is short of its target, apart from peers."""
    found = []
    mine = value(rows.get(engine))
    if mine is None or cell.measure == "memory":
        return found
    floor = floor_kind(cell)
    limit, over = floor_limit(rows, floor), ratio(rows[engine], rows.get(floor))
    if limit is not None and over is not None and over > limit:
        found.append(f"{over:.2f} of its floor, limit {limit:g}")
    if cell.target is not None and mine > cell.target:
        found.append(f"{mine * 1e6:.1f} µs, target {cell.target * 1e6:g} µs")
    return found


def is_small(cell: Cell) -> bool:
    """Whether the cell is about chunks so small that it is not the codec that takes the time."""
    chunks = cell.operation["kind"] not in ("open", "walk")
    return chunks and cell.chunk_bytes < SMALL_CHUNK and cell.measure == "time"


def geometric_mean(ratios: Iterable[float]) -> float | None:
    """Of positive ratios; None if there are none."""
    logarithms = [math.log(each) for each in ratios]
    return math.exp(statistics.fmean(logarithms)) if logarithms else None


def slower_with_workers(cell: Cell, alone: Row | None, all_of_them: Row | None) -> bool:
    """Whether an engine takes longer with all workers than with one, beyond the spread."""
    if value(alone) is None or value(all_of_them) is None or cell.measure != "time":
        return False
    assert alone is not None
    assert all_of_them is not None
    return all_of_them["median"] > alone["median"] and not overlap(alone, all_of_them)

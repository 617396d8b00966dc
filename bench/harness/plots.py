"""A run as pictures that a person reads at a glance."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.engines import ROOT

# What Matplotlib keeps stays in this folder, as everything does.
os.environ.setdefault("MPLCONFIGDIR", str(ROOT / "target/matplotlib"))

import matplotlib as mpl

mpl.use("svg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

from harness import cells as workloads
from harness.cells import Cell
from harness.engines import DROP_IN_PEERS, DROP_INS, NATIVE, PEERS, RUST, RUST_PEERS
from harness.ratios import Row, best, floor_kind, ratio, standing, value

if TYPE_CHECKING:
    from harness.report import Run

STANDINGS = {
    "ahead": ("#2a9d5c", "ahead"),
    "tie": ("#8c8c8c", "tie"),
    "near tie": ("#e0a100", "tie, peer not near the floor"),
    "behind": ("#d1342f", "behind"),
}

#: Colour, marker and size of each engine; ours are filled and large.
STYLES: dict[str, tuple[str, str, float]] = {
    "batched": ("#b8860b", "v", 22),
    "batched 1": ("#d9b44a", ">", 18),
    "fused": ("#e08214", "^", 22),
    "fused 1": ("#fdb863", "<", 18),
    "batched fsspec": ("#b8860b", "1", 26),
    "fused fsspec": ("#e08214", "2", 26),
    "icechunk": ("#4d4d4d", "p", 22),
    "icechunk fused": ("#969696", "p", 22),
    "zarrs-python": ("#8073ac", "s", 18),
    "tensorstore": ("#35978f", "D", 18),
    "tensorstore synced": ("#80cdc1", "D", 18),
    "zarrs rust": ("#542788", "x", 26),
    "drop-in": ("#f4a6a6", "o", 24),
    "drop-in accelerated": ("#e3605d", "o", 24),
    "fuzarr rust": ("#4a90d9", "P", 30),
    "fuzarr": ("#c1121f", "o", 34),
}

COMPARED = (
    (NATIVE, PEERS, "fuzarr, natively"),
    (DROP_INS[0], DROP_IN_PEERS, "as zarr-python's pipeline"),
    (DROP_INS[1], DROP_IN_PEERS, "pipeline, accelerated"),
    (RUST, RUST_PEERS, "in Rust, beside zarrs"),
)


def write(run: Run, folder: Path, name: str, kind: str = "svg") -> dict[str, Path]:
    """The overview and a picture a family; `kind` is what Matplotlib calls the format."""
    mpl.rcParams.update({"font.size": 9, "svg.fonttype": "path", "svg.hashsalt": "fuzarr"})
    titles = workloads.titles()
    pictures = {"overview": _overview(run, titles)}
    for family, (title, _) in titles.items():
        cells = [cell for cell in run.cells if cell.family == family]
        if cells:
            pictures[family] = _family(run, title, cells)
    paths = {}
    for key, figure in pictures.items():
        paths[key] = folder / f"{name}-{key}.{kind}"
        metadata = {"Date": None} if kind == "svg" else None
        figure.savefig(paths[key], bbox_inches="tight", metadata=metadata)
        plt.close(figure)
    return paths


def _overview(run: Run, titles: dict[str, tuple[str, str]]) -> Any:
    """Every cell a dot: time over the best peer's, by family."""
    families = [key for key in titles if any(cell.family == key for cell in run.cells)]
    height = max(3.0, 1.4 + 0.55 * len(families))
    columns = len(COMPARED)
    figure, axes = plt.subplots(1, columns, figsize=(13, height), sharex=True, sharey=True)
    rows = run.by_cell()
    for axis, (engine, peers, title) in zip(axes, COMPARED, strict=True):
        for at, family in enumerate(families):
            cells = [cell for cell in run.cells if cell.family == family]
            _dots(axis, at, cells, rows, engine, peers)
        axis.axvline(1, color="black", linewidth=1)
        axis.set_title(title)
        _ratio_axis(axis, "time over the best peer's")
        for at in range(len(families)):
            axis.axhline(at + 0.5, color="#dddddd", linewidth=0.6)
    axes[0].set_yticks(range(len(families)), [titles[key][0] for key in families])
    axes[0].set_ylim(len(families) - 0.5, -0.5)
    handles = [
        plt.Line2D([], [], marker="o", linestyle="", color=color, label=label)
        for color, label in STANDINGS.values()
    ]
    figure.legend(handles=handles, loc="lower center", ncols=4, frameon=False)
    figure.tight_layout(rect=(0, 0.07, 1, 1))
    return figure


def _dots(
    axis: Axes,
    at: int,
    cells: list[Cell],
    rows: dict[str, dict[str, Row]],
    engine: str,
    peers: tuple[str, ...],
) -> None:
    found = []
    for cell in cells:
        mine = rows[cell.title]
        stands, peer = standing(mine, engine, peers, floor_kind(cell)), best(mine, peers)
        over = ratio(mine.get(engine), mine.get(peer or ""))
        if stands and over:
            found.append((over, STANDINGS[stands][0]))
    # Spread over the row's height by rank, so that no dot hides another.
    for number, (over, color) in enumerate(sorted(found)):
        offset = (number * 0.618 % 1 - 0.5) * 0.7
        axis.scatter(over, at + offset, s=14, color=color, alpha=0.8, linewidths=0)


def _family(run: Run, title: str, cells: list[Cell]) -> Any:
    """Every engine's time over the floor's, a line a cell, a panel a store."""
    stores = list(dict.fromkeys(cell.store for cell in cells))
    names = list(dict.fromkeys(_without_store(cell) for cell in cells))
    size = (3.6 + 4.4 * len(stores), 1.8 + 0.21 * len(names))
    counts = [sum(cell.store == store for cell in cells) for store in stores]
    widths = [max(0.4, count / max(counts)) for count in counts]
    figure, axes = plt.subplots(
        1, len(stores), figsize=size, sharey=True, squeeze=False, width_ratios=widths
    )
    rows = run.by_cell()
    for axis, store in zip(axes[0], stores, strict=True):
        shown = [cell for cell in cells if cell.store == store]
        for cell in shown:
            _engines(axis, names.index(_without_store(cell)), cell, rows[cell.title])
        floors = any(value(rows[cell.title].get(floor_kind(cell))) for cell in shown)
        axis.axvline(1, color="black", linewidth=1)
        what = "memory" if cells[0].measure == "memory" else "time"
        _ratio_axis(axis, f"{what} over " + ("the floor's" if floors else "the least"))
        axis.set_title(store)
        axis.grid(axis="y", color="#eeeeee", linewidth=0.6)
        axis.set_axisbelow(True)
    axes[0][0].set_yticks(range(len(names)), names)
    axes[0][0].set_ylim(len(names) - 0.4, -0.6)
    measured = {
        engine
        for cell in cells
        for engine, row in rows[cell.title].items()
        if value(row) is not None
    }
    _legend(figure, size[1], measured)
    figure.suptitle(title, y=1 - 0.05 / size[1], va="top", fontweight="bold")
    figure.subplots_adjust(bottom=1.15 / size[1], top=1 - 0.55 / size[1], wspace=0.06)
    return figure


def _without_store(cell: Cell) -> str:
    return cell.name.removesuffix(f", {cell.store}")


def _engines(axis: Axes, at: int, cell: Cell, rows: dict[str, Row]) -> None:
    found = {engine: value(rows.get(engine)) for engine in STYLES}
    known = {engine: each for engine, each in found.items() if each}
    if not known:
        return
    floor = value(rows.get(floor_kind(cell))) or min(known.values())
    ratios = {engine: each / floor for engine, each in known.items()}
    axis.plot([min(ratios.values()), max(ratios.values())], [at, at], color="#cccccc", zorder=1)
    for engine, over in ratios.items():
        color, marker, size = STYLES[engine]
        style: dict[str, Any] = {"color": color}
        if rows[engine].get("weaker"):
            # Writes less safely than the others.
            style = {"facecolors": "white", "edgecolors": color}
        axis.scatter(over, at, s=size, marker=marker, zorder=2, linewidths=0.8, **style)


def _legend(figure: Any, height: float, present: set[str]) -> None:
    handles = [
        plt.Line2D([], [], marker=marker, linestyle="", color=color, label=engine)
        for engine, (color, marker, _) in reversed(STYLES.items())
        if engine in present
    ]
    figure.legend(
        handles=handles,
        loc="lower center",
        ncols=6,
        frameon=False,
        bbox_to_anchor=(0.5, 0.02 / height),
    )


def _ratio_axis(axis: Axes, label: str) -> None:
    axis.set_xscale("log")
    plain: Callable[[float, int], str] = lambda number, _: f"{number:g}"  # noqa: E731
    axis.xaxis.set_major_formatter(FuncFormatter(plain))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.grid(axis="x", color="#e6e6e6", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.set_xlabel(label)
    axis.spines[["top", "right"]].set_visible(False)

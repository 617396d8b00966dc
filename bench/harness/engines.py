"""The engines, and how the process of each is started."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.cells import Cell

BENCH = Path(__file__).parents[1]
ROOT = BENCH.parent

NATIVE = "fuzarr"
DROP_INS = ("drop-in", "drop-in accelerated")
#: Of the native package.
PEERS = (
    *("batched", "batched 1", "fused", "fused 1", "batched fsspec", "fused fsspec"),
    *("zarrs-python",),
    *("tensorstore", "tensorstore synced", "icechunk", "icechunk fused"),
)
#: Of the drop-ins: what else runs under zarr-python's API.
DROP_IN_PEERS = (
    *("batched", "batched 1", "fused", "fused 1", "batched fsspec", "fused fsspec"),
    *("zarrs-python",),
    *("icechunk", "icechunk fused"),
)
#: zarr-python's pipelines with one worker.
ALONE = ("batched 1", "fused 1")
#: Rows of remote stores alone.
REMOTE_PEERS = ("batched fsspec", "fused fsspec", "icechunk", "icechunk fused")
RUST = "fuzarr rust"
RUST_PEERS = ("zarrs rust",)
FLOORS = ("floor ready", "floor fresh")
#: Where waiting counts the floor is reckoned (`waits.py`), not run.
WAITS = "floor waits"

PYTHON_ENGINES = (NATIVE, *DROP_INS, *PEERS)
RUST_ENGINES = (RUST, *RUST_PEERS, *FLOORS)
#: In the order of the report.
ALL = (*PYTHON_ENGINES, *RUST_ENGINES)
REPORTED = (*ALL, WAITS)
#: What a change to fuzarr can make faster or slower.
OURS = (NATIVE, *DROP_INS, RUST)

BASE = " (base)"


@dataclass(frozen=True)
class Engine:
    """How to start the process of one engine."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def own_name(self) -> str:
        """The name that the worker knows it by."""
        return self.name.removesuffix(BASE)


@dataclass(frozen=True)
class Builds:
    """Where the workers are: of this checkout, and of a base to compare it with."""

    rust: Path = ROOT / "target/release/fuzarr-bench"
    base_package: Path | None = None
    base_rust: Path | None = None


def engines(builds: Builds, names: tuple[str, ...] = ALL) -> list[Engine]:
    """The engines called `names`, and those of the base, if there is one."""
    python = (sys.executable, str(BENCH / "engines" / "worker.py"))
    found = []
    for name in names:
        rust = name in RUST_ENGINES
        command = (str(builds.rust),) if rust else python
        found.append(Engine(name, command))
        if name not in OURS:
            continue
        if rust and builds.base_rust:
            found.append(Engine(name + BASE, (str(builds.base_rust),)))
        elif not rust and builds.base_package:
            path = os.pathsep.join([str(builds.base_package), os.environ.get("PYTHONPATH", "")])
            found.append(Engine(name + BASE, command, {"PYTHONPATH": path.rstrip(os.pathsep)}))
    return found


def takes_part(engine: Engine, cell: Cell) -> bool:
    """Whether a cell is put to an engine at all; workers decline what they do not do."""
    name = engine.own_name
    if cell.store == "remote":
        # Threads are not what is short, and the workers in Rust have no such store.
        return name not in (*RUST_ENGINES, *ALONE, "tensorstore synced")
    if name in REMOTE_PEERS:
        return False
    if name in ALONE:
        # With one worker the others are the same.
        return cell.workers != 1
    if name == "tensorstore synced":
        return cell.changes and cell.store == "local" and cell.durability != "renamed"
    floor = cell.measure == "time" and cell.store in ("local", "memory")
    return floor or name not in FLOORS


def weaker(engine: str, cell: Cell) -> bool:
    """Whether the engine writes in place where the cell asks for a rename."""
    in_place = engine.startswith("zarrs-python")
    return in_place and cell.changes and cell.store == "local" and cell.durability == "renamed"

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
PEERS = ("batched", "fused", "fused 1", "zarrs-python", "tensorstore", "tensorstore synced")
#: Of the drop-ins: what else runs under zarr-python's API.
DROP_IN_PEERS = ("batched", "fused", "fused 1", "zarrs-python")
RUST = "fuzarr rust"
RUST_PEERS = ("zarrs rust",)
FLOORS = ("floor ready", "floor fresh")

PYTHON_ENGINES = (NATIVE, *DROP_INS, *PEERS)
RUST_ENGINES = (RUST, *RUST_PEERS, *FLOORS)
#: In the order of the report.
ALL = (*PYTHON_ENGINES, *RUST_ENGINES)
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
    if name == "fused 1":
        # With one worker `fused` is the same.
        return cell.workers != 1
    if name == "tensorstore synced":
        return cell.changes and cell.store == "local" and cell.durability != "renamed"
    floor = cell.measure == "time" and cell.store in ("local", "memory")
    return floor or name not in FLOORS


def weaker(engine: str, cell: Cell) -> bool:
    """Whether the engine writes in place where the cell asks for a rename."""
    in_place = engine.startswith("zarrs-python")
    return in_place and cell.changes and cell.store == "local" and cell.durability == "renamed"

"""A run: processes of engines, data that cells share, and a line of progress a cell."""

import contextlib
import itertools
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from harness.cells import Cell
from harness.engines import BENCH, ROOT, Engine
from harness.machine import CHANGED, commit, machine
from harness.process import SILENCE, DiedError, EngineProcess
from harness.ratios import best, ratio, value
from harness.report import Run
from harness.server import TestServer, test_server
from harness.stored import Data
from harness.turns import Budget, Remote, Row, Setting, run_cell
from harness.waits import measured

#: Bytes that a process may keep between cells; more is given back by starting it again.
KEPT = 1 << 30


class Session:
    """Runs cells with some engines."""

    def __init__(
        self,
        engines: list[Engine],
        folders: dict[str, Path],
        output: Path,
        budget: Budget,
        silence: float = SILENCE,
    ) -> None:
        self.engines = engines
        self.folders = folders
        self.output = output
        self.budget = budget
        self.silence = silence
        self.logs = output / "logs"
        shutil.rmtree(self.logs, ignore_errors=True)
        self.logs.mkdir(parents=True)
        self.processes: dict[tuple[Engine, int], EngineProcess] = {}
        self.passing: list[EngineProcess] = []
        self.counter: Path | None = None
        self.services = contextlib.ExitStack()
        self.server: TestServer | None = None

    def run(self, cells: list[Cell], begun: Path, resume: bool = False) -> Run:
        """All cells, those with the same data together.

        What is measured is kept in the file `begun` meanwhile; to `resume` is to go on from there.
        """
        run = Run(machine=machine(list(self.folders.values())), commit=commit(), cells=cells)
        run.versions = self.versions()
        commands = [
            [each.name, *map(_inside, each.command), *map(_inside, each.environment.values())]
            for each in self.engines
        ]
        run.settings = {"engines": commands, "seconds": self.budget.seconds}
        # As they are read back.
        run = Run.from_json(run.to_json())
        if resume and begun.exists():
            run = self._goes_on(run, begun)
        measured = {row["cell"] for row in run.rows}
        done = len(measured)
        for number, (_, group) in enumerate(_grouped(cells)):
            left = [cell for cell in group if cell.title not in measured]
            if not left:
                continue
            start_of_group = time.perf_counter()
            folder = self.folders["memory"] / f"data-{number}"
            data = Data(group[0], folder)
            for cell in left:
                start = time.perf_counter()
                rows = self.cell(cell, data, number)
                done += 1
                seconds = time.perf_counter() - start
                print(_progress(done, len(cells), cell, rows, seconds), flush=True)
                run.rows += rows
                self._let_go()
            shutil.rmtree(folder, ignore_errors=True)
            run.seconds += round(time.perf_counter() - start_of_group)
            self._keep(run, begun)
        begun.unlink(missing_ok=True)
        return run

    @staticmethod
    def _goes_on(new: Run, begun: Path) -> Run:
        """The run that was begun. Raises SystemExit if it is of something else."""
        run = Run.from_json(begun.read_text())
        if CHANGED in new.commit:
            raise SystemExit("changes that are not committed: it cannot be known what was measured")
        for what in ("commit", "cells", "versions", "settings"):
            if getattr(run, what) != getattr(new, what):
                raise SystemExit(f"{begun} is of other {what}: it cannot be resumed")
        return run

    @staticmethod
    def _keep(run: Run, begun: Path) -> None:
        new = begun.with_suffix(".new")
        new.write_text(run.to_json())
        new.replace(begun)

    def cell(self, cell: Cell, data: Data, number: int) -> list[Row]:
        """The rows of one cell; whatever happens, the run goes on."""
        try:
            remote = self._service(cell)
            setting = Setting(cell, data, self.folders[cell.place] / f"work-{number}", remote)
            return run_cell(setting, self.engines, self._process_for(cell), self.budget)
        except Exception as error:
            text = f"the harness: {type(error).__name__}: {error}"
            return [
                {"cell": cell.title, "engine": each.name, "error": text} for each in self.engines
            ]

    def versions(self) -> dict[str, dict[str, str]]:
        """What each engine says of itself."""
        found = {}
        for engine in self.engines:
            try:
                answer = self.process(engine, 0).ask({"do": "versions"})
                found[engine.name] = answer.get("versions", answer)
            except DiedError as error:
                found[engine.name] = {"error": str(error)}
        for name, versions in found.items():
            if "error" in versions:
                print(f"NOT MEASURED: {name}: {versions['error']}", flush=True)
        self.engines = [each for each in self.engines if "error" not in found[each.name]]
        return found

    def process(self, engine: Engine, workers: int) -> EngineProcess:
        """The process of an engine, kept from cell to cell."""
        key = (engine, workers)
        if key not in self.processes:
            self.processes[key] = EngineProcess(engine, workers, self.logs, None, self.silence)
        return self.processes[key]

    def end(self) -> None:
        """Ends all processes."""
        for process in [*self.processes.values(), *self.passing]:
            process.end()
        self.services.close()

    def _service(self, cell: Cell) -> Remote | None:
        """The object store of a cell, empty and as slow as it asks, started when first needed."""
        if cell.store != "remote":
            return None
        if self.server is None:
            self.server = self.services.enter_context(test_server())
        transfer = measured(self.server)
        self.server.clear()
        self.server.order(latency=round(cell.latency * 1e3))
        return Remote(self.server, transfer)

    def _process_for(self, cell: Cell):
        if cell.measure != "memory":
            return self.process

        def fresh(engine: Engine, workers: int) -> EngineProcess:
            counter = self._counter()
            process = EngineProcess(engine, workers, self.logs, counter, self.silence)
            self.passing.append(process)
            return process

        return fresh

    def _let_go(self) -> None:
        while self.passing:
            self.passing.pop().end()
        for process in self.processes.values():
            if process.resident() > KEPT:
                process.end()

    def _counter(self) -> Path | None:
        """The library that counts allocations, built when it is first needed."""
        source, library = BENCH / "allocations.c", self.output / "allocations.so"
        if self.counter is None:
            command = ["gcc", "-O2", "-shared", "-fPIC", "-o", library, source]
            try:
                subprocess.run(command, check=True)
            except (OSError, subprocess.CalledProcessError) as error:
                print(f"allocations are not counted: {error}")
                return None
            self.counter = library.resolve()
        return self.counter


def _inside(path: str) -> str:
    """A path as from this checkout."""
    return path.removeprefix(f"{ROOT}/")


def _grouped(cells: list[Cell]) -> Iterator[tuple[str, list[Cell]]]:
    """Cells with the same data, in the order of the first of them."""
    order: dict[str, int] = {}
    for cell in cells:
        order.setdefault(cell.data, len(order))
    ordered = sorted(cells, key=lambda cell: order[cell.data])
    for data, group in itertools.groupby(ordered, key=lambda cell: cell.data):
        yield data, list(group)


def _progress(done: int, count: int, cell: Cell, rows: Iterable[Row], seconds: float) -> str:
    by_engine = {row["engine"]: row for row in rows}
    told = []
    for engine in ("fuzarr", "fuzarr rust"):
        found = value(by_engine.get(engine))
        if found is not None:
            told.append(f"{engine} {_amount(found, cell)}")
    others = [name for name in by_engine if not name.startswith(("fuzarr", "drop-in", "floor"))]
    python = [name for name in others if name != "zarrs rust"]
    if peer := best(by_engine, python):
        over = ratio(by_engine.get("fuzarr"), by_engine[peer])
        told.append(f"best peer {peer} {_amount(value(by_engine[peer]) or 0.0, cell)}")
        told += [f"ratio {over:.2f}"] if over is not None else []
    for key in ("wrong", "error"):
        told += [
            f"{key.upper()} {name}: {row[key]}" for name, row in by_engine.items() if key in row
        ]
    return f"[{done}/{count}] {cell.title} ({seconds:.0f} s): " + "; ".join(told)


def _amount(found: float, cell: Cell) -> str:
    return f"{found / 1e6:.1f} MB" if cell.measure == "memory" else f"{found * 1e3:.3f} ms"

"""Engines take turns at a cell: each opens it, is judged, and is timed in rounds."""

import random
import shutil
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from harness.cells import Cell
from harness.documents import document
from harness.engines import WAITS, Engine, takes_part, weaker
from harness.judge import expected_result, wrong_array, wrong_members, wrong_result
from harness.process import DiedError, EngineProcess
from harness.ratios import quantiles
from harness.selections import Selection, draw
from harness.server import TestServer
from harness.stored import Data, stored_bytes
from harness.traces import operation_trace, sequential
from harness.waits import Transfer, least_seconds

#: About how long a turn takes, in seconds: short beside what the machine does now and then, long
#: beside the messages around it.
TURN = 0.02

#: A call that takes this long is a turn from the first one on.
SLOW = 0.4

#: Seconds from which on a read of a remote store that was judged is the one turn: waiting varies
LONG = 2.0
#: little where no more bytes than this are moved.
LITTLE = 1 << 25

#: A call that moves this many bytes takes memory from the system, and with it what that costs.
MUCH = 1 << 24

#: Turns that an engine gets at least, by the seconds that a call takes.
LEAST_TURNS = ((0.1, 5), (0.5, 3), (20.0, 2), (float("inf"), 1))

Row = dict[str, Any]


@dataclass(frozen=True)
class Remote:
    """A server in whose objects arrays are."""

    server: TestServer
    transfer: Transfer


@dataclass
class Budget:
    """How long a cell is measured."""

    #: Seconds that each engine is timed for.
    seconds: float = 0.2
    #: Turns of each engine at the most.
    turns: int = 200


@dataclass
class Contender:
    """An engine in one cell."""

    engine: Engine
    process: EngineProcess
    scratch: Path
    row: Row
    calls: int = 1
    samples: list[float] = field(default_factory=list)
    spent: float = 0.0
    #: Turns that the cell asks for.
    turns: int = 0
    #: Bytes of memory that the system is to have at hand before a turn.
    memory: int = 0
    #: Whether it needs no more turns.
    is_settled: bool = False

    @property
    def alive(self) -> bool:
        return not any(key in self.row for key in ("not", "error", "wrong"))

    def ask(self, request: dict[str, Any]) -> dict[str, Any] | None:
        """The answer, or None if the engine is out of this cell by it."""
        try:
            answer = self.process.ask(request)
        except DiedError as error:
            answer = {"error": str(error)}
        for key in ("not", "error"):
            if key in answer:
                self.row[key] = str(answer[key])
                return None
        return answer

    def done(self, budget: Budget) -> bool:
        """Whether it has had its turns."""
        if not self.alive or self.is_settled or len(self.samples) >= budget.turns:
            return True
        if not self.samples:
            return False
        typical = statistics.median(self.samples)
        least = next(turns for limit, turns in LEAST_TURNS if typical <= limit)
        enough = self.spent >= budget.seconds
        return len(self.samples) >= max(least, self.turns) and enough


class Setting:
    """A cell with its data, ready for engines."""

    def __init__(self, cell: Cell, data: Data, work: Path, remote: Remote | None = None) -> None:
        self.cell = cell
        self.remote = remote
        self.data = data
        self.work = work
        operation = cell.operation
        self.selections: list[Selection] = draw(
            operation.get("select", "whole"), cell.array, data.folder
        )
        data.store()
        self.trace = operation_trace(cell, data, self.selections)
        #: A request after the other leaves other threads nothing to do.
        alone = operation["kind"] == "read" and sequential(self.trace, self.selections)
        self.floor_workers = 1 if alone else cell.workers
        self.expected = None
        if not cell.changes:
            self.expected = expected_result(cell, data, self.selections)

    def request(self, scratch: Path) -> dict[str, Any]:
        """What `open` is asked with."""
        cell = self.cell
        contents = [
            "values",
            "other" if cell.operation["kind"] in ("write", "append") else "values",
        ]
        operation = {key: value for key, value in cell.operation.items() if key != "select"}
        if operation["kind"] in ("read", "read cold", "threads", "write"):
            operation["selections"] = self.selections
        described = {
            "name": cell.name,
            "family": cell.family,
            "array": cell.array,
            "document": document(cell.array),
            "store": cell.store,
            "latency": cell.latency,
            "durability": cell.durability,
            "caches": cell.caches,
            "concurrency": cell.concurrency,
            "operation": operation,
        }
        if self.remote:
            server = self.remote.server
            described["service"] = {
                "endpoint": server.endpoint,
                "bucket": server.bucket,
                "options": server.options,
                "scratch": scratch.name,
            }
        return {
            "do": "open",
            "cell": described,
            "folder": str(self.data.stored),
            "scratch": str(scratch),
            "values": str(self.data.path(contents[0])),
            "other": str(self.data.path(contents[1])),
            "trace": self.trace,
        }

    def floor(self) -> list[Row]:
        """A row of what is reckoned rather than run."""
        if not self.remote:
            return []
        least = least_seconds(self.cell, self.data, self.selections, self.remote.transfer)
        return [{"cell": self.cell.title, "engine": WAITS, **quantiles([least])}]

    @property
    def moved(self) -> int:
        """The bytes of a call's elements, as far as they are known."""
        if self.expected is None:
            return self.cell.array_bytes
        return sum(part.nbytes for part in self.expected)

    @property
    def overwrites(self) -> bool:
        """Whether `check` leaves what was there before, so that it shows nothing of the write."""
        return self.cell.operation.get("onto") == "stored"

    def wrong(self, contender: Contender) -> str | None:
        """What is wrong after `check`, if anything is."""
        if contender.engine.own_name.startswith("floor"):
            return None
        if self.cell.changes:
            folder = contender.scratch / "array"
            contender.row["stored"] = stored_bytes(folder)
            try:
                return wrong_array(folder, self.cell, self.data, self.selections)
            finally:
                if self.cell.store != "local":
                    # It was written for this only.
                    shutil.rmtree(folder, ignore_errors=True)
        result = contender.scratch / "result.bin"
        try:
            if self.expected is None:
                return wrong_members(result, self.data)
            return wrong_result(result, self.expected)
        finally:
            result.unlink(missing_ok=True)


def run_cell(
    setting: Setting,
    engines: list[Engine],
    process_of: Callable[[Engine, int], EngineProcess],
    budget: Budget,
) -> list[Row]:
    """A row for each engine that the cell is put to."""
    contenders = []
    for number, engine in enumerate(engines):
        if not takes_part(engine, setting.cell):
            continue
        floor = engine.own_name.startswith("floor")
        workers = setting.floor_workers if floor else setting.cell.workers
        row: Row = {"cell": setting.cell.title, "engine": engine.name}
        scratch = setting.work / f"engine-{number}"
        process = process_of(engine, workers)
        memory = 2 * setting.moved if setting.moved >= MUCH else 0
        turns = setting.cell.turns
        contenders.append(Contender(engine, process, scratch, row, turns=turns, memory=memory))
    try:
        for contender in contenders:
            _begin(setting, contender)
        if setting.cell.measure == "time":
            _rounds(contenders, budget, setting.remote)
    finally:
        for contender in contenders:
            _finish(contender)
    return [*(contender.row for contender in contenders), *setting.floor()]


def _begin(setting: Setting, contender: Contender) -> None:
    """Opens the cell and judges one call."""
    contender.scratch.mkdir(parents=True)
    opened = contender.ask(setting.request(contender.scratch))
    if opened is None:
        return
    if setting.remote:
        setting.remote.server.requests()
    asked = setting.cell.durability != "as they come"
    if asked and (opened.get("weaker") or weaker(contender.engine.name, setting.cell)):
        contender.row["weaker"] = True
    # The check comes after: it would leave the heap as a call leaves it.
    weighs = setting.cell.measure == "memory"
    if weighs and (weighed := contender.ask({"do": "memory"})):
        contender.row |= {key: weighed.get(key) for key in ("peak", "allocations")}
    if contender.alive and (checked := contender.ask({"do": "check"})) is not None:
        taken = checked.get("seconds") or 0.0
        wrong = setting.wrong(contender)
        if setting.remote and taken > LONG and setting.moved < LITTLE:
            contender.samples.append(taken)
            contender.is_settled = True
            contender.row["requests"] = len(setting.remote.server.requests())
        if wrong is None and setting.overwrites and setting.cell.store == "local":
            wrong = _changes(setting, contender)
        if wrong:
            contender.row["wrong"] = wrong


def _changes(setting: Setting, contender: Contender) -> str | None:
    """What is wrong if neither of two calls leaves the other content; they alternate."""
    if contender.engine.own_name.startswith("floor"):
        return None
    wrong = None
    for _ in range(2):
        if contender.ask({"do": "turn", "calls": 1}) is None:
            return None
        folder, cell = contender.scratch / "array", setting.cell
        wrong = wrong_array(folder, cell, setting.data, setting.selections, "other")
        if wrong is None:
            return None
    return wrong


def _turn(contender: Contender) -> tuple[float, float] | None:
    """Seconds of a call, timed and by the clock on the wall."""
    _have_at_hand(contender.memory)
    start = time.perf_counter()
    answer = contender.ask({"do": "turn", "calls": contender.calls})
    if answer is None:
        return None
    wall = time.perf_counter() - start
    return answer["seconds"] / contender.calls, wall / contender.calls


def _have_at_hand(size: int) -> None:
    """Takes so much memory and lets it go. A virtual machine gives memory that nobody has used for
    seconds back to its host, and to have it again takes twenty times as long: so an engine would
    pay for how long ago another one had its turn."""
    if size:
        np.ones(size, "uint8")


def _calibrate(contender: Contender, remote: Remote | None) -> None:
    """Finds how many calls make a turn; a slow call is a sample already. The first one shows what a
    call asks of a server."""
    for attempt in range(3):
        if remote:
            remote.server.requests()
        taken = _turn(contender)
        if taken is None:
            return
        if remote and attempt == 0:
            contender.row["requests"] = len(remote.server.requests())
        seconds, wall = taken
        if seconds > SLOW:
            contender.samples.append(seconds)
            contender.spent += seconds
            return
        # What is restored between calls is not timed, but takes its time.
        calls = max(1, int(TURN / max(seconds, wall / 5, 1e-8)))
        settled = calls <= 2 * contender.calls
        contender.calls = calls
        if settled:
            return


def _rounds(contenders: list[Contender], budget: Budget, remote: Remote | None) -> None:
    for contender in contenders:
        if contender.alive and not contender.is_settled:
            _calibrate(contender, remote)
    turn = 0
    while waiting := [each for each in contenders if not each.done(budget)]:
        # Nobody always follows the same neighbour: what that left in caches, or for the disk to
        # do, falls to all.
        for contender in random.Random(turn).sample(waiting, len(waiting)):
            if taken := _turn(contender):
                contender.samples.append(taken[0])
                contender.spent += taken[0] * contender.calls
        turn += 1


def _finish(contender: Contender) -> None:
    """Writes the row, and lets everything go."""
    if contender.alive and contender.samples:
        contender.row |= quantiles(contender.samples)
        contender.row |= {"samples": len(contender.samples), "calls": contender.calls}
    row = dict(contender.row)
    contender.ask({"do": "close"})
    contender.row = row
    shutil.rmtree(contender.scratch, ignore_errors=True)

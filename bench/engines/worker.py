"""A process that runs the operations of cells with one engine, as a harness asks for them.

    python bench/engines/worker.py --engine fuzarr --workers 0

One JSON object a line comes in, one goes out: `open`, `check`, `turn`, `memory`, `versions`,
`close`.
"""

import argparse
import gc
import json
import os
import platform
import sys
import traceback
from collections.abc import Callable
from typing import Any

import measures
from engine import Engine, NotOfferedError
from operations import OPERATIONS, Operation
from registry import ENGINES, engine

Answer = dict[str, Any]


class Worker:
    """Answers requests with one engine."""

    def __init__(self, made: Engine) -> None:
        self.engine = made
        self.operation: Operation | None = None

    def answer(self, request: Answer) -> Answer:
        """The answer to a request, whatever happens."""
        try:
            answers: dict[str, Callable[[Answer], Answer]] = {
                "open": self.open,
                "check": self.check,
                "turn": self.turn,
                "memory": self.memory,
                "versions": self.versions,
                "close": self.close,
            }
            answered = answers[request["do"]](request)
            left = self.engine.fallback()
        except NotOfferedError as reason:
            return {"not": str(reason)}
        except Exception as error:
            traceback.print_exc()
            return {"error": f"{type(error).__name__}: {error}"}
        return {"not": left} if left else answered

    def opened(self) -> Operation:
        """The operation that is open."""
        if self.operation is None:
            raise ValueError("nothing is open")
        return self.operation

    def open(self, request: Answer) -> Answer:
        self.close(request)
        cell = request["cell"]
        self.engine.configure(cell)
        self.operation = OPERATIONS[cell["operation"]["kind"]](self.engine, cell, request)
        weaker = self.engine.weaker and self.engine.writes and cell["store"] == "local"
        return {"ok": True, "weaker": True} if weaker else {"ok": True}

    def check(self, _request: Answer) -> Answer:
        operation = self.opened()
        operation.check()
        return {"seconds": operation.taken}

    def turn(self, request: Answer) -> Answer:
        return {"seconds": measures.seconds(self.opened(), request["calls"])}

    def memory(self, _request: Answer) -> Answer:
        operation = self.opened()
        operation.touch()
        peak = measures.peak(operation)
        return {"peak": peak, "calls": 1, "allocations": measures.allocations(operation)}

    def versions(self, _request: Answer) -> Answer:
        return {"versions": {"python": platform.python_version(), **self.engine.versions()}}

    def close(self, _request: Answer) -> Answer:
        if self.operation is not None:
            self.operation.close()
        self.operation = None
        # Arrays and what they read go before the next cell starts, in cycles too.
        gc.collect()
        return {"ok": True}


def main() -> None:
    """Answers requests until there are no more."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", required=True, choices=ENGINES)
    parser.add_argument("--workers", type=int, default=0)
    arguments = parser.parse_args()
    # What libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    worker = Worker(engine(arguments.engine, arguments.workers))
    for line in sys.stdin:
        answers.write(json.dumps(worker.answer(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()

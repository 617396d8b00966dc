"""The process of an engine: one request a line, one answer a line."""

import json
import os
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from harness.engines import Engine

Answer = dict[str, Any]

#: Seconds without an answer after which a process is given up.
SILENCE = 120.0


class DiedError(Exception):
    """The process ended, or was ended because it did not answer."""


class EngineProcess:
    """A running engine; started at the first request, and again after it died."""

    def __init__(
        self,
        engine: Engine,
        workers: int,
        logs: Path,
        preload: Path | None = None,
        silence: float = SILENCE,
    ) -> None:
        self.engine = engine
        self.silence = silence
        self.workers = workers
        self.preload = preload
        self.log = logs / f"{engine.name}-{workers}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._rest = b""
        self._starting = False

    def ask(self, request: dict[str, Any]) -> Answer:
        """The answer to a request. Raises DiedError."""
        try:
            process = self._running()
        except OSError as error:
            raise DiedError(f"does not start: {error}") from error
        assert process.stdin
        assert process.stdout
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            line = self._line(process.stdout.fileno())
            answer = json.loads(line)
        except (BrokenPipeError, ConnectionResetError, ValueError) as error:
            raise DiedError(self._buried(f"{type(error).__name__}: {error}")) from error
        if not isinstance(answer, dict):
            raise DiedError(self._buried(f"no answer: {answer!r}"))
        return answer

    def end(self) -> None:
        """Ends the process and all that it started."""
        process, self._process, self._rest = self._process, None, b""
        if process is None:
            return
        if process.stdin:
            process.stdin.close()
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if process.stdout:
            process.stdout.close()

    def resident(self) -> int:
        """Bytes that the process has in memory, 0 if it does not run."""
        if self._process is None:
            return 0
        try:
            pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        except (FileNotFoundError, IndexError):
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE")

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            environment = os.environ | dict(self.engine.environment)
            if self.preload:
                environment["LD_PRELOAD"] = str(self.preload)
            name, workers = self.engine.own_name, str(self.workers)
            self._starting = True
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    [*self.engine.command, "--engine", name, "--workers", workers],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env=environment,
                    start_new_session=True,
                )
        return self._process

    def _line(self, descriptor: int) -> bytes:
        # A process that starts says nothing for a while.
        patience = SILENCE if self._starting else self.silence
        end = time.monotonic() + patience
        while b"\n" not in self._rest:
            ready, _, _ = select.select([descriptor], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise DiedError(self._buried(f"silent for {patience:g} s"))
            read = os.read(descriptor, 1 << 16)
            if not read:
                raise DiedError(self._buried("ended"))
            self._rest += read
        self._starting = False
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def _buried(self, reason: str) -> str:
        """Ends the process; the reason with the last that it said."""
        process = self._process
        if process is not None:
            try:
                process.wait(0.5)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            reason += f" (status {process.returncode})"
        self.end()
        said = self.log.read_text(errors="replace").strip().splitlines()[-3:]
        return ": ".join([reason, *said])

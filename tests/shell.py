"""Runs the `fuzarr` binary and holds what every run must keep: an exit code of 0, 1 or 2."""

import json
import os
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np

BINARY = Path(
    os.environ.get("FUZARR_BIN")
    or Path(__file__).resolve().parent.parent / "target" / "release" / "fuzarr"
)
TIMEOUT = 60


@dataclass(frozen=True)
class Outcome:
    """How a run ended. `peak` is in bytes and counts this process, from which it was forked."""

    code: int
    out: str
    err: str
    peak: int

    def json(self):
        return json.loads(self.out)

    def __str__(self):
        return f"exit {self.code}\n{self.out}\n{self.err}"


def fuzarr(*arguments, code=0, environment=None):
    """Runs `fuzarr` and fails unless it ends with `code` (or one of a tuple of codes)."""
    expected = code if isinstance(code, tuple) else (code,)
    command = [str(BINARY), *map(str, arguments)]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env={**os.environ, "COLUMNS": "80", **(environment or {})},
        )
        timer = threading.Timer(TIMEOUT, process.kill)
        timer.start()
        _, status, usage = os.wait4(process.pid, 0)
        timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode())
    outcome = Outcome(process.returncode, *texts, usage.ru_maxrss * 1024)
    assert outcome.code in expected, f"{' '.join(command)}: {outcome}"
    assert outcome.code == 0 or outcome.err or outcome.out, f"{command} failed without a word"
    return outcome


def get(path, selection="...", **options):
    """What `fuzarr get -o` reads."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "out.npy"
        fuzarr("get", "-o", file, "--", path, selection, **options)
        return np.load(file)


def put(path, selection, data, *options, **run):
    """`fuzarr put` of an array (by way of a .npy file) or of a scalar given as text."""
    if isinstance(data, str):
        return fuzarr("put", *options, "--", path, selection, data, **run)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "data.npy"
        np.save(file, data)
        return fuzarr("put", *options, "--", path, selection, file, **run)


def create(path, document, **run):
    """`fuzarr create` from a whole metadata document."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "zarr.json"
        file.write_text(json.dumps(document))
        return fuzarr("create", path, "--metadata", file, **run)

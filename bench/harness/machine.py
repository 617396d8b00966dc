"""The machine and the commit that a run is of."""

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from harness.engines import ROOT

#: Marks a commit whose checkout is not as it was committed.
CHANGED = " and changes"


def machine(folders: list[Path]) -> dict[str, Any]:
    """Processor, memory, kernel, and the file systems of `folders`."""
    return {
        "cpu": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "file_systems": sorted({_file_system(folder) for folder in folders}),
        "load_at_start": round(os.getloadavg()[0], 2),
    }


def commit() -> str:
    """The commit of this checkout, marked if something else is in it."""
    name = _git("rev-parse", "--short=10", "HEAD")
    return name + (CHANGED if _git("status", "--porcelain") else "")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() or "unknown" * (done.returncode != 0)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(folder: Path) -> str:
    """The type of the file system that holds a folder: of its longest mount point."""
    found = ("", "unknown")
    for line in Path("/proc/mounts").read_text().splitlines():
        _, point, kind, *_ = line.split()
        if folder.resolve().is_relative_to(point) and len(point) >= len(found[0]):
            found = (point, kind)
    return found[1]

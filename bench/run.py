"""Measures fuzarr beside its peers and the floors: see docs/benchmark.md.

python bench/run.py [--quick] [--only TEXT] [--record]
"""

import argparse
import datetime
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from harness import report
from harness.base import Base, build
from harness.cells import Cell, load
from harness.engines import ALL, OURS, ROOT, Builds, Engine, engines
from harness.session import Session
from harness.turns import Budget

OUTPUT = ROOT / "target/bench"
RECORDED = ROOT / "bench/results"

#: Bytes that a folder in memory must have room for.
ROOM = 4 << 30


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the cells marked so, shorter")
    parser.add_argument("--only", default="", help="cells whose title contains this text")
    parser.add_argument("--engines", help="names, separated by commas")
    parser.add_argument("--seconds", type=float, help="for each engine in each cell")
    parser.add_argument("--record", action="store_true", help="into bench/results")
    parser.add_argument("--into", type=Path, help="in the place of families of a run's JSON")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--report", type=Path, help="write page and plots of a run's JSON again")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was ended")
    parser.add_argument("--list", action="store_true", help="print the cells and stop")
    parser.add_argument("--rust", type=Path, default=Builds.rust, help="the Rust worker")
    parser.add_argument("--base", help="a commit; only fuzarr is measured, of it and of this one")
    return parser.parse_args()


def memory_folder() -> Path | None:
    """A folder whose files lie in memory, if there is one with room."""
    folder = Path("/dev/shm")
    if folder.is_dir() and os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > ROOM:
        return folder
    return None


def chosen(options: argparse.Namespace, base: Base | None) -> list[Engine]:
    """The engines that are asked for."""
    names = OURS if base else ALL
    if options.engines:
        names = tuple(options.engines.split(","))
    if unknown := set(names) - set(ALL):
        raise SystemExit(f"no engines {sorted(unknown)}; there are: {', '.join(ALL)}")
    builds = Builds(options.rust)
    if base:
        builds = Builds(options.rust, base.package, base.rust)
    return engines(builds, names)


def seconds(options: argparse.Namespace) -> float:
    """For how long each engine is timed in a cell."""
    return float(options.seconds or (0.1 if options.quick else 0.2))


def measured(options: argparse.Namespace, cells: list[Cell], taking: list[Engine]) -> report.Run:
    """Runs the cells."""
    options.output.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="fuzarr-bench-", dir=memory_folder()) as memory,
        tempfile.TemporaryDirectory(prefix="disk-", dir=options.output) as disk,
    ):
        folders = {"memory": Path(memory), "disk": Path(disk)}
        session = Session(taking, folders, options.output, Budget(seconds(options)))
        try:
            return session.run(cells, options.output / "begun.json", options.resume)
        finally:
            session.end()


def recorded_name(run: report.Run) -> str:
    """What a run is kept as: by its day and its cores, and by its family if it is of one."""
    families = {cell.family for cell in run.cells}
    family = f"-{families.pop()}" if len(families) == 1 else ""
    return f"{run.date}{family}-{run.machine['cores']}-cores"


def main() -> int:
    """Runs, reports, and fails if a result was wrong."""
    options = arguments()
    # Folders in memory and processes go with a run that is told to end, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    cells = load(only=options.only, quick=options.quick)
    if options.list:
        print("\n".join(cell.title for cell in cells))
        return 0
    if options.report:
        run = report.Run.from_json(options.report.read_text())
        print(report.write(run, options.report.parent, options.report.stem)[0])
        return 0
    if not cells:
        print(f"no cell's title contains {options.only!r}", file=sys.stderr)
        return 2
    if options.into:
        if options.engines:
            raise SystemExit("all engines take part in what comes into a recorded run")
        recorded = report.Run.from_json(options.into.read_text())
        recorded.renewal(cells, {"seconds": seconds(options)})
    base = build(options.base) if options.base else None
    run = measured(options, cells, chosen(options, base))
    run.date = datetime.date.today().isoformat()
    run.base = base.name if base else ""
    name = recorded_name(run) if options.record else "latest"
    name = f"against-{base.name}" if base else name
    folder = RECORDED if options.record else options.output
    if options.into:
        newer, run = run, report.Run.from_json(options.into.read_text())
        run.renew(newer)
        folder, name = options.into.parent, options.into.stem
    written = report.write(run, folder, name)
    print(f"\n{report.closing(run)}\n{written[0]}")
    wrong = [row for row in run.rows if "wrong" in row]
    for row in wrong:
        print(f"WRONG: {row['engine']}: {row['cell']}: {row['wrong']}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

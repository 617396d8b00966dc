"""The command ``fuzarr``."""

from __future__ import annotations

import signal
import sys

from ._fuzarr import main as run


def main() -> None:
    """Runs the command with the arguments of this process, and ends it."""
    # The command has no Python in it that could look at signals.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(run(["fuzarr", *sys.argv[1:]]))

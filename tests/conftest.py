"""Stops the run at once, and says why, where there is no binary to test."""

import os

import pytest

import shell


def pytest_sessionstart():
    if not os.access(shell.BINARY, os.X_OK):
        pytest.exit(
            f"no executable {shell.BINARY}: build it with `cargo build --release --bin fuzarr`"
            " (`make test` does), or name one in FUZARR_BIN",
            returncode=2,
        )

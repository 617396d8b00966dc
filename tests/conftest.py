"""Stops the run at once, saying why, where there is no binary to test; servers that several use."""

import os

import pytest

import servers
import shell


def pytest_sessionstart():
    if not os.access(shell.BINARY, os.X_OK):
        pytest.exit(
            f"no executable {shell.BINARY}: build it with `cargo build --release --bin fuzarr`"
            " (`make test` does), or name one in FUZARR_BIN",
            returncode=2,
        )


@pytest.fixture(scope="module")
def obedient():
    with servers.test_server() as server:
        yield server


@pytest.fixture(scope="module")
def moto():
    with servers.moto() as service:
        yield service

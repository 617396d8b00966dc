"""A pytest plugin for runs of zarr-python's own tests: other stores in the place of one in memory.

`FUZARR_STORE` says which: `latency` is zarr-python's store that waits before it gets or sets
something; `s3` is a folder of its own, by way of obstore, at the server that
`FUZARR_STORE_ENDPOINT` names. (File systems of fsspec serve one event loop, and many of these tests
run in loops of their own.) Only tests that ask for a store in memory are run.
"""

import os
import uuid

import pytest

from harness.server import S3

#: How long the store waits, in seconds.
LATENCY = 0.001

#: Modules whose tests make their stores themselves.
MODULES = {
    "tests.test_array",
    "tests.test_codec_pipeline_suite",
    "tests.test_codecs.test_codecs",
    "tests.test_codecs.test_sharding",
    "tests.test_fuzarr_codec_pipeline_suite",
    "tests.test_indexing",
    "tests.test_unified_chunk_grid",
    "tests.test_v2",
}

#: Stores that tests have as parameters, beside one in memory.
OTHERS = {"local", "zip", "fsspec", "memory_get_latency"}


class Substitute:
    """Stands where tests name `MemoryStore`."""

    def __call__(self, *arguments, **named):
        from zarr.storage import MemoryStore
        from zarr.testing.store import LatencyStore

        if arguments or named:
            # Of objects that there are already.
            return MemoryStore(*arguments, **named)
        if os.environ["FUZARR_STORE"] == "latency":
            return LatencyStore(MemoryStore(), get_latency=LATENCY, set_latency=LATENCY)
        return S3(os.environ["FUZARR_STORE_ENDPOINT"]).zarr_store(uuid.uuid4().hex)

    async def open(self):
        store = self()
        await store._ensure_open()
        return store


@pytest.hookimpl(tryfirst=True)
def pytest_plugin_registered(plugin):
    # The stores that tests have as parameters are made in `tests/conftest.py`.
    if hasattr(plugin, "parse_store"):
        plugin.MemoryStore = Substitute()


def _is_meant(item):
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    if parameters.get("store") in OTHERS:
        return False
    return parameters.get("store") == "memory" or item.module.__name__ in MODULES


def pytest_collection_modifyitems(config, items):
    for module in {item.module for item in items}:
        if module.__name__ in MODULES:
            module.MemoryStore = Substitute()
    others = [item for item in items if not _is_meant(item)]
    items[:] = [item for item in items if _is_meant(item)]
    config.hook.pytest_deselected(items=others)

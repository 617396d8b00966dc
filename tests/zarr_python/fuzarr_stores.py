"""A pytest plugin for runs of zarr-python's own tests: other stores in the place of one in memory.

`FUZARR_STORE` says which: `latency` waits before each operation, and can only be awaited; `s3` is
a folder of its own, by way of obstore, at the server at `FUZARR_STORE_ENDPOINT`.
"""

import asyncio
import os
import sys
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import servers


def latency_store():
    from zarr.storage import MemoryStore, WrapperStore

    class Slow(WrapperStore):
        """Waits before every get and set."""

        @property
        def _supports_sync_io(self):
            return False

        async def get(self, key, prototype=None, byte_range=None):
            await asyncio.sleep(0.0005)
            return await self._store.get(key, prototype, byte_range)

        async def set(self, key, value):
            await asyncio.sleep(0.0005)
            await self._store.set(key, value)

    return Slow(MemoryStore())


def s3_store():
    service = servers.S3(os.environ["FUZARR_STORE_ENDPOINT"])
    return service.zarr_store(uuid.uuid4().hex)


STORES = {"latency": latency_store, "s3": s3_store}


def pytest_plugin_registered(plugin):
    kept = getattr(plugin, "parse_store", None)
    if kept is None:
        return
    make = STORES[os.environ["FUZARR_STORE"]]

    async def parse_store(store, path):
        return make() if store == "memory" else await kept(store, path)

    plugin.parse_store = parse_store


def pytest_collection_modifyitems(items):
    # The suite that all pipelines have to pass makes its stores itself.
    for module in {item.module for item in items}:
        if module.__name__.endswith("codec_pipeline_suite"):
            module.MemoryStore = STORES[os.environ["FUZARR_STORE"]]

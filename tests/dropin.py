"""What the tests of the drop-in pipeline share: pipelines by name, stores, arrays."""

import contextlib

import zarr
from zarr.storage import LocalStore, MemoryStore
from zarr.testing.store import LatencyStore

PIPELINES = {
    "batched": "zarr.core.codec_pipeline.BatchedCodecPipeline",
    "fused": "zarr.core.codec_pipeline.FusedCodecPipeline",
    "fuzarr": "fuzarr.FuzarrCodecPipeline",
}


def pipeline(name="fuzarr", **settings):
    """A context in which arrays that are opened use this pipeline."""
    return zarr.config.set({"codec_pipeline.path": PIPELINES[name], **settings})


class AsyncStore(LatencyStore):
    """A store in memory that can only be awaited."""

    @property
    def _supports_sync_io(self):
        return False


def make_store(kind, folder):
    """A new store: `memory`, `local` or `async`."""
    if kind == "local":
        return LocalStore(folder)
    if kind == "memory":
        return MemoryStore()
    return AsyncStore(MemoryStore(), get_latency=0.0, set_latency=0.0)


def objects(store):
    """All objects of a store by key, without documents."""

    async def collect():
        found = {}
        async for key in store.list():
            if key.rpartition("/")[2] not in ("zarr.json", ".zarray", ".zattrs", ".zgroup"):
                value = await store.get(key, zarr.core.buffer.default_buffer_prototype())
                found[key] = value.to_bytes()
        return found

    return zarr.core.sync.sync(collect())


@contextlib.contextmanager
def served(*ways):
    """Checks that calls inside were served in these ways, and in no other."""
    from fuzarr import pipeline_counts

    before = pipeline_counts()
    yield
    after = pipeline_counts()
    fired = {name for name in after if after[name] > before[name]}
    assert fired == set(ways)

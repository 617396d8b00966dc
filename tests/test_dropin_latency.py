"""Stores that have to be waited for: what runs at the same time, and how often they are asked."""

import asyncio
import time

import numpy as np
import pytest
import zarr
from zarr.core.sync import sync
from zarr.storage import MemoryStore, WrapperStore

import dropin

LATENCY = 0.05


class Recorder(WrapperStore):
    """Waits before every operation, and records when each began and ended."""

    def __init__(self, store, latency=LATENCY):
        super().__init__(store)
        self.latency = latency
        self.spans = []

    @property
    def _supports_sync_io(self):
        return False

    async def _record(self, name, operation):
        begin = time.monotonic()
        await asyncio.sleep(self.latency)
        outcome = await operation
        self.spans.append((name, begin, time.monotonic()))
        return outcome

    async def get(self, key, prototype=None, byte_range=None):
        return await self._record("get", self._store.get(key, prototype, byte_range))

    async def set(self, key, value):
        await self._record("set", self._store.set(key, value))

    async def delete(self, key):
        await self._record("delete", self._store.delete(key))

    def most_at_once(self):
        """How many operations overlapped at most."""
        ends = [(begin, 1) for _, begin, _ in self.spans]
        ends += [(end, -1) for _, _, end in self.spans]
        running = most = 0
        for _, change in sorted(ends):
            running += change
            most = max(most, running)
        return most


def shards(count=1, inner=1000, **config):
    """An array of shards of 8 inner chunks of `inner` elements, and the recorder of its store.

    Inner chunks do not compress, so that they lie further apart than an index is long.
    """
    memory = MemoryStore()
    values = np.random.default_rng(7).integers(0, 2**32, 8 * inner * count, dtype="u4")
    with dropin.pipeline():
        zarr.create_array(memory, data=values, chunks=(inner,), shards=(8 * inner,))
        recorder = Recorder(memory)
        array = zarr.open_array(recorder, mode="r+", config=config)
    recorder.spans.clear()
    return array, recorder, values


def latencies(act, enough):
    """How many latencies `act` takes, which should be `enough`. The least of some tries counts:
    the machine may be busy, and what is asked one after the other never takes less."""
    took = []
    while len(took) < 10 and min(took, default=enough + 1) > enough:
        begin = time.monotonic()
        outcome = act()
        took.append((time.monotonic() - begin) / LATENCY)
    return min(took), outcome


@pytest.mark.parametrize("way", ["sync", "await"])
@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("joined", [True, False])
def test_parts_of_shards_take_two_latencies(joined, count, way):
    limits = (
        {}
        if joined
        else {
            "sharding_coalesce_max_gap_bytes": 0,
            "sharding_coalesce_max_bytes": 0,
        }
    )
    array, recorder, values = shards(count, 5000, **limits)
    selection = slice(7500, 40_000 * count - 7500)

    def act():
        recorder.spans.clear()
        if way == "sync":
            return array[selection]
        return sync(array.async_array.getitem(selection))

    with zarr.config.set({"async.concurrency": 64}), dropin.served("read foreign"):
        took, read = latencies(act, 2.2)
    np.testing.assert_array_equal(read, values[selection])
    assert took <= 2.2
    if joined:
        # The index of each shard, then one range; shards in the middle are wanted whole.
        assert len(recorder.spans) == (2 if count == 1 else 2 * 2 + (count - 2))
    else:
        assert recorder.most_at_once() >= 5


@pytest.mark.parametrize("count", [1, 4])
def test_parts_of_small_shards_take_one_latency(count):
    array, recorder, values = shards(count)
    with dropin.served("read foreign"):
        took, read = latencies(lambda: array[1500 : 8000 * count - 1500], 1.2)
    np.testing.assert_array_equal(read, values[1500 : 8000 * count - 1500])
    assert len(recorder.spans) % count == 0, "one request a shard"
    assert took <= 1.2


@pytest.mark.parametrize("limit", [1, 3])
def test_concurrency_is_honoured_at_each_call(limit):
    array, recorder, values = shards(4, sharding_coalesce_max_gap_bytes=0)
    recorder.latency = 0.03
    with zarr.config.set({"async.concurrency": limit}):
        np.testing.assert_array_equal(array[1500:30500], values[1500:30500])
        assert recorder.most_at_once() == limit
        recorder.spans.clear()
        array[500:31500] = values[500:31500]
        assert recorder.most_at_once() == limit
    recorder.spans.clear()
    with zarr.config.set({"async.concurrency": 64}):
        assert array[1500:30500].shape == (29000,)
    assert recorder.most_at_once() > limit


def test_sets_overlap_each_other():
    memory = MemoryStore()
    with dropin.pipeline():
        zarr.create_array(memory, shape=(64,), chunks=(8,), dtype="i4")
        recorder = Recorder(memory)
        array = zarr.open_array(recorder, mode="r+")
    recorder.spans.clear()
    with dropin.served("write foreign"):
        took, _ = latencies(lambda: array.set_basic_selection(slice(None), np.arange(64)), 1.8)
    assert recorder.most_at_once() >= 5
    assert took <= 1.8


def test_chunks_are_fetched_at_the_same_time():
    array, recorder, values = shards(4)
    np.testing.assert_array_equal(array[...], values)
    assert len(recorder.spans) == 4, "a whole shard takes one request"
    took, _ = latencies(lambda: array[...], 1.6)
    assert took <= 1.6


def test_an_error_of_the_store_ends_the_call():
    array, recorder, _ = shards(8)

    class BrokenError(Exception):
        pass

    async def get(key, *_, **__):
        if key.endswith("c/3"):
            raise BrokenError(key)
        await asyncio.sleep(30)

    recorder.get = get
    begin = time.monotonic()
    with pytest.raises(BrokenError):
        array[...]
    assert time.monotonic() - begin < 10

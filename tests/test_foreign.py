"""The foreign executor: Python drives fuzarr's plans against a dict of bytes."""

import asyncio
import json

import fuzarr
import numpy as np
import pytest
import zarr
import zarr.storage


class DictStore:
    """A dict as a store, with a count of what runs at once."""

    def __init__(self, objects=None, delay=0.0):
        self.objects = {} if objects is None else objects
        self.delay = delay
        self.running = self.most_running = self.gets = 0

    async def _wait(self):
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        await asyncio.sleep(self.delay)
        self.running -= 1

    async def get(self, key, span):
        self.gets += 1
        await self._wait()
        value = self.objects.get(key)
        if value is None:
            return None
        start, end = span
        if start is not None and start < 0:
            start = max(0, len(value) + start)
        start = start or 0
        return start, len(value), value[start:end]

    async def put(self, key, value):
        await self._wait()
        self.objects[key] = value

    async def delete(self, key):
        await self._wait()
        self.objects.pop(key, None)


def create(shape=(60, 50), shards=(30, 20), chunks=(10, 5), fill=7):
    """A sharded zstd array of zarr-python's in a dict: its metadata, its chunks, itself."""
    memory = {}
    store = zarr.storage.MemoryStore(memory)
    array = zarr.create_array(
        store,
        shape=shape,
        shards=shards,
        chunks=chunks,
        dtype="int32",
        fill_value=fill,
        compressors=[zarr.codecs.ZstdCodec(level=3)],
    )
    return memory, array


def objects_of(memory):
    return {key: value.to_bytes() for key, value in memory.items() if key != "zarr.json"}


def read(store, document, selection, **options):
    shape, data = asyncio.run(fuzarr.read(store, document, selection, **options))
    return np.frombuffer(data, dtype="int32").reshape(shape)


SELECTIONS = [":", "3:47:4, ::-3", "12, 7", "-1:, 5:30", "[41, 2, 2], 10:12"]


def numpy_read(array, selection):
    if "[" in selection:
        return array[[41, 2, 2], 10:12]
    return eval(f"array[{selection}]", {"array": array})


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("selection", SELECTIONS)
def test_reads_what_zarr_python_wrote(selection, ranges):
    memory, array = create()
    values = np.arange(3000, dtype="int32").reshape(60, 50)
    values[:10] = 7
    array[:] = values
    store = DictStore(objects_of(memory))
    document = memory["zarr.json"].to_bytes()
    result = read(store, document, selection, ranges=ranges)
    np.testing.assert_array_equal(result, numpy_read(values, selection))


def test_writes_what_zarr_python_reads():
    memory, array = create()
    document = memory["zarr.json"].to_bytes()
    model = np.full((60, 50), 7, dtype="int32")
    store = DictStore()
    writes = [(":20, :", (20, 50)), ("3:47:4, ::-3", (11, 17)), ("12, 7", ()), ("25:41, 1:9", None)]
    for number, (selection, shape) in enumerate(writes):
        values = (
            np.full((), number, "int32")
            if shape is None
            else number + np.arange(np.prod(shape, dtype=int), dtype="int32").reshape(shape)
        )
        asyncio.run(fuzarr.write(store, document, selection, values.tobytes()))
        exec(f"model[{selection}] = values", {"model": model, "values": values})
        for key, value in store.objects.items():
            memory[key] = zarr.core.buffer.cpu.Buffer.from_bytes(value)
        np.testing.assert_array_equal(array[:], model)
        np.testing.assert_array_equal(read(store, document, ":"), model)
    asyncio.run(fuzarr.write(store, document, ":", np.int32(7).tobytes()))
    assert store.objects == {}


def test_objects_are_driven_together_within_the_limit():
    memory, array = create()
    array[:] = 1 + np.arange(3000, dtype="int32").reshape(60, 50)
    store = DictStore(objects_of(memory), delay=0.01)
    document = memory["zarr.json"].to_bytes()
    read(store, document, "::7, ::9", concurrency=3)
    assert store.most_running == 3
    # Two requests a shard at most: the index, then its inner chunks joined.
    assert store.gets <= 2 * len(store.objects)


def test_damage_is_an_error_that_names_key_and_codec():
    memory, array = create()
    array[:] = 1 + np.arange(3000, dtype="int32").reshape(60, 50)
    objects = objects_of(memory)
    objects["c/1/0"] = objects["c/1/0"][:-1] + b"\0"
    document = memory["zarr.json"].to_bytes()
    with pytest.raises(ValueError, match=r"key: c/1/0") as raised:
        read(DictStore(objects), document, "40, 3")
    assert "crc32c" in str(raised.value)


def test_what_is_not_supported_says_so():
    document = json.loads(create()[0]["zarr.json"].to_bytes())
    document["codecs"] = [{"name": "no.such.codec"}]
    with pytest.raises(NotImplementedError, match=r"no\.such\.codec"):
        fuzarr.ReadPlan(json.dumps(document).encode(), ":")

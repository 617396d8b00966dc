"""zarr-python's tests of stores, `StoreTests`, at the server of this project and of one that waits.

They judge the server, and with it all tests that use it: it has to do what obstore and s3fs expect
of an object store.
"""

import functools
import inspect
import urllib.request
import uuid
from urllib.parse import quote

import pytest
from zarr.abc.store import RangeByteRequest
from zarr.core.buffer import cpu, default_buffer_prototype
from zarr.core.sync import _collect_aiterator, sync
from zarr.storage import FsspecStore, MemoryStore, ObjectStore
from zarr.testing.store import LatencyStore, StoreTests


def _waited_for(test):
    """The test, run on zarr-python's event loop, as its stores are."""

    @functools.wraps(test)
    def run(*arguments, **named):
        return sync(test(*arguments, **named))

    return run


class Tests(StoreTests):
    """What all stores have in common."""

    __test__ = False
    buffer_cls = cpu.Buffer

    def __init_subclass__(cls):
        cls.__test__ = hasattr(cls, "store_cls")

    @pytest.fixture
    def store(self, open_kwargs):
        return sync(self.store_cls.open(**open_kwargs))

    @pytest.fixture
    def store_not_open(self, store_kwargs):
        return self.store_cls(**store_kwargs)

    def test_store_supports_writes(self, store):
        assert store.supports_writes

    def test_store_supports_listing(self, store):
        assert store.supports_listing


for _name, _test in inspect.getmembers(StoreTests, inspect.iscoroutinefunction):
    if _name.startswith("test_"):
        setattr(Tests, _name, _waited_for(_test))


class AtServer(Tests):
    """Stores at the server, each in a folder of its own."""

    @pytest.fixture(autouse=True)
    def place(self, obedient):
        self.server, self.folder = obedient, uuid.uuid4().hex
        obedient.order()

    def _address(self, key):
        key = f"{self.folder}/{key}"
        return f"{self.server.endpoint}/{self.server.bucket}/{quote(key)}"

    async def get(self, _, key):
        with urllib.request.urlopen(self._address(key), timeout=30) as answer:
            return self.buffer_cls.from_bytes(answer.read())

    async def set(self, _, key, value):
        self.server.put(f"{self.folder}/{key}", value.to_bytes())

    @_waited_for
    async def test_listings_of_several_pages(self, store):
        keys = [f"c/{number}" for number in range(1001)]
        for key in keys:
            self.server.put(f"{self.folder}/{key}", b"")
        assert sorted(await _collect_aiterator(store.list())) == sorted(keys)
        assert len(await _collect_aiterator(store.list_dir("c"))) == len(keys)


class TestObstore(AtServer):
    store_cls = ObjectStore

    @pytest.fixture
    def store_kwargs(self):
        return {"store": self.server.obstore(self.folder), "read_only": False}

    def test_store_repr(self, store):
        assert repr(store).startswith("ObjectStore(object_store://S3Store(")


class TestFsspec(AtServer):
    store_cls = FsspecStore

    @pytest.fixture
    def store_kwargs(self):
        pytest.importorskip("s3fs")

        async def made():
            return self.server.s3fs_store(self.folder)

        # File systems are equal if they were made in the same thread, as copies of them will be.
        store = sync(made())
        return {"fs": store.fs, "path": store.path, "read_only": False}

    def test_store_repr(self, store):
        assert repr(store) == f"<FsspecStore(S3FileSystem, {store.path})>"

    @_waited_for
    async def test_nothing_is_in_a_range_beyond_the_end(self, store):
        # zarr-python knows this by what the service says of it.
        await self.set(store, "empty", self.buffer_cls.from_bytes(b""))
        part = await store.get("empty", default_buffer_prototype(), RangeByteRequest(0, 4))
        assert part.to_bytes() == b""


class Slow(LatencyStore):
    """A store that waits unless it is told how long."""

    def __init__(self, store, *, get_latency=0.001, set_latency=0.001):
        super().__init__(store, get_latency=get_latency, set_latency=set_latency)


class TestLatencyOverObstore(AtServer):
    store_cls = Slow

    # A wrapper has all methods, also those that the wrapped store does not have.
    @staticmethod
    def _require_get_sync(store):
        StoreTests._require_get_sync(store._store)

    @staticmethod
    def _require_set_sync(store):
        StoreTests._require_set_sync(store._store)

    @staticmethod
    def _require_delete_sync(store):
        StoreTests._require_delete_sync(store._store)

    @pytest.fixture
    def store_kwargs(self):
        return {"store": ObjectStore(self.server.obstore(self.folder))}

    @pytest.fixture
    def open_kwargs(self):
        return {"store_cls": ObjectStore, "store": self.server.obstore(self.folder)}

    def test_store_repr(self, store):
        assert repr(store).startswith("WrapperStore(ObjectStore, 'object_store://S3Store(")


class TestLatencyOverMemory(Tests):
    store_cls = Slow

    @pytest.fixture
    def objects(self):
        return {}

    @pytest.fixture
    def store_kwargs(self, objects):
        return {"store": MemoryStore(objects)}

    @pytest.fixture
    def open_kwargs(self, objects):
        return {"store_cls": MemoryStore, "store_dict": objects}

    async def get(self, store, key):
        return store._store._store_dict[key]

    async def set(self, store, key, value):
        store._store._store_dict[key] = value

    def test_store_repr(self, store):
        assert repr(store).startswith("WrapperStore(MemoryStore, 'memory://")

"""Remote stores of zarr-python that fuzarr reaches by itself: what is asked, stored and told."""

import asyncio
import multiprocessing
import os
import pickle
import signal
import time
from datetime import timedelta

import fuzarr
import numpy as np
import pytest
import zarr
from fuzarr import _remote
from zarr.core.sync import sync
from zarr.storage import FsspecStore, ObjectStore, WrapperStore

import dropin

VALUES = np.random.default_rng(7).integers(1, 2**31, (40, 30), dtype="i4")

LAYOUTS = {
    "chunks": {"chunks": (10, 10)},
    "shards": {"chunks": (5, 5), "shards": (20, 15)},
    "v2": {"chunks": (10, 10), "zarr_format": 2},
}

#: Retries that are soon over.
HASTY = {
    "max_retries": 1,
    "retry_timeout": timedelta(seconds=5),
    "backoff": {"init_backoff": timedelta(milliseconds=10)},
}


@pytest.fixture
def server(obedient):
    """The server that does what it is told, and has not been told anything."""
    obedient.order()
    obedient.requests()
    yield obedient
    obedient.order()


@pytest.fixture
def place(request):
    """A path that no other test has."""
    name = request.node.name.replace("[", "-").replace("]", "")
    return f"{name}.zarr"


def store_of(kind, service, path):
    """A store of zarr-python."""
    if kind == "s3fs":
        pytest.importorskip("s3fs")
        return service.s3fs_store(path)
    return service.zarr_store(path)


def create(store, pipeline="fuzarr", **options):
    with dropin.pipeline(pipeline):
        return zarr.create_array(store, **{"data": VALUES, "compressors": None, **options})


def reopen(store, pipeline="fuzarr", **options):
    with dropin.pipeline(pipeline):
        return zarr.open_array(store, **options)


def change(array, expected):
    """A sequence of writes that replace, merge, empty and delete."""
    array[3:17, 8:12] = expected[3:17, 8:12] = -5
    array.oindex[[1, 35], [2, 20]] = expected[np.ix_([1, 35], [2, 20])] = 9
    array[20:, 15:] = expected[20:, 15:] = 0
    array[:10, :10] = expected[:10, :10] = 0
    # What empties an object in two steps.
    array[20:30, :15] = expected[20:30, :15] = 0
    array[30:, :15] = expected[30:, :15] = 0
    array[39, 29] = expected[39, 29] = 4


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["obstore", "s3fs"])
@pytest.mark.parametrize("service", ["obedient", "moto"])
def test_values_and_stored_bytes_are_zarr_pythons(service, kind, layout, empty, place, request):
    service = request.getfixturevalue(service)
    stored = {}
    for name in ("fused", "fuzarr"):
        expected = VALUES.copy()
        store = store_of(kind, service, f"{name}-{place}")
        ways = ("read native", "write native") if name == "fuzarr" else ()
        with dropin.served(*ways):
            array = create(store, name, config={"write_empty_chunks": empty}, **LAYOUTS[layout])
            change(array, expected)
            np.testing.assert_array_equal(array[...], expected)
            np.testing.assert_array_equal(array[2:39:3, 7:13], expected[2:39:3, 7:13])
            np.testing.assert_array_equal(
                array.vindex[[0, 39], [3, 29]], expected[[0, 39], [3, 29]]
            )
        for reader in dropin.PIPELINES:
            np.testing.assert_array_equal(reopen(store, reader, mode="r")[...], expected)
        stored[name] = dropin.objects(store)
    assert stored["fuzarr"].keys() == stored["fused"].keys()
    if not empty:
        assert stored["fuzarr"] == stored["fused"]


@pytest.mark.parametrize("kind", ["obstore", "http"])
def test_files_by_http_are_read(server, kind, place):
    create(server.zarr_store(place), **LAYOUTS["shards"])
    url = f"{server.endpoint}/{server.bucket}/{place}"
    if kind == "http":
        pytest.importorskip("aiohttp")
        store = FsspecStore.from_url(url)
    else:
        from obstore.store import HTTPStore

        store = ObjectStore(HTTPStore.from_url(url, client_options={"allow_http": True}))
    array = reopen(store, mode="r+")
    assert fuzarr.pipeline_report(array).store == "fuzarr, native"
    with dropin.served("read native"):
        np.testing.assert_array_equal(array[...], VALUES)
        np.testing.assert_array_equal(array[3:17, 8], VALUES[3:17, 8])
    assert fuzarr.open(store, mode="r")[5, 5] == VALUES[5, 5]
    if kind == "http":
        # What writing means to a web server is for fsspec to decide.
        with dropin.served("write foreign"):
            array[...] = VALUES
        with pytest.raises(ValueError, match="reading only"):
            fuzarr.open(store)[...] = 1


@pytest.fixture
def untouched(monkeypatch):
    """No store of zarr-python is asked for anything while this is in force."""

    async def refused(self, key, *_, **__):
        raise AssertionError(f"{type(self).__name__} was asked for {key}")

    for kind in (ObjectStore, FsspecStore):
        for name in ("get", "set", "delete", "get_partial_values", "exists"):
            monkeypatch.setattr(kind, name, refused)


def requests(server, place):
    """Method, key and range of what was asked for since the last time."""
    found = server.requests()
    return sorted(
        (method, path.rpartition(f"{place}/")[2], span) for method, path, _, span, _ in found
    )


def test_as_little_is_asked_as_can_be(server, place, request):
    values = np.random.default_rng(1).integers(1, 2**31, 8 * 50_000, dtype="i4")
    array = create(
        server.zarr_store(place),
        data=values,
        chunks=(50_000,),
        shards=(400_000,),
        compressors="auto",
    )
    array = reopen(array.store, mode="r+")
    request.getfixturevalue("untouched")
    server.requests()
    np.testing.assert_array_equal(array[120_000:220_000], values[120_000:220_000])
    (first, second) = requests(server, place)
    assert {first[:2], second[:2]} == {("GET", "c/0")}, "the index, then what is wanted"
    np.testing.assert_array_equal(array[10:20], values[10:20])
    (only,) = requests(server, place)
    assert only[:2] == ("GET", "c/0"), "the index is known"
    with fuzarr.config.set(index_cache=False):
        np.testing.assert_array_equal(array[10:20], values[10:20])
        assert len(requests(server, place)) == 2, "fuzarr's options count in the pipeline"
    array[0:50_000] = values[:50_000]
    assert {method for method, *_ in requests(server, place)} == {"GET", "PUT"}


def test_chunks_take_one_request_each(server, place, request):
    array = create(server.zarr_store(place), **LAYOUTS["chunks"])
    request.getfixturevalue("untouched")
    server.requests()
    np.testing.assert_array_equal(array[...], VALUES)
    keys = [f"c/{row}/{column}" for row in range(4) for column in range(3)]
    assert [found[:2] for found in requests(server, place)] == [("GET", key) for key in keys]
    array[...] = VALUES
    assert [found[:2] for found in requests(server, place)] == [("PUT", key) for key in keys]
    array[:10, :10] = 0
    assert [found[0] for found in requests(server, place)] == ["POST"], "deleted by a list"
    np.testing.assert_array_equal(
        array[:10, :11], np.hstack([0 * VALUES[:10, :10], VALUES[:10, 10:11]])
    )


FAULTS = {
    "denied": (["status", 403], "denies access"),
    "broken": (["status", 500], "failed"),
    "throttled": (["status", 503], "failed"),
    "cut short": (["truncated", 10], "ended after|cannot be reached"),
    "refused": ("refused", "reached"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_errors_and_never_fill_values(server, fault, place):
    array = create(server.zarr_store(place, retry_config=HASTY), **LAYOUTS["chunks"])
    rule, message = FAULTS[fault]
    server.order(rules=[{"path": f"{place}/c/2/1", "fault": rule}])
    with dropin.served(), pytest.raises(fuzarr.errors.StoreError, match=message) as raised:
        array[...]
    assert isinstance(raised.value, OSError)
    assert raised.value.context["key"] == "c/2/1"
    np.testing.assert_array_equal(array[:20], VALUES[:20])
    if fault != "cut short":
        with pytest.raises(fuzarr.errors.StoreError):
            array[25, 15] = 1
    server.order()
    np.testing.assert_array_equal(array[...], VALUES)


def test_faults_that_pass_are_not_noticed(server, place):
    array = create(server.zarr_store(place), **LAYOUTS["shards"])
    server.order(rules=[{"path": place, "one_in": 3, "fault": ["status", 503]}])
    np.testing.assert_array_equal(array[...], VALUES)
    array[5:25, 5:25] = 7
    server.order()
    expected = VALUES.copy()
    expected[5:25, 5:25] = 7
    np.testing.assert_array_equal(array[...], expected)


@pytest.mark.parametrize("end", ["start", "end"])
@pytest.mark.parametrize("stored", [b"", b"abc"], ids=["empty", "short"])
@pytest.mark.parametrize("kind", ["obstore", "s3fs"])
def test_shards_shorter_than_their_index_are_corrupt(server, kind, stored, end, place):
    # No range of an empty object is there to be given.
    shards = {"shape": (20, 15), "index_location": end}
    array = create(store_of(kind, server, place), chunks=(5, 5), shards=shards)
    server.put(f"{place}/c/0/0", stored)
    corrupt = pytest.raises(fuzarr.errors.CorruptError, match="too short for its index")
    with dropin.served(), corrupt:
        array[:20, :15]
    with dropin.served(), corrupt:
        array[:5, :5]
    with dropin.served(), corrupt:
        array[:5, :5] = 7


def test_a_service_without_conditions_is_written_by_zarr_python(server, place):
    array = create(server.zarr_store(place), **LAYOUTS["shards"])
    server.order(rules=[{"method": "PUT", "path": "c/0/0", "times": 1, "fault": ["status", 501]}])
    with dropin.served("write fallback"):
        array[3, 3] = 7
    expected = VALUES.copy()
    expected[3, 3] = 7
    np.testing.assert_array_equal(array[...], expected)


def test_writers_of_one_shard_do_not_undo_each_other(server, place):
    array = create(server.zarr_store(place), data=np.zeros(8, "i4"), chunks=(1,), shards=(8,))
    array[...] = 1
    server.order(latency=20)

    async def write():
        changes = [array.async_array.setitem(n, 10 + n) for n in range(8)]
        await asyncio.gather(*changes)

    sync(write())
    np.testing.assert_array_equal(array[...], 10 + np.arange(8))


def test_retries_are_as_many_as_the_store_was_told(server, place):
    hasty = {**HASTY, "max_retries": 3}
    array = create(server.zarr_store(place, retry_config=hasty), **LAYOUTS["chunks"])
    server.order(rules=[{"path": "c/0/0", "fault": ["status", 500]}])
    server.requests()
    with pytest.raises(fuzarr.errors.StoreError):
        array[0, 0]
    assert len(server.requests()) == 4


def test_a_missing_object_is_fill_value_or_an_error_if_asked_for(server, place):
    store = server.zarr_store(place)
    create(store, data=None, shape=(8,), dtype="i4", chunks=(4,), fill_value=3)
    array = reopen(store)
    with dropin.served("read native"):
        np.testing.assert_array_equal(array[...], np.full(8, 3))
    strict = reopen(store, config={"read_missing_chunks": False})
    with pytest.raises(zarr.errors.ChunkNotFoundError):
        strict[...]


class Wrapped(WrapperStore):
    """A store of somebody else's around one of zarr-python's."""


class Derived(ObjectStore):
    """A class of somebody else's."""


def test_what_does_not_carry_over_is_driven_from_python(server, place):
    create(server.zarr_store(place), **LAYOUTS["shards"])
    headers = {"allow_http": True, "default_headers": {"x-a": "b"}}
    stores = {
        "default_headers": server.zarr_store(place, client_options=headers),
        "Wrapped": Wrapped(server.zarr_store(place)),
        "Derived": Derived(server.obstore(place)),
    }
    for reason, store in stores.items():
        array = reopen(store, mode="r+")
        with dropin.served("read foreign", "write foreign"):
            np.testing.assert_array_equal(array[...], VALUES)
            array[3, 3] = VALUES[3, 3]
        report = fuzarr.pipeline_report(array)
        assert "driven by fuzarr" in report.store
        assert any(reason in text for text in report.reasons), report


def test_the_switch_turns_it_off(server, place):
    array = create(server.zarr_store(place), **LAYOUTS["shards"])
    with fuzarr.config.set(remote_stores=False), dropin.served("read foreign"):
        np.testing.assert_array_equal(array[...], VALUES)
        assert "off" in str(fuzarr.pipeline_report(array))
    with dropin.served("read native"):
        np.testing.assert_array_equal(array[...], VALUES)


def test_names_that_clients_spell_differently_are_left_to_zarr_python(server, place):
    with dropin.pipeline():
        group = zarr.open_group(server.zarr_store(place), mode="w")
        plain = group.create_array("a b", data=VALUES, chunks=(20, 30))
        array = group.create_array("a+b", data=VALUES, chunks=(20, 30))
    with dropin.served("read native"):
        np.testing.assert_array_equal(plain[...], VALUES)
    with dropin.served("read foreign"):
        np.testing.assert_array_equal(array[...], VALUES)


def test_stores_that_are_read_only_refuse_writes(server, place):
    store = server.zarr_store(place)
    create(store, **LAYOUTS["chunks"])
    reader = ObjectStore(store.store, read_only=True)
    array = reopen(reader, mode="r")
    with dropin.served("read native"):
        np.testing.assert_array_equal(array[...], VALUES)
    server.requests()
    with pytest.raises(ValueError, match="read-only"):
        array[...] = 1
    native = fuzarr.open(reader)
    for act in (
        lambda: native.__setitem__(..., 1),
        lambda: native.attrs.__setitem__("a", 1),
        lambda: pickle.loads(pickle.dumps(native)).__setitem__(..., 1),
        lambda: fuzarr.create_array(reader, shape=(3,), dtype="u1", overwrite=True),
    ):
        with pytest.raises(ValueError, match="reading only"):
            act()
    assert {method for method, *_ in server.requests()} <= {"GET", "HEAD"}


@pytest.mark.parametrize("kind", ["obstore", "s3fs"])
def test_fuzarr_opens_them_by_itself(server, kind, place):
    store = store_of(kind, server, place)
    create(store, **LAYOUTS["shards"])
    array = fuzarr.open(store)
    np.testing.assert_array_equal(array[3:17, 8], VALUES[3:17, 8])
    array[0, 0] = 5
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(array))[0, :2], [5, VALUES[0, 1]])
    fuzarr.create_array(store, data=VALUES + 1, chunks=(10, 10), overwrite=True)
    np.testing.assert_array_equal(reopen(store)[...], VALUES + 1)
    with pytest.raises(fuzarr.errors.UnsupportedError, match="Wrapped"):
        fuzarr.open(Wrapped(store))


def test_listings_that_fsspec_keeps_are_not_old(server, place):
    store = store_of("s3fs", server, place)
    array = create(store, data=None, shape=(8,), dtype="i4", chunks=(2,))
    array[:4] = 1
    assert array.nchunks_initialized == 2
    with dropin.served("write native"):
        array[4:] = 1
    assert array.nchunks_initialized == 4


def took(act):
    begin = time.monotonic()
    act()
    return time.monotonic() - begin


def test_zarr_pythons_concurrency_counts(server, place):
    array = create(server.zarr_store(place), **LAYOUTS["chunks"])
    array[0, 0]
    server.order(latency=50)
    with zarr.config.set({"async.concurrency": 1}):
        assert took(lambda: array[...]) >= 12 * 0.05
    with zarr.config.set({"async.concurrency": 12}):
        assert min(took(lambda: array[...]) for _ in range(5)) < 4 * 0.05


def test_a_call_that_is_cancelled_ends(server, place):
    array = create(server.zarr_store(place), **LAYOUTS["chunks"])
    server.order(latency=20_000)

    async def cancelled():
        task = asyncio.ensure_future(array.async_array.getitem(...))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert took(lambda: sync(cancelled())) < 5
    deadline = time.monotonic() + 10
    from fuzarr import _pipeline

    while _pipeline._running and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _pipeline._running, "its thread has ended, too"


def test_the_event_loop_is_not_held_up(server, place):
    array = create(server.zarr_store(place), **LAYOUTS["chunks"])
    server.order(latency=300)

    async def beats():
        task = asyncio.ensure_future(array.async_array.getitem(...))
        count = 0
        while not task.done():
            await asyncio.sleep(0.01)
            count += 1
        await task
        return count

    assert sync(beats()) > 10


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_forks_and_pickles(server, place):
    array = create(server.zarr_store(place), **LAYOUTS["shards"])
    other = pickle.loads(pickle.dumps(array))
    with dropin.served("read native"):
        np.testing.assert_array_equal(other[...], VALUES)
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        same = bool((array[...] == VALUES).all())
        array[5, 5] = 77
        os._exit(0 if same and array[5, 5] == 77 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert array[5, 5] == 77


def _sum(array):
    return int(array[...].sum())


def test_other_processes_open_it_anew(server, place):
    array = create(server.zarr_store(place), **LAYOUTS["shards"])
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_sum, (array,)) == VALUES.sum()


def test_many_arrays_of_a_store_share_connections(server, place):
    store = server.zarr_store(place)
    with dropin.pipeline():
        group = zarr.open_group(store, mode="w")
        arrays = [group.create_array(f"a{n}", data=VALUES, chunks=(20, 30)) for n in range(3)]
    assert len({id(_remote.carried(array.store)) for array in arrays}) == 1
    for array in arrays:
        np.testing.assert_array_equal(array[...], VALUES)

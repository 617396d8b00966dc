"""`fuzarr.accelerate_zarr`: what it plans, when it does not, and that it can be undone."""

import signal
import sys
import threading

import fuzarr
import numpy as np
import pytest
import zarr
import zarr.core.array as zarr_array
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.core.buffer import cpu
from zarr.errors import ChunkNotFoundError
from zarr.storage import LocalStore, MemoryStore
from zarr.testing.store import LatencyStore

import dropin

SHAPE = (11, 9)
VALUES = np.arange(99, dtype="i4").reshape(SHAPE)


@pytest.fixture(autouse=True)
def use_fuzarr():
    with dropin.pipeline(), fuzarr.accelerate_zarr():
        yield


def create(store, layout="flat", **options):
    layouts = {
        "none": {},
        "flat": {"chunks": (4, 5)},
        "shard": {"chunks": (2, 5), "shards": (4, 5)},
        "v2": {"chunks": (4, 5), "zarr_format": 2},
        "v2-F": {"chunks": (4, 5), "zarr_format": 2, "order": "F"},
        "v2-keys": {"chunks": (4, 5), "chunk_key_encoding": {"name": "v2", "separator": "."}},
    }
    parts = {"shape": SHAPE, "dtype": "i4", "name": "a/b", **layouts[layout], **options}
    return zarr.create_array(store, overwrite=True, **parts)


SELECTIONS = [
    np.s_[...],
    np.s_[3],
    np.s_[3, -1],
    np.s_[2:9:3, 1:],
    np.s_[5:5],
    np.s_[[7, 0, 0, 4]],
    np.s_[[True, False] * 5 + [True]],
]


@pytest.mark.parametrize("kind", ["memory", "local"])
@pytest.mark.parametrize("layout", ["flat", "shard", "v2", "v2-F", "v2-keys"])
def test_reads_and_writes_as_before(layout, kind, tmp_path):
    stores = {name: dropin.make_store(kind, tmp_path / name) for name in ("plain", "fast")}
    arrays = {name: create(store, layout) for name, store in stores.items()}
    for name, array in arrays.items():
        undo = fuzarr.accelerate_zarr()
        if name == "plain":
            module = fuzarr._accelerate
            module._replace(*module._original)
        array[...] = VALUES
        array[2:9, 3] = 5
        array.oindex[[5, 1], [3, 0, 7]] = VALUES[:2, :3]
        array.vindex[[5, 1, 10], [3, 0, 8]] = [7, 8, 9]
        array.vindex[VALUES % 7 == 0] = 4
        array.blocks[1, 0] = 0
        if name == "plain":
            module._replace(module._get_selection, module._set_selection, module._sync)
        undo()
    assert dropin.objects(stores["fast"]) == dropin.objects(stores["plain"])
    array, expected = arrays["fast"], arrays["plain"][...]
    for selection in SELECTIONS:
        np.testing.assert_array_equal(array.oindex[selection], expected[selection])
    np.testing.assert_array_equal(
        array.vindex[[9, 1, 9], [0, 8, 0]], expected[[9, 1, 9], [0, 8, 0]]
    )
    np.testing.assert_array_equal(array.vindex[expected > 20], expected[expected > 20])
    np.testing.assert_array_equal(
        array.oindex[[9, 1, 4], [8, 0]], expected[np.ix_([9, 1, 4], [8, 0])]
    )
    np.testing.assert_array_equal(array.blocks[1:, 1], expected[4:, 5:])


def test_calls_are_accelerated_and_can_be_given_back():
    array = create(MemoryStore())
    with dropin.served("read accelerated", "write accelerated"):
        array[...] = VALUES
        assert array[3, 4] == VALUES[3, 4]
    own = fuzarr._accelerate._original
    with fuzarr.accelerate_zarr() as undo:
        assert undo.active
    assert zarr_array._get_selection is not own[0], "the first is still active"


def test_selections_stay_on_the_thread_that_wants_them(monkeypatch, tmp_path):
    stores = [MemoryStore(), LocalStore(tmp_path)]
    arrays = [create(store) for store in stores]
    words = create(MemoryStore(), dtype="str")
    module = fuzarr._accelerate
    called = []

    def sync(coroutine, *args, **options):
        called.append(coroutine)
        return own(coroutine, *args, **options)

    own = module._original[2]
    monkeypatch.setattr(module, "_original", (*module._original[:2], sync))
    for array in arrays:
        array[...] = VALUES
        assert array[3, 4] == VALUES[3, 4]
        array.oindex[[5, 1], 2:4] = 7
        memory = cpu.NDBuffer.from_numpy_array(np.zeros((2, 3), dtype=VALUES.dtype))
        found = array.get_basic_selection((slice(3, 5), slice(4, 7)), out=memory)
        assert found is memory.as_ndarray_like()
        np.testing.assert_array_equal(found, VALUES[3:5, 4:7])
    assert not called
    # What fuzarr does not fill, zarr-python does, or complains of.
    wide = cpu.NDBuffer.from_numpy_array(np.zeros((2, 3), dtype="f8"))
    array.get_basic_selection((slice(3, 5), slice(4, 7)), out=wide)
    np.testing.assert_array_equal(wide.as_ndarray_like(), VALUES[3:5, 4:7])
    with pytest.raises(ValueError, match="shape of out"):
        array.get_basic_selection((slice(3, 5), slice(4, 8)), out=memory)
    with pytest.raises(TypeError, match="NDBuffer"):
        array.get_basic_selection((slice(3, 5), slice(4, 7)), out=wide.as_ndarray_like())
    called.clear()
    words[...] = VALUES.astype(str)
    assert words[1, 2] == "11"
    assert len(called) == 2


# Seen to fail: what ran meanwhile on the same thread was taken for the request itself.
def test_a_signal_s_handler_may_use_zarr_meanwhile():
    array = create(MemoryStore(), shape=(4_000_000,), chunks=(1000,), layout="none", dtype="i4")
    words = create(MemoryStore(), shape=(1,), chunks=(5,), layout="none", dtype="str")
    count = 0

    def append(*_):
        nonlocal count
        words.append(["a word"])
        log[count % 5] = count
        count += 1
        if count < 10:
            signal.setitimer(signal.ITIMER_REAL, 0.003)

    log = create(MemoryStore(), shape=(5,), chunks=(1,), layout="none")
    before = signal.signal(signal.SIGALRM, append)
    signal.setitimer(signal.ITIMER_REAL, 0.003)
    try:
        while count < 10:
            array[...] = 3
            assert (array[...] == 3).all()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert list(words[1:]) == ["a word"] * count


# Seen to fail: a read that had begun at once went on in zarr-python's own function, without a loop.
def test_it_can_be_undone_while_others_read():
    array = create(MemoryStore())
    array[...] = VALUES
    fuzarr._accelerate._users -= 1
    stop = threading.Event()

    def toggle():
        while not stop.is_set():
            with fuzarr.accelerate_zarr():
                pass

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    thread = threading.Thread(target=toggle)
    thread.start()
    try:
        for _ in range(3000):
            assert array[3, 4] == VALUES[3, 4]
    finally:
        stop.set()
        thread.join()
        sys.setswitchinterval(interval)
        fuzarr._accelerate._users += 1
        if fuzarr._accelerate._original is None:
            fuzarr.accelerate_zarr()
            fuzarr._accelerate._users -= 1


def test_undone_it_is_as_it_was():
    module = fuzarr._accelerate
    assert module._users == 1
    own = module._original
    undo = fuzarr.accelerate_zarr()
    undo()
    undo()
    assert module._users == 1
    assert zarr_array._get_selection is module._get_selection
    assert own == module._original


def test_a_version_that_is_not_known_is_left_alone(monkeypatch):
    monkeypatch.setattr(zarr, "__version__", "3.7.0")
    before = zarr_array._get_selection
    with pytest.warns(UserWarning, match=r"does not know zarr-python 3\.7\.0"):
        undo = fuzarr.accelerate_zarr()
    assert not undo.active
    assert zarr_array._get_selection is before
    undo()


def test_what_it_does_not_know_takes_the_ordinary_way():
    store = LatencyStore(MemoryStore(), get_latency=0, set_latency=0)
    array = create(store)
    with dropin.served("read foreign", "write foreign"):
        array[...] = VALUES
        np.testing.assert_array_equal(array[...], VALUES)
    words = create(MemoryStore(), dtype="str")
    with dropin.served("read native", "write native"):
        words[...] = VALUES.astype(str)
        assert words[1, 2] == "11"
    strict = create(MemoryStore(), config={"read_missing_chunks": False})
    with pytest.raises(ChunkNotFoundError):
        strict[...]


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.integers(-11, 10), min_size=1, max_size=6),
    step=st.integers(1, 4),
    start=st.integers(-9, 9),
)
def test_selections_are_as_numpy_has_them(rows, step, start):
    array = create(MemoryStore(), "shard")
    array[...] = VALUES
    rows = np.array(rows)
    np.testing.assert_array_equal(array.oindex[rows, start::step], VALUES[rows][:, start::step])
    np.testing.assert_array_equal(array.oindex[rows, 3], VALUES[rows, 3])
    np.testing.assert_array_equal(array.vindex[rows, rows % 9], VALUES[rows, rows % 9])

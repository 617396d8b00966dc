"""A native array through its life, against NumPy, and read by zarr-python after each step."""

import pickle
import shutil
import tempfile

import fuzarr
import numpy as np
import pytest
import zarr
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

EXTENT = 14

LAYOUTS = [
    {"chunks": (3, 4)},
    {"chunks": (2, 3), "shards": (4, 6)},
    {"chunks": (2, 3), "shards": (4, 6), "index_location": "start", "compressors": None},
    {"chunks": (3, 4), "zarr_format": 2},
]


class Life(RuleBasedStateMachine):
    """The same changes to an array and to NumPy's.

    Beyond the edge a chunk may keep what it holds when the array shrinks, and show it when the
    array grows again, here as in zarr-python; until all of it that is inside is written. So the
    model is as large as the array may ever be, and what shows anew is the fill value or what was
    there last.
    """

    @initialize(
        layout=st.sampled_from(LAYOUTS),
        shape=st.tuples(*[st.integers(1, EXTENT)] * 2),
        dtype=st.sampled_from(["i4", "f8", "u1"]),
    )
    def create(self, layout, shape, dtype):
        self.folder = tempfile.mkdtemp()
        self.array = fuzarr.create_array(
            self.folder, name="a", shape=shape, dtype=dtype, fill_value=3, **layout
        )
        self.cut = layout.get("shards", layout["chunks"])
        self.room = np.full((2 * EXTENT + 12, 2 * EXTENT + 12), 3, dtype)
        self.counter = 0

    @property
    def model(self):
        return self.room[: self.array.shape[0], : self.array.shape[1]]

    def next_values(self, shape):
        self.counter += 1
        return (self.counter * 7 + np.arange(np.prod(shape, dtype=int))).reshape(shape) % 200

    @rule(data=st.data())
    def write(self, data):
        bounds = [st.none() | st.integers(-extent - 1, extent + 1) for extent in self.array.shape]
        steps = st.sampled_from([None, 1, 2, -1, -3])
        index = tuple(data.draw(st.builds(slice, bound, bound, steps)) for bound in bounds)
        values = self.next_values(self.model[index].shape)
        self.array[index] = values
        self.model[index] = values

    @rule(value=st.sampled_from([3, 8]), data=st.data())
    def fill(self, value, data):
        row = data.draw(st.integers(-1, self.array.shape[0] - 1)) if self.array.shape[0] else None
        index = slice(None) if row in (None, -1) else row
        self.array[index] = value
        self.model[index] = value

    @rule(data=st.data())
    def write_points(self, data):
        if 0 in self.array.shape:
            return
        points = st.tuples(*[st.integers(0, extent - 1) for extent in self.array.shape])
        chosen = data.draw(st.lists(points, min_size=1, max_size=6, unique=True))
        index = tuple(np.array(chosen).T)
        values = self.next_values(len(chosen))
        self.array.vindex[index] = values
        self.model[index] = values

    @rule(shape=st.tuples(*[st.integers(0, EXTENT)] * 2))
    def resize(self, shape):
        before = tuple(slice(0, min(pair)) for pair in zip(self.array.shape, shape, strict=True))
        known = self.model[before].copy()
        self.array.resize(shape)
        shown = self.array[...]
        np.testing.assert_array_equal(shown[before], known)
        assert ((shown == 3) | (shown == self.model)).all()
        self.model[...] = shown
        # Chunks that lie outside are deleted.
        for dimension, (extent, cut) in enumerate(zip(shape, self.cut, strict=True)):
            kept = -(-extent // cut) * cut
            self.room[(slice(None),) * dimension + (slice(kept, None),)] = 3

    @precondition(lambda self: max(self.array.shape) < EXTENT)
    @rule(axis=st.sampled_from([0, 1, -1]), length=st.integers(0, 5))
    def append(self, axis, length):
        shape = list(self.array.shape)
        start = shape[axis]
        shape[axis] = length
        values = self.next_values(shape)
        grown = self.array.append(values, axis)
        assert grown[axis] == start + length
        place = [slice(None)] * 2
        place[axis] = slice(start, start + length)
        self.model[tuple(place)] = values

    @rule()
    def reopen(self):
        again = fuzarr.open(self.folder, path="a")
        assert again == self.array
        self.array = again

    @rule()
    def pickle(self):
        self.array = pickle.loads(pickle.dumps(self.array))

    @rule(value=st.integers(0, 9))
    def annotate(self, value):
        self.array.attrs["value"] = value
        assert fuzarr.open(self.folder)["a"].attrs["value"] == value

    @rule()
    def delete_and_create(self):
        array = self.array
        layout = {"chunks": array.chunks, "shards": array.shards, "zarr_format": array.zarr_format}
        del fuzarr.open(self.folder)["a"]
        self.array = fuzarr.create_array(
            self.folder, name="a", shape=array.shape, dtype=array.dtype, fill_value=3, **layout
        )
        self.room[...] = 3

    @invariant()
    def the_array_is_the_model(self):
        if not hasattr(self, "array"):
            return
        np.testing.assert_array_equal(self.array[...], self.model)
        np.testing.assert_array_equal(zarr.open_array(self.folder, path="a")[...], self.model)

    def teardown(self):
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=40, stateful_step_count=15, deadline=None)
pytestmark = pytest.mark.filterwarnings("ignore:Consolidated")

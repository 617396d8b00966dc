"""Native arrays: every kind of index, read and written, against NumPy and zarr-python."""

import fuzarr
import ml_dtypes
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

LAYOUTS = {
    "chunks": {"chunks": (3, 4)},
    "shards": {"chunks": (2, 3), "shards": (4, 6)},
    "one": {"chunks": (13, 17)},
    "v2": {"chunks": (3, 4), "zarr_format": 2},
}
SHAPE = (13, 17)


def filled(layout, dtype="int32"):
    """An array in memory with all elements different, and NumPy's equal."""
    model = np.arange(np.prod(SHAPE)).reshape(SHAPE).astype(dtype)
    array = fuzarr.create_array(shape=SHAPE, dtype=dtype, fill_value=5, **LAYOUTS[layout])
    array[...] = model
    return array, model


def bounds(extent):
    return st.none() | st.integers(-extent - 3, extent + 3)


def slices(extent):
    steps = st.none() | st.integers(-extent, extent).filter(bool)
    return st.builds(slice, bounds(extent), bounds(extent), steps)


def integers(extent):
    return st.integers(-extent, extent - 1)


def lists(extent):
    kinds = st.sampled_from([list, np.array, lambda items: np.array(items, "int16")])
    return st.builds(
        lambda kind, items: kind(items), kinds, st.lists(integers(extent), min_size=1, max_size=9)
    )


def masks(extent):
    return st.lists(st.booleans(), min_size=extent, max_size=extent).map(np.array)


@st.composite
def basic(draw):
    """Integers and slices for some of the dimensions, perhaps with an ellipsis."""
    count = draw(st.integers(0, 2))
    terms = [draw(integers(extent) | slices(extent)) for extent in SHAPE[:count]]
    if draw(st.booleans()):
        place = draw(st.integers(0, count))
        terms = [draw(integers(e) | slices(e)) for e in SHAPE[:place]] + [...]
        terms += [draw(integers(e) | slices(e)) for e in SHAPE[place : draw(st.integers(place, 2))]]
        behind = len(terms) - 1 - place
        if behind:  # What stands behind the ellipsis belongs to the last dimensions.
            tail = SHAPE[-behind:]
            terms[-behind:] = [draw(integers(e) | slices(e)) for e in tail]
    return tuple(terms) if len(terms) != 1 or draw(st.booleans()) else terms[0]


@st.composite
def orthogonal(draw):
    return tuple(
        draw(integers(extent) | slices(extent) | lists(extent) | masks(extent)) for extent in SHAPE
    )


@st.composite
def points(draw):
    shape = draw(st.sampled_from([(4,), (1,), (2, 3), (0,)]))
    size = int(np.prod(shape))
    return tuple(
        np.array(draw(st.lists(integers(e), min_size=size, max_size=size)), int).reshape(shape)
        for e in SHAPE
    )


def numpy_orthogonal(index):
    """The index with which NumPy selects orthogonally, and the dimensions to drop after."""
    places, drop = [], []
    for dimension, (term, extent) in enumerate(zip(index, SHAPE, strict=True)):
        if isinstance(term, slice):
            places.append(np.arange(extent)[term])
        elif isinstance(term, int):
            places.append(np.array([term]))
            drop.append(dimension)
        else:
            term = np.asarray(term)
            places.append(np.flatnonzero(term) if term.dtype == bool else term)
    return np.ix_(*places), tuple(drop)


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_basic_selections_are_numpys(layout, data):
    index = data.draw(basic())
    array, model = filled(layout)
    result, expected = array[index], model[index]
    np.testing.assert_array_equal(result, expected)
    assert np.shape(result) == np.shape(expected)
    assert result.dtype == expected.dtype
    np.testing.assert_array_equal(array.get_basic_selection(index), expected)
    values = -1 - np.arange(np.size(expected), dtype="int32").reshape(np.shape(expected))
    array[index] = values
    model[index] = values
    np.testing.assert_array_equal(array[...], model)


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_orthogonal_selections_are_numpys(layout, data):
    index = data.draw(orthogonal())
    array, model = filled(layout)
    ix, drop = numpy_orthogonal(index)
    expected = model[ix].squeeze(axis=drop)
    np.testing.assert_array_equal(array.oindex[index], expected)
    assert np.shape(array.oindex[index]) == expected.shape
    array.oindex[index] = 7
    model[ix] = 7
    np.testing.assert_array_equal(array[...], model)


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_points_and_masks_are_numpys(layout, data):
    index = data.draw(points())
    array, model = filled(layout)
    np.testing.assert_array_equal(array.vindex[index], model[index])
    np.testing.assert_array_equal(array[index], model[index])
    np.testing.assert_array_equal(array.get_coordinate_selection(index), model[index])
    mask = model % data.draw(st.integers(2, 40)) == 0
    for read in (array.vindex[mask], array[mask], array.get_mask_selection(mask)):
        np.testing.assert_array_equal(read, model[mask])
    values = 1000 + np.arange(mask.sum(), dtype="int32")
    array.vindex[mask] = values
    model[mask] = values
    # Among points that are given twice it is not said which value wins: one value for all.
    array.vindex[index] = -3
    model[index] = -3
    np.testing.assert_array_equal(array[...], model)


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_what_zarr_python_takes_means_the_same(data):
    """One array on both sides, for all of `a[...]`, `.oindex`, `.vindex` and `.blocks`."""
    array, model = filled("shards")
    store = zarr.storage.MemoryStore()
    peer = zarr.create_array(
        store, shape=SHAPE, dtype="int32", chunks=(2, 3), shards=(4, 6), compressors=None
    )
    peer[...] = model
    kind = data.draw(st.sampled_from(["", "oindex", "vindex", "blocks"]))
    grid = (4, 3)
    index = data.draw(
        {
            "": basic() | orthogonal() | points(),
            "oindex": orthogonal(),
            "vindex": points(),
            "blocks": st.tuples(
                *[
                    integers(count)
                    | st.builds(slice, st.none() | st.integers(0, count - 1), st.none())
                    for count in grid
                ]
            ),
        }[kind]
    )
    select = {"": lambda a: a, "oindex": lambda a: a.oindex}.get(kind, lambda a: getattr(a, kind))
    try:
        expected = select(peer)[index]
    except (IndexError, ValueError):
        return  # Negative steps, and mixtures that zarr-python has no sense for.
    result = select(array)[index]
    np.testing.assert_array_equal(result, expected)
    assert np.shape(result) == np.shape(expected)


@pytest.mark.parametrize(
    "index",
    [
        (13, 0),
        (0, -18),
        (0, 0, 0),
        None,
        (0, None),
        "field",
        1.5,
        True,
        (..., ...),
        [0, 13],
        ([0, 1], [0, 17]),
        [0.5],
        np.zeros((13, 16), bool),
        ([0, 1], slice(None), 0),
        10**30,
        np.array([2**63 + 5], "uint64"),
    ],
    ids=repr,
)
def test_what_is_no_index_is_an_index_error(index):
    array, _ = filled("chunks")
    with pytest.raises(IndexError):
        array[index]
    with pytest.raises(IndexError):
        array[index] = 1


def test_a_step_of_zero_is_a_value_error_as_numpys():
    array, model = filled("chunks")
    with pytest.raises(ValueError, match="zero"):
        model[::0]
    with pytest.raises(ValueError, match="zero"):
        array[::0]


def test_values_broadcast_as_numpys():
    array, model = filled("shards")
    for index, values in [
        ((slice(2, 9),), np.arange(17)),
        ((slice(2, 9), slice(0, 4)), np.arange(7)[:, None]),
        ((3,), np.ones((1, 1, 17))),
        ((slice(None), 3), 2.9),
        ((slice(5, 5),), 3),
    ]:
        array[index] = values
        model[index] = values
        np.testing.assert_array_equal(array[...], model)
    # Where NumPy wants a number, an array of one element is one here.
    array[4, 5] = [[8]]
    assert array[4, 5] == 8
    with pytest.raises(ValueError, match="broadcast"):
        array[2:4] = np.arange(16)
    with pytest.raises(OverflowError):
        array[0, 0] = 2**40
    with pytest.raises(ValueError, match="invalid literal"):
        array[0, 0] = "text"


DTYPES = [
    *["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"],
    *["float16", "float32", "float64", "complex64", "complex128"],
    *["S5", "U3", "V3", "M8[ns]", "M8[3D]", "m8[s]", ml_dtypes.bfloat16],
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_type_goes_in_and_out(dtype):
    dtype = np.dtype(dtype)
    raw = np.random.default_rng(0).integers(0, 2 if dtype.kind == "b" else 100, 60 * dtype.itemsize)
    if dtype.kind == "U":
        values = np.array([f"é{number}" for number in range(60)], dtype)
    else:
        values = raw.astype("u1").view(dtype)
    values = values.reshape(6, 10)
    array = fuzarr.create_array(data=values, chunks=(4, 3))
    assert array.dtype == dtype
    for index in [..., (slice(None, None, -2), 3), (2, 3), ([1, 5], [0, 9])]:
        result = array[index]
        assert result.dtype == dtype
        assert np.shape(result) == np.shape(values[index])
        np.testing.assert_array_equal(
            np.asarray(result).reshape(-1).view("u1"),
            np.ascontiguousarray(values[index]).reshape(-1).view("u1"),
        )
    other = dtype.newbyteorder(">")
    for out in [
        np.empty((6, 10), dtype),
        np.empty((10, 6), dtype).T,
        np.empty((6, 20), dtype)[:, ::2],
        *([np.empty((6, 10), other)] if dtype.isbuiltin == 1 or dtype.kind in "MmU" else []),
    ]:
        assert array.read(out=out) is out
        np.testing.assert_array_equal(out.astype(dtype), values)
    scalar = np.empty((), dtype)
    array.read((2, 3), out=scalar)
    assert scalar[()] == values[2, 3]


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_text_and_bytes_of_any_length(zarr_format):
    words = np.array([["", "a", "né"], ["長い" * 9, "x\0y", "b"]], np.dtypes.StringDType())
    for dtype, values in [("string", words), ("bytes", words.astype(object))]:
        if dtype == "bytes":
            values = np.array([[word.encode() for word in row] for row in words], object)
        array = fuzarr.create_array(
            shape=(2, 3), dtype=dtype, chunks=(1, 2), zarr_format=zarr_format
        )
        array[...] = values
        assert (array[...] == values).all()
        assert array[1, 0] == values[1, 0]
        assert (array[:, ::-1] == values[:, ::-1]).all()
        array.vindex[[0, 1], [1, 2]] = values[1, 0]
        assert array[0, 1] == array[1, 2] == values[1, 0]
        out = np.empty((2, 3), object)
        array.read(out=out)
        assert out[0, 1] == values[1, 0]
        with pytest.raises(TypeError, match="not 3"):
            array[0, 0] = 3


def test_out_must_fit():
    array, _ = filled("chunks")
    with pytest.raises(ValueError, match="shape"):
        array.read(out=np.empty((13, 16), "int32"))
    with pytest.raises(TypeError, match="float"):
        array.read(out=np.empty(SHAPE))
    fixed = np.empty(SHAPE, "int32")
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match="written"):
        array.read(out=fixed)
    memory = bytearray(17)
    bytes_array = fuzarr.create_array(data=np.arange(17, dtype="u1"))
    bytes_array.read(out=memoryview(memory))
    assert memory == bytes(range(17))


def test_an_array_in_contiguous_memory_is_filled_in_place():
    array, model = filled("shards")
    out = np.zeros((2, *SHAPE), "int32")
    assert array.read(out=out[1]).base is out
    np.testing.assert_array_equal(out[1], model)
    assert not out[0].any()


def test_arrays_act_as_numpys():
    array, model = filled("shards")
    np.testing.assert_array_equal(np.asarray(array), model)
    assert np.asarray(array, "float32").dtype == "float32"
    with pytest.raises(ValueError, match="new memory"):
        np.asarray(array, copy=False)
    assert len(array) == 13
    for row, expected in zip(array, model, strict=True):
        np.testing.assert_array_equal(row, expected)
    scalar = fuzarr.create_array(shape=(), dtype="f8", fill_value=2.5)
    assert scalar[()] == scalar[...] == 2.5
    scalar[...] = 3
    assert float(np.asarray(scalar)) == 3.0
    for wrong in (len, iter):
        with pytest.raises(TypeError):
            wrong(scalar)

"""Types beyond the core, from the command line on: created, filled and printed as NumPy and the
peers have them. The table of test_interop.py crosses those of a .npy form with every codec."""

import json

import ml_dtypes
import numpy as np
import pytest
import tensorstore
import zarr

from cases import same
from shell import fuzarr, get, put

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


@pytest.mark.parametrize(
    ("dtype", "fill", "value"),
    [
        ("S5", "ab", "it's"),
        ("U7", "\u00e9\U0001f600", "two 'x'"),
        ("M8[ns]", "2024-02-29T12:30:00.000000001", "NaT"),
        ("M8[D]", "-3", "1600-03-01"),
        ("M8[10s]", "NaT", "1969-12-31T23:59:50"),
        ("m8[25us]", "-7", "NaT"),
        ("m8[M]", "NaT", "12"),
    ],
)
def test_shell_and_zarr_python_agree(dtype, fill, value, tmp_path):
    def scalar(text):
        kind = np.dtype(dtype).kind
        if kind in "mM" and text.lstrip("-").isdigit():
            return np.array(int(text)).view(dtype)[()]
        return np.array(text.encode() if kind == "S" else text, dtype)[()]

    options = ["--shape", "5", "--chunks", "2", "--codecs", "none"]
    fuzarr("create", tmp_path, "--dtype", dtype, f"--fill={fill}", *options)
    expected = np.full(5, scalar(fill), dtype)
    array = zarr.open_array(str(tmp_path))
    assert array.dtype == np.dtype(dtype)
    assert same(np.asarray(array[...]), expected)
    put(tmp_path, "1:3", value)
    expected[1:3] = scalar(value)
    assert same(np.asarray(array[...]), expected)
    assert same(get(tmp_path), expected)
    assert fuzarr("get", tmp_path).out == f"{expected}\n"
    again = zarr.create(
        store=str(tmp_path / "zarr-python"),
        shape=5,
        chunks=2,
        dtype=dtype,
        fill_value=expected[0],
        zarr_format=3,
        codecs=[codec.to_dict() for codec in array.metadata.codecs],
    )
    again[...] = expected
    assert fuzarr("get", tmp_path / "zarr-python").out == f"{expected}\n"


@pytest.mark.parametrize("dtype", ["S3", "U2", "M8[s]", "m8[h]"])
def test_fill_left_open_is_that_of_zarr_python(dtype, tmp_path):
    options = ["--shape", "2", "--chunks", "2", "--codecs", "none", "--dtype", dtype]
    fuzarr("create", tmp_path / "a", *options)
    zarr.create_array(str(tmp_path / "b"), shape=(2,), dtype=dtype)
    theirs = np.asarray(zarr.open_array(str(tmp_path / "b"))[...])
    assert same(np.asarray(zarr.open_array(str(tmp_path / "a"))[...]), theirs)
    assert same(get(tmp_path / "a"), theirs)
    assert same(get(tmp_path / "b"), theirs)


def brain(path, metadata=None):
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path)}}
    if metadata:
        spec["metadata"] = metadata
    return tensorstore.open(spec, open=not metadata, create=bool(metadata)).result()


@pytest.mark.parametrize("endian", ["little", "big"])
@pytest.mark.parametrize("fill", [1.5, "NaN", "-Infinity", "0x7fc1", 0.1])
def test_bfloat16_goes_both_ways_with_tensorstore(endian, fill, tmp_path):
    data = np.array([[0.1, -0.0, np.nan, 3e38], [1e-40, -2.5, np.inf, 7]]).astype(BFLOAT16)
    metadata = {
        "shape": [2, 8],
        "data_type": "bfloat16",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, 4]}},
        "fill_value": fill,
        "codecs": [{"name": "bytes", "configuration": {"endian": endian}}],
    }
    written = brain(tmp_path / "theirs", metadata)
    written[:, :4].write(data).result()
    both = written.read().result()
    # NumPy has no bfloat16; each is printed as the float32 that it is.
    assert fuzarr("get", tmp_path / "theirs").out == f"{both.astype(np.float32)}\n"

    fuzarr(
        *("create", tmp_path / "ours", "--dtype", "bfloat16", "--shape", "2,8", "--chunks", "1,4"),
        *("--codecs", f"bytes:{endian}", f"--fill={fill}"),
    )
    for row, values in enumerate(data.view(np.uint16)):
        for column, bits in enumerate(values):
            put(tmp_path / "ours", f"{row}, {column}", f"0x{bits:04x}")
    assert same(brain(tmp_path / "ours").read().result(), both)
    for row in ("0", "1"):
        key = f"c/{row}/0"
        assert (tmp_path / "ours" / key).read_bytes() == (tmp_path / "theirs" / key).read_bytes()


def test_bfloat16_is_in_no_npy_file(tmp_path):
    options = ["--dtype", "bfloat16", "--shape", "2", "--chunks", "2", "--codecs", "none"]
    fuzarr("create", tmp_path / "a", *options)
    refused = fuzarr("get", "-o", tmp_path / "out.npy", tmp_path / "a", code=2)
    assert "not supported: .npy files of type `bfloat16`" in refused.err
    assert not (tmp_path / "out.npy").exists()


def test_arrays_of_other_lengths_and_units_are_refused(tmp_path):
    options = ["--shape", "2", "--chunks", "2", "--codecs", "none"]
    for dtype, other in [("S5", "S4"), ("U3", "U5"), ("M8[s]", "M8[ms]"), ("M8[s]", "m8[s]")]:
        path = tmp_path / f"{dtype} {other}"
        fuzarr("create", path, "--dtype", dtype, *options)
        put(path, "...", np.zeros(2, dtype))
        refused = put(path, "...", np.zeros(2, other), code=2)
        assert "the file holds" in refused.err


@pytest.mark.parametrize(
    "data_type",
    [
        {"name": "null_terminated_bytes", "configuration": {"length_bytes": 0}},
        {"name": "null_terminated_bytes", "configuration": {"length_bytes": 2**62}},
        {"name": "fixed_length_utf32", "configuration": {"length_bytes": 6}},
        {"name": "fixed_length_utf32"},
        {"name": "numpy.datetime64", "configuration": {"unit": "s"}},
        {"name": "numpy.datetime64", "configuration": {"unit": "s", "scale_factor": 0}},
        {"name": "numpy.timedelta64", "configuration": {"unit": "B", "scale_factor": 1}},
        "r99999999999999999999",
    ],
    ids=str,
)
def test_malformed_types_are_errors(data_type, tmp_path):
    document = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [2],
        "data_type": data_type,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2]}},
        "chunk_key_encoding": {"name": "default"},
        "fill_value": "",
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
    }
    (tmp_path / "zarr.json").write_text(json.dumps(document))
    outcome = fuzarr("get", tmp_path, code=(1, 2))
    assert "data type" in outcome.err or "length_bytes" in outcome.err

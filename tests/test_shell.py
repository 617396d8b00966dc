"""The shell's manners: help, exit codes, and arrays printed as NumPy prints them."""

import numpy as np
import pytest
import zarr

from cases import Case, index
from shell import create, fuzarr, get, put

COMMANDS = ("info", "tree", "get", "put", "create", "verify", "copy")


@pytest.fixture
def array(tmp_path):
    create(tmp_path / "a", Case("int32", "zstd", "shard").document())
    return tmp_path / "a"


def test_help():
    text = fuzarr("--help").out
    for command in COMMANDS:
        assert command in text
        assert "Usage: fuzarr " + command in fuzarr(command, "--help").out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["frobnicate"],
        ["info"],
        ["info", "{}/nothing"],
        ["tree", "{}/nothing"],
        ["verify", "{}/nothing"],
        ["get", "{}/nothing"],
        ["get", "{}/a/deeper"],
        ["get", "{}/a", "5"],
        ["get", "{}/a", "0, 0, 0, 0"],
        ["get", "{}/a", "::0"],
        ["get", "{}/a", "one"],
        ["get", "{}/a", "..., ..."],
        ["get", "{}/a", "-o", "{}/no/such/folder/out.npy"],
        ["put", "{}/a", "..."],
        ["put", "{}/a", "...", "blue"],
        ["put", "{}/a", "...", "2147483648"],
        ["put", "{}/a", "...", "{}/none.npy"],
        ["put", "{}/a", "...", "1", "--order", "sideways"],
        ["create", "{}/a", "--shape", "1", "--dtype", "int8"],
        ["create", "{}/b", "--shape", "1", "--dtype", "int7"],
        ["create", "{}/b", "--dtype", "int8"],
        ["create", "{}/b", "--shape", "4", "--dtype", "int8", "--chunks", "0"],
        ["create", "{}/b", "--shape", "4", "--dtype", "int8", "--chunks", "3", "--shards", "4"],
        ["create", "{}/b", "--shape", "4", "--dtype", "int8", "--fill", "300"],
    ],
    ids=lambda arguments: " ".join(arguments).replace("{}/", "") or "nothing",
)
def test_wrong_usage_exits_with_2(arguments, array):
    outcome = fuzarr(*(part.replace("{}", str(array.parent)) for part in arguments), code=2)
    assert outcome.err
    assert "panicked" not in outcome.err


def test_put_of_another_shape_is_refused_and_changes_nothing(array):
    put(array, "...", "1")
    put(array, "1:3", np.zeros((5, 6, 7), "i4"), code=2)
    assert (get(array) == 1).all()


def test_create_from_options(tmp_path):
    fuzarr(
        *("create", tmp_path / "a", "--shape", "10,7", "--dtype", "float32", "--chunks", "2,7"),
        *("--shards", "4,7", "--fill", "NaN"),
    )
    put(tmp_path / "a", "3:5", "2.5")
    model = np.full((10, 7), np.nan, "f4")
    model[3:5] = 2.5
    theirs = zarr.open_array(str(tmp_path / "a"), mode="r")
    assert (theirs.shards, theirs.chunks) == ((4, 7), (2, 7))
    assert np.array_equal(theirs[...], model, equal_nan=True)


def test_empty_chunks_are_stored_on_request(array):
    put(array, "...", str(Case("int32", "zstd", "shard").fill))
    assert not (array / "c").exists() or not any(f.is_file() for f in (array / "c").rglob("*"))
    put(array, "...", str(Case("int32", "zstd", "shard").fill), "--write-empty-chunks")
    assert sum(file.is_file() for file in (array / "c").rglob("*")) == 8


def test_no_colour_where_there_is_no_terminal(array):
    for command in ("info", "tree", "verify"):
        assert "\x1b" not in fuzarr(command, array).out


RANDOM = np.random.default_rng(7)
PRINTED = {
    "bool": np.array([[True, False], [False, True]]),
    "uint8": np.arange(40, dtype="u1").reshape(5, 8),
    "int64": np.array([np.iinfo("i8").min, -1, 0, np.iinfo("i8").max]),
    "float16": np.array([0.1, 65504, 6e-8, -0.0], "f2"),
    "float32": RANDOM.standard_normal((4, 5)).astype("f4"),
    "float64": RANDOM.standard_normal((3, 4, 5)),
    "special": np.array([np.nan, np.inf, -np.inf, -0.0, 1.5]),
    "wide": np.array([1e-20, 1.0, 1e20]),
    "tiny": np.array([1e-5, 2e-5, 0.5]),
    "whole": np.array([1.0, 20.0, -300.0]),
    "complex64": np.array([1 + 2j, -0.5j, complex(np.nan, np.inf)], "c8"),
    "complex128": RANDOM.standard_normal((2, 3)) + 1j * RANDOM.standard_normal((2, 3)),
    "long": np.arange(2000, dtype="i4"),
    "large": np.arange(60 * 70, dtype="f4").reshape(60, 70) / 7,
    "deep": np.arange(12 * 12 * 12, dtype="u2").reshape(12, 12, 12),
    "empty": np.zeros((0, 3), "f8"),
}


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    path = tmp_path_factory.mktemp("printed")
    root = zarr.open_group(str(path), mode="w", zarr_format=3)
    for name, data in PRINTED.items():
        root.create_array(name, data=data, chunks=tuple(max(1, size) for size in data.shape))
    root.create_array("scalar", data=np.float64(0.1) + np.float64(0.2))
    return path


@pytest.mark.parametrize("name", PRINTED)
def test_prints_like_numpy(name, printed):
    assert fuzarr("get", printed / name).out.rstrip("\n") == str(PRINTED[name])


@pytest.mark.parametrize(
    ("name", "selection"),
    [
        ("float64", "0, 1, 2"),
        ("float64", "..., ::-2"),
        ("float32", "1"),
        ("int64", "-1"),
        ("long", "5:2:-1"),
        ("long", "3:3"),
        ("deep", "3, 4:6, ::5"),
        ("large", "1:4"),
        ("complex128", "1, ::-1"),
        ("special", "0"),
        ("float16", "1"),
        ("bool", " 0 , : "),
    ],
)
def test_prints_selections_like_numpy(name, selection, printed):
    expected = str(np.asarray(PRINTED[name][index(selection)]))
    assert fuzarr("get", "--", printed / name, selection).out.rstrip("\n") == expected


def test_prints_a_scalar_array(printed):
    assert fuzarr("get", printed / "scalar").out.rstrip("\n") == "0.30000000000000004"
    assert get(printed / "scalar").shape == ()

"""Text and bytes of any length in `.npy` files: NumPy and zarr-python judge."""

import numpy as np
import pytest
import zarr

from shell import fuzarr

WORDS = ["", "é", "a\0b", "𝄞 clef", "longest of them", "x"]


def made(path, dtype, values):
    array = zarr.create_array(path, shape=(2, 3), chunks=(1, 2), dtype=dtype)
    array[...] = np.array(values, dtype=object).reshape(2, 3)
    return array


def test_text_is_saved_as_numpy_has_it(tmp_path):
    made(tmp_path / "a", "string", WORDS)
    fuzarr("get", tmp_path / "a", "-o", tmp_path / "all.npy")
    saved = np.load(tmp_path / "all.npy")
    assert (saved.dtype, saved.shape) == (np.dtype("=U15"), (2, 3))
    np.testing.assert_array_equal(saved, np.array(WORDS).reshape(2, 3))
    fuzarr("get", tmp_path / "a", "0, 0", "-o", tmp_path / "one.npy")
    one = np.load(tmp_path / "one.npy")
    assert (one.dtype, one.shape, str(one)) == (np.dtype("=U1"), (), "")


def test_bytes_are_saved_as_numpy_has_them(tmp_path):
    values = [b"", b"\xff\0\1", b"longer", b"a", b"b", b"c"]
    made(tmp_path / "a", "variable_length_bytes", values)
    fuzarr("get", tmp_path / "a", "-o", tmp_path / "all.npy")
    saved = np.load(tmp_path / "all.npy")
    assert saved.dtype == np.dtype("S6")
    assert saved.ravel().tolist() == values


@pytest.mark.parametrize("dtype", ["<U9", ">U9"])
def test_text_is_read_from_what_numpy_saved(dtype, tmp_path):
    array = made(tmp_path / "a", "string", WORDS)
    given = np.array(["ü", "", "𝄞", "nine char", "\0x", "z"], dtype=dtype).reshape(2, 3)
    np.save(tmp_path / "given.npy", np.asfortranarray(given))
    fuzarr("put", tmp_path / "a", "...", tmp_path / "given.npy")
    assert array[...].tolist() == given.tolist()
    np.save(tmp_path / "one.npy", np.array("every"))
    fuzarr("put", tmp_path / "a", "0", tmp_path / "one.npy")
    assert array[...].tolist() == [["every"] * 3, given[1].tolist()]


def test_bytes_are_read_from_what_numpy_saved(tmp_path):
    array = made(tmp_path / "a", "variable_length_bytes", [b"x"] * 6)
    given = np.array([b"\xff\0\1", b"", b"abc"])
    np.save(tmp_path / "given.npy", given)
    fuzarr("put", tmp_path / "a", "1", tmp_path / "given.npy")
    assert array[1].tolist() == given.tolist()
    np.save(tmp_path / "text.npy", np.array(["a", "b", "c"]))
    assert 'astype("S")' in fuzarr("put", tmp_path / "a", "1", tmp_path / "text.npy", code=2).err


def test_what_numpy_cannot_hold_is_refused(tmp_path):
    made(tmp_path / "a", "string", ["a", "b\0", *"cdef"])
    fuzarr("get", tmp_path / "a", "0, 1", "-o", tmp_path / "x.npy", code=2)
    assert not (tmp_path / "x.npy").exists()
    fuzarr("get", tmp_path / "a", "1", "-o", tmp_path / "x.npy")
    array = zarr.create_array(tmp_path / "b", shape=(1000,), chunks=(1000,), dtype="string")
    array[7] = "x" * 1_000_000
    assert "1073741824" in fuzarr("get", tmp_path / "b", "-o", tmp_path / "y.npy", code=2).err
    assert not (tmp_path / "y.npy").exists()

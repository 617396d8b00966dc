"""Errors of the native package: each is the builtin that a Python program would catch."""

import json
import pickle
import re
from pathlib import Path

import fuzarr
import fuzarr.errors
import numpy as np
import pytest

BUILTINS = {
    "NotFoundError": (FileNotFoundError, KeyError),
    "ExistsError": (FileExistsError, ValueError),
    "FormatError": (ValueError,),
    "UnsupportedError": (NotImplementedError,),
    "ArgumentError": (ValueError,),
    "SelectionError": (IndexError,),
    "ReadOnlyError": (PermissionError, ValueError),
    "CorruptError": (ValueError, RuntimeError),
    "ConflictError": (OSError,),
    "LimitError": (MemoryError,),
    "CancelledError": (RuntimeError,),
    "StoreError": (OSError,),
    "StorePermissionError": (fuzarr.errors.StoreError, PermissionError),
    "StoreFileExistsError": (fuzarr.errors.StoreError, FileExistsError),
    "StoreIsADirectoryError": (fuzarr.errors.StoreError, IsADirectoryError),
    "StoreNotADirectoryError": (fuzarr.errors.StoreError, NotADirectoryError),
}


def test_every_class_is_a_builtin_and_one_of_fuzarrs():
    classes = {
        name: one
        for name, one in vars(fuzarr.errors).items()
        if isinstance(one, type) and issubclass(one, fuzarr.errors.FuzarrError)
    }
    assert classes.keys() == {"FuzarrError", *BUILTINS}
    for name, builtins in BUILTINS.items():
        assert all(issubclass(classes[name], builtin) for builtin in builtins)
        error = pickle.loads(pickle.dumps(classes[name]("what is wrong")))
        assert type(error) is classes[name]
        assert str(error) == "what is wrong"


def test_every_kind_of_the_library_has_a_class():
    root = Path(__file__).parent.parent / "crates"
    kinds = re.search(
        r"pub enum Kind \{(.*?)\n\}", (root / "fuzarr/src/error.rs").read_text(), re.DOTALL
    )
    names = re.findall(r"^    (\w+),$", kinds[1], re.MULTILINE)
    text = (root / "fuzarr-python/src/error.rs").read_text()
    classes = dict(re.findall(r"Kind::(\w+) => \"(\w+)\"", text))
    assert set(names) == classes.keys()
    assert all(hasattr(fuzarr.errors, name) for name in classes.values())


@pytest.fixture
def stored(tmp_path):
    array = fuzarr.create_array(
        tmp_path, name="a", shape=(8,), dtype="i4", chunks=(2,), compressors=["zstd", "crc32c"]
    )
    array[...] = np.arange(8)
    return array


def test_damage_names_key_and_codec(stored, tmp_path):
    chunk = tmp_path / "a/c/2"
    chunk.write_bytes(chunk.read_bytes()[:-1] + b"\0")
    with pytest.raises(fuzarr.errors.CorruptError, match="a/c/2") as raised:
        stored[...]
    assert isinstance(raised.value, ValueError)
    assert raised.value.context["key"] == "a/c/2"
    assert raised.value.context["codec"] == "crc32c"
    assert "crc32c" in str(raised.value)
    np.testing.assert_array_equal(stored[:4], np.arange(4))


@pytest.mark.usefixtures("stored")
def test_documents_that_break_the_format(tmp_path):
    document = tmp_path / "a/zarr.json"
    whole = json.loads(document.read_bytes())
    document.write_text(json.dumps(whole | {"codecs": []}))
    with pytest.raises(ValueError, match=r"a/zarr\.json"):
        fuzarr.open(tmp_path, path="a")
    document.write_text(json.dumps(whole | {"codecs": [{"name": "no.such.codec"}]}))
    with pytest.raises(NotImplementedError, match=r"no\.such\.codec"):
        fuzarr.open(tmp_path, path="a")


def test_missing_chunks_are_an_error_if_asked(stored, tmp_path):
    (tmp_path / "a/c/1").unlink()
    np.testing.assert_array_equal(stored[:4], [0, 1, 0, 0])
    strict = stored.with_config({"read_missing_chunks": False})
    with pytest.raises(KeyError, match="a/c/1"):
        strict[...]
    assert strict.config["read_missing_chunks"] is False
    assert strict != stored


def test_a_result_too_large_is_a_memory_error():
    array = fuzarr.create_array(shape=(2**50,), dtype="f8", chunks=(1000,))
    with pytest.raises(MemoryError):
        array[:]
    with fuzarr.config.set(memory="1kB"), pytest.raises(MemoryError):
        array[:100_000]


def test_what_took_the_place_of_an_array_is_not_changed(stored, tmp_path):
    fuzarr.create_array(tmp_path, name="a", shape=(3,), dtype="u1", overwrite=True)
    with pytest.raises(ValueError, match="another array"):
        stored.resize(9)
    del fuzarr.open(tmp_path)["a"]
    with pytest.raises(FileNotFoundError):
        stored.attrs["x"] = 1


def test_fields_are_no_selections(stored):
    for wrong in [
        lambda: stored["x"],
        lambda: stored.get_basic_selection(..., fields="x"),
        lambda: stored.set_basic_selection(..., 1, fields="x"),
    ]:
        with pytest.raises(IndexError, match="field"):
            wrong()


def test_appended_data_must_fit():
    array = fuzarr.create_array(shape=(4, 3), dtype="i4")
    with pytest.raises(ValueError, match="append"):
        array.append(np.zeros((2, 2), "i4"))
    with pytest.raises(IndexError, match="axis"):
        array.append(np.zeros((2, 3), "i4"), axis=2)
    assert array.append(np.ones((2, 3), "i4")) == (6, 3)
    assert array.append(np.ones((6, 1), "i4"), axis=-1) == (6, 4)


def test_damage_in_a_shard_names_the_inner_chunk(tmp_path):
    array = fuzarr.create_array(
        tmp_path, shape=(8,), dtype="i4", chunks=(2,), shards=(8,), compressors="crc32c"
    )
    array[...] = np.arange(8)
    shard = tmp_path / "c/0"
    stored = bytearray(shard.read_bytes())
    stored[13] ^= 1
    shard.write_bytes(stored)
    with pytest.raises(fuzarr.errors.CorruptError) as raised:
        fuzarr.open(tmp_path)[...]
    assert raised.value.context["inner chunk"] == "[1]"
    assert raised.value.context.keys() == {"inner chunk", "codec", "key"}

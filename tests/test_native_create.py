"""Native creation: the documents are those that zarr-python writes for the same arguments."""

import json
import re

import fuzarr
import numcodecs
import numpy as np
import pytest
import zarr


def documents(folder):
    """The documents in a folder by name, in one spelling."""

    def plain(value):
        if isinstance(value, list):
            return [plain(item) for item in value]
        if isinstance(value, dict):
            named = {key: plain(item) for key, item in value.items()}
            # An empty configuration says nothing.
            if named.get("configuration") == {}:
                del named["configuration"]
            return named
        return value

    return {
        path.relative_to(folder).as_posix(): plain(json.loads(path.read_bytes()))
        for path in sorted(folder.rglob("*"))
        if path.name in ("zarr.json", ".zarray", ".zgroup")
    }


CASES = {
    "least": {"shape": (10,), "dtype": "i4"},
    "many elements": {"shape": (1000, 3000, 7), "dtype": "f8"},
    "no elements": {"shape": (0, 5), "dtype": "u1"},
    "no dimension": {"shape": (), "dtype": "f4"},
    "one length": {"shape": 7, "dtype": int},
    "chunks": {"shape": (100, 70), "dtype": "i2", "chunks": (10, 7), "fill_value": 3},
    "one chunk length": {"shape": (100, 70), "dtype": "i2", "chunks": 10},
    "uncut dimension": {"shape": (100, 70), "dtype": "i2", "chunks": (-1, 7)},
    "uncut": {"shape": (100, 70), "dtype": "i2", "chunks": False},
    "shards": {"shape": (100, 70), "dtype": "i2", "chunks": (5, 7), "shards": (20, 35)},
    "shards of guessed chunks": {"shape": (4096, 4096), "dtype": "f4", "shards": (8192, 4096)},
    "index first": {
        "shape": (100,),
        "dtype": "i2",
        "chunks": (5,),
        "shards": {"shape": (20,), "index_location": "start"},
    },
    "no compression": {"shape": (10,), "dtype": "i4", "compressors": None},
    "several": {
        "shape": (10, 4),
        "dtype": "i4",
        "filters": {"name": "transpose", "configuration": {"order": [1, 0]}},
        "serializer": {"name": "bytes", "configuration": {"endian": "big"}},
        "compressors": [
            {"name": "gzip", "configuration": {"level": 3}},
            {"name": "crc32c"},
        ],
    },
    "codec objects": {
        "shape": (10, 4),
        "dtype": "i4",
        "filters": [zarr.codecs.TransposeCodec(order=(1, 0))],
        "serializer": zarr.codecs.BytesCodec(endian="big"),
        "compressors": (zarr.codecs.BloscCodec(cname="lz4"), zarr.codecs.Crc32cCodec()),
    },
    "blosc of bytes": {"shape": (9,), "dtype": "u1", "compressors": zarr.codecs.BloscCodec()},
    "blosc as asked": {
        "shape": (9,),
        "dtype": "i4",
        "compressors": zarr.codecs.BloscCodec(shuffle="noshuffle", typesize=2),
    },
    "text": {"shape": (4,), "dtype": "string"},
    "python's text": {"shape": (4,), "dtype": str},
    "fixed text": {"shape": (4,), "dtype": "U5", "fill_value": "é"},
    "fixed bytes": {"shape": (4,), "dtype": "S5"},
    "bool": {"shape": (4,), "dtype": "bool", "fill_value": True},
    "nan": {"shape": (4,), "dtype": "f4", "fill_value": float("nan")},
    "infinity": {"shape": (4,), "dtype": "f8", "fill_value": -np.inf},
    "complex": {"shape": (4,), "dtype": "c8", "fill_value": 1 + 2j},
    "names": {"shape": (4, 5), "dtype": "i1", "dimension_names": ["y", None]},
    "attributes": {"shape": (4,), "dtype": "i1", "attributes": {"a": [1, 2.5], "b": {"c": None}}},
    "keys": {
        "shape": (4,),
        "dtype": "i1",
        "chunk_key_encoding": {"name": "v2", "separator": "/"},
    },
    "v2": {"shape": (100, 70), "dtype": "i2", "chunks": (10, 7), "zarr_format": 2},
    "v2 of another byte order": {"shape": (10,), "dtype": ">f4", "zarr_format": 2},
    "v2 in Fortran order": {"shape": (9, 9), "dtype": "i4", "zarr_format": 2, "order": "F"},
    "v2 without fill": {"shape": (9,), "dtype": "i4", "zarr_format": 2, "fill_value": None},
    "v2 text": {"shape": (9,), "dtype": "string", "zarr_format": 2},
    "v2 codecs": {
        "shape": (9,),
        "dtype": "i4",
        "zarr_format": 2,
        "filters": [numcodecs.Delta("<i4")],
        "compressors": numcodecs.Blosc("zstd", 3, 2),
    },
    "v2 keys": {
        "shape": (9,),
        "dtype": "i4",
        "zarr_format": 2,
        "compressors": None,
        "chunk_key_encoding": {"name": "v2", "separator": "/"},
    },
}


@pytest.mark.parametrize("case", CASES)
def test_arrays_are_described_as_by_zarr_python(case, tmp_path):
    options = {"attributes": {"x": 1}} | CASES[case]
    array = fuzarr.create_array(tmp_path / "ours", name="in/side", **options)
    peer = zarr.create_array(tmp_path / "theirs", name="in/side", **options)
    assert documents(tmp_path / "ours") == documents(tmp_path / "theirs")
    for fact in ["shape", "ndim", "size", "nbytes", "chunks", "shards", "order", "cdata_shape"]:
        assert getattr(array, fact) == getattr(peer, fact), fact
    for fact in ["path", "name", "basename", "nchunks", "read_only"]:
        assert getattr(array, fact) == getattr(peer, fact), fact
    np.testing.assert_array_equal(array.fill_value, peer.fill_value)
    assert dict(array.attrs) == options["attributes"]
    assert array.zarr_format == options.get("zarr_format", 3)
    assert array.dtype == (peer.dtype if peer.dtype.kind == "T" else peer.dtype.newbyteorder("="))
    assert len(array.filters) == len(peer.filters)
    assert len(array.compressors) == len(peer.compressors)
    assert all(codec["name" if array.zarr_format == 3 else "id"] for codec in array.compressors)


def test_times_are_described_as_by_zarr_python_but_for_the_spelling_of_not_a_time(tmp_path):
    for name, dtype in [("d", "M8[ns]"), ("t", "m8[10s]")]:
        fuzarr.create_array(tmp_path / "ours", name=name, shape=(3,), dtype=dtype)
        theirs = zarr.open_array(tmp_path / "ours", path=name)
        assert theirs.dtype == np.dtype(dtype)
        assert np.isnat(theirs.fill_value)


MAKERS = {
    "zeros": lambda module, store: module.zeros((4, 5), store=store, dtype="i4", chunks=(2, 2)),
    "ones": lambda module, store: module.ones((4, 5), store=store, chunks=(2, 2)),
    "full": lambda module, store: module.full((4, 5), 7, store=store, dtype="u2", chunks=(2, 2)),
    "empty": lambda module, store: module.empty((4, 5), store=store, path="a/b"),
    "group": lambda module, store: module.create_group(store, path="a", attributes={"x": 1}),
    "v2 group": lambda module, store: module.create_group(store, path="a", zarr_format=2),
    "open_group": lambda module, store: module.open_group(store, mode="w", attributes={"x": 1}),
    "open": lambda module, store: module.open(store, mode="a"),
    "open_array": lambda module, store: module.open_array(
        store, mode="w", shape=(3,), dtype="i2", chunks=(2,)
    ),
    "save": lambda module, store: module.save(store, np.arange(6).reshape(2, 3)),
    "save several": lambda module, store: module.save(store, np.arange(3), b=np.ones(2)),
}


@pytest.mark.parametrize("case", MAKERS)
def test_every_way_to_create_writes_what_zarr_python_writes(case, tmp_path):
    for module, name in [(fuzarr, "ours"), (zarr, "theirs")]:
        MAKERS[case](module, tmp_path / name)
    ours, theirs = documents(tmp_path / "ours"), documents(tmp_path / "theirs")
    assert ours == theirs
    peer = zarr.open(tmp_path / "ours", mode="r")
    for path, node in [("", peer)] if isinstance(peer, zarr.Array) else peer.members(None):
        if isinstance(node, zarr.Array):
            theirs = zarr.open_array(tmp_path / "theirs", path=path, mode="r")
            np.testing.assert_array_equal(node[...], theirs[...])


@pytest.mark.parametrize("case", ["chunks", "shards", "several", "codec objects", "v2 codecs"])
@pytest.mark.parametrize("make", ["zeros_like", "ones_like", "full_like", "empty_like"])
def test_likes_have_the_layout_of_what_they_are_like(case, make, tmp_path):
    array = fuzarr.create_array(tmp_path / "a", **CASES[case])
    value = (9,) if make == "full_like" else ()
    like = getattr(fuzarr, make)(array, *value, store=tmp_path / "b")
    expected = {"zeros_like": 0, "ones_like": 1, "full_like": 9, "empty_like": array.fill_value}
    assert like.fill_value == expected[make]
    [(_, one)], [(_, two)] = (documents(tmp_path / name).items() for name in "ab")
    assert one | {"fill_value": 0} == two | {"fill_value": 0}


def test_likes_of_numpys_arrays():
    like = fuzarr.zeros_like(np.ones((3, 4), "i2"))
    assert (like.shape, like.dtype, like[...].sum()) == ((3, 4), np.dtype("i2"), 0)


def test_what_zarr_python_lacks(tmp_path):
    array = fuzarr.create_array(
        tmp_path,
        shape=(8, 8),
        dtype="u1",
        chunks=(2, 2),
        shards=(8, 8),
        compressors=None,
        index_location="start",
        subchunk_write_order="colexicographic",
    )
    values = np.arange(64, dtype="u1").reshape(8, 8)
    array[...] = values
    assert array.config["subchunk_write_order"] == "colexicographic"
    stored = (tmp_path / "c/0/0").read_bytes()
    index = np.frombuffer(stored[:256], "<u8").reshape(4, 4, 2)
    # The first dimension is the fastest.
    assert index[1, 0, 0] < index[0, 1, 0]
    np.testing.assert_array_equal(zarr.open_array(tmp_path)[...], values)


def test_names_and_the_short_form_of_codecs(tmp_path):
    for number, (compressors, expected) in enumerate(
        [
            ("gzip", [{"name": "gzip", "configuration": {"level": 5}}]),
            ("zstd:7", [{"name": "zstd", "configuration": {"level": 7, "checksum": False}}]),
            (["zstd", "crc32c"], ["zstd", "crc32c"]),
            ((), []),
        ]
    ):
        array = fuzarr.create_array(
            tmp_path / str(number), shape=(9,), dtype="i4", compressors=compressors
        )
        found = [
            codec["name"] if isinstance(wanted, str) else codec
            for codec, wanted in zip(array.compressors, expected, strict=True)
        ]
        assert found == expected


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"shape": (3,)}, ValueError, "dtype"),
        ({"shape": (3,), "dtype": "i4", "chunks": (2, 2)}, ValueError, "dimensions"),
        ({"shape": (3,), "dtype": "i4", "chunks": 0}, ValueError, "positive"),
        ({"shape": (-3,), "dtype": "i4"}, ValueError, "-3"),
        ({"shape": (3,), "dtype": "i4", "chunks": ((1, 2),)}, NotImplementedError, "rectilinear"),
        ({"shape": (9,), "dtype": "i4", "chunks": 2, "shards": (5,)}, ValueError, "multiple"),
        ({"shape": (3,), "dtype": "i4", "fill_value": "x"}, ValueError, "x"),
        ({"shape": (3,), "dtype": "i4", "fill_value": [1, 2]}, TypeError, "one element"),
        ({"shape": (3,), "dtype": object}, NotImplementedError, "object"),
        ({"shape": (3,), "dtype": [("a", "i4")]}, NotImplementedError, "structured"),
        (
            {"shape": (3,), "dtype": "i4", "compressors": "nonesuch"},
            NotImplementedError,
            "nonesuch",
        ),
        ({"shape": (3,), "dtype": "i4", "compressors": 3}, TypeError, "codec"),
        ({"shape": (3,), "dtype": "i4", "dimension_names": ["x", "y"]}, ValueError, "names"),
        ({"shape": (3,), "dtype": "i4", "attributes": {"a": {3}}}, TypeError, "JSON"),
        ({"shape": (3,), "dtype": "i4", "zarr_format": 4}, NotImplementedError, "4"),
        ({"shape": (3,), "dtype": "i4", "zarr_format": 2, "shards": 3}, ValueError, "shards"),
        ({"shape": (3,), "dtype": "i4", "config": {"colour": 1}}, ValueError, "colour"),
        ({"shape": (3,), "dtype": "i4", "index_location": "middle"}, ValueError, "middle"),
        ({"shape": (3,), "dtype": "i4", "subchunk_write_order": "z"}, ValueError, "z"),
        ({"shape": (3,), "dtype": "i4", "data": np.ones(3)}, ValueError, "data"),
    ],
    ids=str,
)
def test_what_makes_no_array_leaves_nothing_behind(options, error, message, tmp_path):
    with pytest.raises(error, match=re.escape(message)):
        fuzarr.create_array(tmp_path / "x", **options)
    assert not (tmp_path / "x").exists()


def test_modes(tmp_path):
    path = tmp_path / "x"
    for opened in (fuzarr.open, fuzarr.open_array, fuzarr.open_group):
        for mode in ("r", "r+"):
            with pytest.raises(FileNotFoundError):
                opened(path, mode=mode)
            with pytest.raises(KeyError):
                opened(path, mode=mode)
    assert not path.exists()
    array = fuzarr.open(path, mode="w-", shape=(4,), dtype="i4")
    array[...] = 1
    with pytest.raises(FileExistsError):
        fuzarr.open(path, mode="w-", shape=(4,), dtype="i4")
    with pytest.raises(ValueError, match="already"):
        fuzarr.create_array(path, shape=(4,), dtype="i4")
    reader = fuzarr.open(path, mode="r")
    assert reader.read_only
    assert not fuzarr.open(path).read_only
    for change in [
        lambda: reader.__setitem__(0, 1),
        lambda: reader.resize(3),
        lambda: reader.append([1]),
        lambda: reader.attrs.__setitem__("x", 1),
    ]:
        with pytest.raises(PermissionError, match="r\\+"):
            change()
        with pytest.raises(ValueError, match="reading only"):
            change()
    np.testing.assert_array_equal(fuzarr.open(path, mode="a")[...], 1)
    assert fuzarr.open(path, mode="w", shape=(4,), dtype="i4")[...].sum() == 0
    group = fuzarr.open(path, mode="w")
    assert isinstance(group, fuzarr.Group)
    with pytest.raises(FileNotFoundError, match="group"):
        fuzarr.open_array(path)
    with pytest.raises(ValueError, match="mode"):
        fuzarr.open(path, mode="x")


def test_stores_by_url(tmp_path):
    array = fuzarr.create_array(f"file://{tmp_path}/a%20b", data=np.arange(3))
    assert (tmp_path / "a b/zarr.json").exists()
    assert array == fuzarr.open(str(tmp_path / "a b/")) == fuzarr.open(array.store)
    assert array.store.path == tmp_path / "a b"
    for url in ["ftp://host/x", "hdfs://host/x.zarr"]:
        with pytest.raises(NotImplementedError, match=url.split(":")[0]):
            fuzarr.open(url, mode="r")
    with pytest.raises(NotImplementedError, match="dict"):
        fuzarr.open({})
    (tmp_path / "file.bin").touch()
    with pytest.raises(NotImplementedError, match=r"file\.bin"):
        fuzarr.open(tmp_path / "file.bin")
    with pytest.raises(TypeError, match="storage_options"):
        fuzarr.open(tmp_path, storage_options={"anon": True})


def test_load_gives_values(tmp_path):
    values = np.arange(6).reshape(2, 3)
    fuzarr.save(tmp_path / "one", values)
    np.testing.assert_array_equal(fuzarr.load(tmp_path / "one"), values)
    fuzarr.save(tmp_path / "more", values, b=values * 2)
    loaded = fuzarr.load(tmp_path / "more")
    assert sorted(loaded) == ["arr_0", "b"]
    np.testing.assert_array_equal(loaded["b"], values * 2)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("none", ["bytes"]),
        ("zstd:3", ["bytes", "zstd"]),
        ("zstd:3,crc32c", ["bytes", "zstd", "crc32c"]),
        ("crc32c gzip", ["bytes", "crc32c", "gzip"]),
        ("numcodecs.zlib", ["bytes", "numcodecs.zlib"]),
    ],
)
@pytest.mark.parametrize("dtype", ["i1", "i4"])
def test_compressors_in_the_short_form_are_those_that_are_named(text, names, dtype):
    array = fuzarr.create_array(shape=(9,), dtype=dtype, compressors=text)
    assert [codec["name"] for codec in array.metadata["codecs"]] == names
    array[...] = np.arange(9)
    np.testing.assert_array_equal(array[...], np.arange(9))


@pytest.mark.parametrize("way", ["filters", "serializer", "compressors"])
@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("zstd:99", "level 99 is not in"),
        ("zstd:x", "`x` is no whole number"),
        ("blosc:lz5", "lz5"),
        ("crc32c:1", "settings"),
        ("zstd,zstd2", "no such codec.*zstd2"),
    ],
)
def test_what_is_wrong_with_a_codec_is_told(text, wrong, way):
    with pytest.raises(ValueError, match=wrong):
        fuzarr.create_array(shape=(9,), dtype="i4", **{way: text})


def test_a_codec_that_is_not_known_is_not_supported():
    with pytest.raises(NotImplementedError, match=r"codec `no\.such:1`"):
        fuzarr.create_array(shape=(9,), dtype="i4", compressors="no.such:1")


def test_false_is_no_shard():
    array = fuzarr.create_array(shape=(9,), dtype="i4", chunks=(2,), shards=False)
    assert (array.shards, array.chunks) == (None, (2,))
    assert fuzarr.create_array(shape=(9,), dtype="i4", chunks=False).chunks == (9,)
    assert fuzarr.create_array(shape=(9,), dtype="i4", chunks=(2,), shards=True).shards is not None


def test_what_is_there_is_told_with_the_way_out(tmp_path):
    fuzarr.create_array(tmp_path, shape=(9,), dtype="i4", chunks=(2,))[...] = 1
    with pytest.raises(FileExistsError, match="option: overwrite=True") as raised:
        fuzarr.create_array(tmp_path, shape=(9,), dtype="i4")
    assert raised.value.context["key"] == "zarr.json"
    (tmp_path / "zarr.json").unlink()
    # Chunks beyond its end, too, would be those of an array that grows.
    for shape in [(9,), (2,)]:
        with pytest.raises(FileExistsError, match=r"chunks.*key: c/0.*option: overwrite=True"):
            fuzarr.create_array(tmp_path, shape=shape, dtype="i4", chunks=(2,))
    array = fuzarr.create_array(tmp_path, shape=(2,), dtype="i4", chunks=(2,), overwrite=True)
    array.resize(9)
    assert not array[...].any()


def test_objects_of_a_store_are_put_and_got_as_they_are(tmp_path):
    stored = zarr.create_array(tmp_path, shape=(9,), dtype="i4", chunks=(4,))
    stored[:] = np.arange(9)
    files = {
        path.relative_to(tmp_path).as_posix(): path.read_bytes()
        for path in tmp_path.rglob("*")
        if path.is_file()
    }
    store = fuzarr.Store.memory()
    for key, data in files.items():
        store.put(f"a/{key}", data)
    assert store.list_keys() == sorted(f"a/{key}" for key in files)
    assert store.list_keys("a/c") == store.list_keys("a/c/") == ["a/c/0", "a/c/1", "a/c/2"]
    assert store.list_keys("no") == []
    array = fuzarr.open_array(store, path="a", mode="r+")
    assert np.array_equal(array[:], np.arange(9))
    assert {key: store.get(f"a/{key}") for key in files} == files
    store.delete("a/c/1")
    store.delete("a/c/1")
    assert store.get("a/c/1") is None
    assert np.array_equal(array[:], [0, 1, 2, 3, 0, 0, 0, 0, 8])
    assert fuzarr.Store.local(tmp_path).list_keys("c") == ["c/0", "c/1", "c/2"]
    for call in (store.get, store.delete, store.list_keys, lambda key: store.put(key, b"")):
        with pytest.raises(ValueError, match="segment"):
            call("a/../b")

"""Zarr v2 both ways with zarr-python, tensorstore and zarrs; consolidated metadata as zarr-python.

`FILTERS` is the table of filters and compressors: a new one needs a line there and nothing else.
"""

import itertools
import json
import warnings
import zlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pytest
import tensorstore
import zarr

from cases import Case, index, same, selections
from peers import Zarrs
from shell import create, fuzarr, get, put

CORE = (
    *("|b1", "|i1", "|u1"),
    *(f"<{kind}{size}" for kind in "iu" for size in (2, 4, 8)),
    *("<f2", "<f4", "<f8", "<c8", "<c16"),
)
# Beyond the core: zarr-python alone judges these.
MORE = ("<U3", "|S5", "<M8[ns]", "<m8[10s]")
ORDERS = ("C", "F")
SEPARATORS = (".", "/")
# Filters and compressor, by name.
FILTERS = {
    "raw": (None, None),
    "zstd": (None, {"id": "zstd", "level": 3}),
    "zstd+checksum": (None, {"id": "zstd", "level": 1, "checksum": True}),
    "gzip": (None, {"id": "gzip", "level": 5}),
    "blosc-lz4": (
        None,
        {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0},
    ),
    "blosc-auto": (
        None,
        {"id": "blosc", "cname": "zstd", "clevel": 3, "shuffle": -1, "blocksize": 0},
    ),
    "zlib": (None, {"id": "zlib", "level": 1}),
    "bz2": (None, {"id": "bz2", "level": 1}),
    "lz4": (None, {"id": "lz4", "acceleration": 1}),
    "lzma": (None, {"id": "lzma", "format": 1, "check": -1, "preset": None, "filters": None}),
    "crc32": ([{"id": "crc32"}], None),
    "adler32": ([{"id": "adler32"}], None),
    "fletcher32": ([{"id": "fletcher32"}], None),
    "shuffle": ([{"id": "shuffle", "elementsize": 4}], {"id": "zlib", "level": 1}),
    "crc32c": ([{"id": "crc32c"}], None),
    "crc32c+gzip": ([{"id": "crc32c", "location": "end"}], {"id": "gzip", "level": 1}),
}


@dataclass(frozen=True)
class Array:
    """One array of v2. Edge chunks are cut, a whole chunk is left at the fill value."""

    dtype: str
    order: str = "C"
    separator: str = "."
    filters: str = "raw"
    shape: tuple[int, ...] = (5, 6, 7)
    chunks: tuple[int, ...] = (4, 3, 4)
    null_fill: bool = False

    def __str__(self):
        null = "-null" if self.null_fill else ""
        parts = (self.dtype, self.order, {".": "dot", "/": "slash"}[self.separator], self.filters)
        return "-".join(parts) + null

    @cached_property
    def seed(self):
        return zlib.crc32(str(self).encode())

    @property
    def numpy(self):
        return np.dtype(self.dtype)

    @cached_property
    def fill(self):
        """What missing elements are; of the null fill value zero, and NaT of times."""
        zero = np.zeros((), self.numpy)[()]
        if self.null_fill:
            return np.array("NaT", self.numpy)[()] if self.numpy.kind in "mM" else zero
        kind, pick = self.numpy.kind, self.seed // 7
        reals = (0.0, np.nan, -0.0, np.inf, -1.5, -np.inf)
        if kind in "iu":
            limits = np.iinfo(self.numpy)
            return self.numpy.type((0, limits.min, limits.max, 7)[pick % 4])
        if kind == "f":
            return self.numpy.type(reals[pick % 6])
        if kind == "c":
            zero = np.zeros((), self.numpy)
            zero.real, zero.imag = reals[pick % 6], reals[pick // 6 % 6]
            return zero[()]
        picks = {"b": (False, True), "U": ("", "é!"), "S": (b"", b"\xff\x01")}.get(kind, (0, -5))
        return np.array(picks[pick % 2], self.numpy)[()]

    @cached_property
    def data(self):
        rng = np.random.default_rng(self.seed)
        if self.numpy.kind == "U":
            data = rng.choice(["", "a", "日本", "xyz", "é\U0001f600"], self.shape)
        elif self.numpy.kind == "S":
            data = rng.choice([b"", b"a", b"\xfe\0b", b"01234"], self.shape)
        elif self.numpy.kind == "b":
            data = rng.integers(0, 2, self.shape)
        else:
            count = int(np.prod(self.shape)) * self.numpy.itemsize
            data = np.frombuffer(rng.bytes(count), self.numpy).reshape(self.shape)
        data = np.array(data, self.numpy)
        data[tuple(slice(extent) for extent in self.chunks)] = self.fill
        return data

    @property
    def native(self):
        """The data in native byte order, which is what `get` gives."""
        return self.data.astype(self.numpy.newbyteorder("="))

    def fill_json(self):
        if self.null_fill:
            return None
        document = zarr.create(
            store={}, shape=(), chunks=(), dtype=self.numpy, fill_value=self.fill, zarr_format=2
        )
        return json.loads(json.dumps(document.metadata.to_dict()["fill_value"]))

    def document(self):
        """The whole .zarray."""
        filters, compressor = FILTERS[self.filters]
        return {
            "shape": list(self.shape),
            "chunks": list(self.chunks),
            "dtype": self.dtype,
            "fill_value": self.fill_json(),
            "order": self.order,
            "filters": filters,
            "dimension_separator": self.separator,
            "compressor": compressor,
            "zarr_format": 2,
        }

    def zarr_python(self, path):
        filters, compressor = FILTERS[self.filters]
        return zarr.create(
            store=str(path),
            shape=self.shape,
            chunks=self.chunks,
            dtype=self.numpy,
            fill_value=None if self.null_fill else self.fill,
            order=self.order,
            filters=filters,
            compressor=compressor,
            dimension_separator=self.separator,
            zarr_format=2,
        )

    def readers(self):
        """Those who can read the array besides zarr-python."""
        if self.numpy.kind not in "biufc" or FILTERS[self.filters][0]:
            return []  # tensorstore takes no filters at all
        if self.filters in {"zstd+checksum", "lz4", "lzma"}:
            return []  # nor these compressors
        readers = [read_tensorstore]
        one_order = self.numpy.itemsize == 1 or self.dtype[0] == "<"
        if self.order == "C" and one_order and self.numpy.kind != "c":
            readers.append(Zarrs().read)
        return readers


def read_tensorstore(path):
    spec = {"driver": "zarr", "kvstore": {"driver": "file", "path": str(path)}}
    return tensorstore.open(spec).result().read().result()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("dtype", "filters"),
    [
        ("<i4", [{"id": "delta", "dtype": "<i4", "astype": "<i4"}]),
        (">i4", [{"id": "delta", "dtype": ">i4", "astype": ">i2"}]),
        (
            "<f8",
            [{"id": "fixedscaleoffset", "scale": 4, "offset": 1, "dtype": "<f8", "astype": "<i2"}],
        ),
        ("<f4", [{"id": "astype", "encode_dtype": ">f8", "decode_dtype": "<f4"}]),
        (
            "<i8",
            [
                {"id": "delta", "dtype": "<i8", "astype": "<i8"},
                {"id": "shuffle", "elementsize": 8},
            ],
        ),
    ],
    ids=lambda value: "-".join(step["id"] for step in value) if isinstance(value, list) else value,
)
def test_filters_of_arrays(dtype, filters, order, tmp_path):
    data = (np.arange(30).reshape(5, 6) ** 2 / 4 % 97).astype(dtype)
    document = Array(dtype, order, shape=(5, 6), chunks=(2, 4), null_fill=True).document()
    document |= {"filters": filters, "compressor": {"id": "zlib", "level": 1}}
    (tmp_path / "p").mkdir()
    (tmp_path / "p/.zarray").write_text(json.dumps(document))
    zarr.open_array(tmp_path / "p")[...] = data
    native = data.astype(data.dtype.newbyteorder("="))
    assert same(get(tmp_path / "p"), native)
    create(tmp_path / "f", document)
    put(tmp_path / "f", "...", native)
    assert equal(zarr.open_array(tmp_path / "f", mode="r")[...], native)
    put(tmp_path / "p", "1:3, 2", native[1:3, 2])
    assert equal(zarr.open_array(tmp_path / "p", mode="r")[...], native)


def swapped(dtype):
    return dtype.replace("<", ">")


def cases():
    """Types x orders x byte orders, filters and separators in turn; then filters x orders."""
    turns = itertools.cycle(itertools.product(FILTERS, SEPARATORS))
    for dtype, order in itertools.product(CORE + MORE, ORDERS):
        for spelled in dict.fromkeys((dtype, swapped(dtype))):
            filters, separator = next(turns)
            yield Array(spelled, order, separator, filters)
    for filters, order in itertools.product(FILTERS, ORDERS):
        yield Array(">i4", order, "/", filters)
        yield Array("<f8", order, ".", filters, null_fill=True)
        yield Array("|u1", order, ".", filters)
    yield from (Array(dtype, null_fill=True) for dtype in CORE + MORE)


CASES = list(dict.fromkeys(cases()))


def equal(found, expected):
    """Equal bits in native byte order."""
    return same(np.asarray(found).astype(expected.dtype.newbyteorder("=")), expected)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_fuzarr_reads_what_zarr_python_wrote(case, tmp_path):
    case.zarr_python(tmp_path)[...] = case.data
    assert same(get(tmp_path), case.native)
    for selection in selections(Case("uint8")):
        assert same(get(tmp_path, selection), case.native[index(selection)]), selection
    fuzarr("verify", tmp_path)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_peers_read_what_fuzarr_wrote(case, tmp_path):
    create(tmp_path / "a", case.document())
    assert json.loads((tmp_path / "a/.zarray").read_text()) == case.document()
    assert equal(
        zarr.open_array(tmp_path / "a", mode="r")[...], np.full_like(case.native, case.fill)
    )
    put(tmp_path / "a", "...", case.native)
    assert json.loads((tmp_path / "a/.zarray").read_text()) == case.document()
    key = case.separator.join("000")
    assert not (tmp_path / "a" / key).exists(), "the chunk of fill values is stored"
    assert same(get(tmp_path / "a"), case.native)
    for read in (lambda path: zarr.open_array(path, mode="r")[...], *case.readers()):
        assert equal(read(tmp_path / "a"), case.native), read


PARTIAL = [case for case in CASES if case.numpy.kind in "biufc"]


@pytest.mark.parametrize("case", PARTIAL, ids=str)
def test_partial_writes_into_zarr_pythons_store(case, tmp_path):
    case.zarr_python(tmp_path)[...] = case.data
    stored = (tmp_path / ".zarray").read_bytes()
    model, rng = case.native.copy(), np.random.default_rng(case.seed)
    for selection in selections(Case("uint8"), 4):
        part = index(selection)
        values = rng.integers(0, 2, model[part].shape).astype(model.dtype)
        put(tmp_path, selection, values)
        model[part] = values
    assert (tmp_path / ".zarray").read_bytes() == stored
    assert equal(zarr.open_array(tmp_path, mode="r")[...], model)
    for read in case.readers():
        assert equal(read(tmp_path), model), read
    assert same(get(tmp_path), model)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("shape", "chunks"), [((), ()), ((0, 4), (2, 3)), ((1, 1), (5, 5)), ((7,), (2,))], ids=str
)
def test_odd_shapes(shape, chunks, order, tmp_path):
    case = Array(">i2", order, "/", "zstd", shape, chunks)
    data = np.arange(int(np.prod(shape)), dtype=">i2").reshape(shape) + 3
    case.zarr_python(tmp_path / "p")[...] = data
    assert equal(get(tmp_path / "p"), data.astype("i2"))
    create(tmp_path / "f", case.document())
    put(tmp_path / "f", "...", data.astype("i2"))
    assert equal(zarr.open_array(tmp_path / "f", mode="r")[...], data.astype("i2"))
    assert equal(read_tensorstore(tmp_path / "f"), data.astype("i2"))
    ours, theirs = (
        {file.relative_to(tmp_path / name) for file in (tmp_path / name).rglob("*")}
        for name in "fp"
    )
    assert ours == theirs


@pytest.mark.parametrize("dtype", ["int16", "float32", "bool", "complex64"])
def test_created_documents_are_zarr_pythons(dtype, tmp_path):
    zarr.create_array(
        str(tmp_path / "p"),
        shape=(5, 6),
        chunks=(2, 3),
        dtype=dtype,
        fill_value=0,
        zarr_format=2,
        order="F",
        compressors={"id": "blosc", "cname": "lz4", "clevel": 3, "shuffle": 1, "blocksize": 0},
        attributes={"units": "K"},
    )
    options = ["--shape", "5,6", "--chunks", "2,3", "--dtype", dtype, "--format", "v2"]
    codecs = ["--codecs", "transpose:1:0,blosc:lz4:3:shuffle", "--attributes", '{"units": "K"}']
    fuzarr("create", tmp_path / "f", *options, *codecs)
    for name in (".zarray", ".zattrs"):
        ours, theirs = (json.loads((tmp_path / folder / name).read_text()) for folder in "fp")
        assert ours == theirs
        assert list(ours) == list(theirs)


def test_a_codec_we_lack_is_named(tmp_path):
    lacking = {"compressor": {"id": "jenkins_lookup3", "initval": 0, "prefix": None}}
    (tmp_path / ".zarray").write_text(json.dumps(Array("<i4").document() | lacking))
    assert "jenkins_lookup3" in fuzarr("info", tmp_path).out
    failed = fuzarr("get", tmp_path, code=2)
    assert "not supported: codec `numcodecs.jenkins_lookup3`" in failed.err


@pytest.mark.parametrize(
    "dtype", [[["x", "<f4"], ["y", "<i2"]], "|O", "<f16"], ids=["fields", "object", "long"]
)
def test_a_type_we_lack_is_named(dtype, tmp_path):
    document = Array("<i4").document() | {"dtype": dtype, "fill_value": None}
    (tmp_path / ".zarray").write_text(json.dumps(document))
    assert fuzarr("info", tmp_path, "--json").json()["shape"] == [5, 6, 7]
    assert "not supported" in fuzarr("get", tmp_path, code=2).err


def test_documents_of_v3_come_first(tmp_path):
    create(tmp_path / "a", Array("<i4").document())
    (tmp_path / "a/zarr.json").write_text(json.dumps(Case("float32").document()))
    info = fuzarr("info", tmp_path / "a", "--json").json()
    assert (info["zarr_format"], info["data_type"]) == (3, "float32")


@pytest.fixture(params=[2, 3])
def hierarchy(request, tmp_path):
    """A hierarchy of either format by zarr-python, with what sorts oddly."""
    root = zarr.open_group(str(tmp_path / "s"), mode="w", zarr_format=request.param)
    root.attrs.update({"title": "ünï", "nested": {"list": [1, 2.5, None]}})
    for path in ("b", "B-group/x", "a/deep/er", "a/Z", "a-b"):
        root.create_group(path).attrs["path"] = path
    for path in ("temperature", "a/deep/er/flags", "C"):
        array = root.create_array(path, shape=(4, 6), chunks=(2, 3), dtype="f4", fill_value=-1)
        array.attrs["units"] = "K"
    root.create_array("empty", shape=(), chunks=(), dtype="i8", fill_value=None)
    return tmp_path / "s", request.param


def documents(store):
    return {
        str(file.relative_to(store)): json.loads(file.read_text())
        for file in store.rglob("*")
        if file.name in {"zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata"}
    }


def members(found):
    """What consolidated metadata names."""
    if ".zmetadata" in found:
        return found[".zmetadata"]["metadata"]
    return found["zarr.json"]["consolidated_metadata"]["metadata"]


def consolidate(store):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return zarr.consolidate_metadata(str(store))


def test_consolidated_metadata_is_zarr_pythons(hierarchy):
    store, _ = hierarchy
    before = documents(store)
    fuzarr("consolidate", store)
    ours = documents(store)
    assert ours != before
    for path, document in before.items():
        (store / path).write_text(json.dumps(document))
    (store / ".zmetadata").unlink(missing_ok=True)
    consolidate(store)
    theirs = documents(store)
    assert ours == theirs
    assert list(members(ours)) == list(members(theirs)), "in another order"


@pytest.mark.parametrize("format", ["v2", "v3"])
def test_consolidated_metadata_of_our_own_store_is_zarr_pythons(format, tmp_path):
    array = ["--shape", "4,6", "--chunks", "2,3", "--dtype", "f4", "--format", format]
    fuzarr("create", tmp_path / "s.zarr/g/a", *array, "--attributes", '{"units": "K"}')
    fuzarr("create", tmp_path / "s.zarr/h", "--group")
    fuzarr("consolidate", tmp_path / "s.zarr")
    ours = documents(tmp_path / "s.zarr")
    consolidate(tmp_path / "s.zarr")
    assert ours == documents(tmp_path / "s.zarr")


def test_zarr_python_believes_our_consolidated_metadata(hierarchy):
    store, _ = hierarchy

    def names(**how):
        group = zarr.open_group(str(store), **how)
        return sorted(name for name, _ in group.members(max_depth=None))

    listed = names(use_consolidated=False)
    fuzarr("consolidate", store)
    assert names(use_consolidated=True) == listed
    found = zarr.open_group(str(store), use_consolidated=True)["a/deep/er/flags"]
    assert found.attrs["units"] == "K"
    # What changes below makes it go.
    fuzarr("attrs", store / "a/deep/er/flags", "--set", 'units="m"')
    with pytest.raises((ValueError, KeyError)):
        zarr.open_group(str(store), use_consolidated=True)
    assert zarr.open_array(store / "a/deep/er/flags").attrs["units"] == "m"
    assert names() == listed


def test_consolidated_metadata_of_zarr_python_is_shown(hierarchy):
    store, _ = hierarchy
    before = fuzarr("tree", store, "--json").json()
    consolidate(store)
    after = fuzarr("tree", store, "--json").json()
    assert after.pop("consolidated")
    assert not before.pop("consolidated")
    assert after == before


def test_attributes_change_and_nothing_else_does(hierarchy):
    store, version = hierarchy
    before = documents(store)
    for path in ("", "temperature", "a/deep"):
        fuzarr("attrs", store / path, "--set", 'new={"é": [1, 0.1]}')
    after = documents(store)
    for path in ("", "temperature/", "a/deep/"):
        name = f"{path}{'.zattrs' if version == 2 else 'zarr.json'}"
        attributes = before[name] if version == 2 else before[name]["attributes"]
        attributes["new"] = {"é": [1, 0.1]}
    assert after == before
    assert zarr.open_group(str(store)).attrs["new"] == {"é": [1, 0.1]}
    assert fuzarr("attrs", store / "temperature").json() == {
        "units": "K",
        "new": {"é": [1, 0.1]},
    }


def test_nodes_are_moved_and_deleted(hierarchy):
    store, _ = hierarchy
    array = zarr.open_array(store / "a/deep/er/flags")
    array[...] = data = np.arange(24, dtype="f4").reshape(4, 6)
    consolidate(store)
    fuzarr("mv", store / "a/deep", store / "new/place")
    fuzarr("rm", store / "temperature")
    fuzarr("rm", store / "B-group", code=2)
    fuzarr("rm", "-r", store / "B-group")
    root = zarr.open_group(str(store))
    assert sorted(name for name, _ in root.members(max_depth=None)) == [
        *("C", "a", "a-b", "a/Z", "b", "empty"),
        *("new", "new/place", "new/place/er", "new/place/er/flags"),
    ]
    assert np.array_equal(root["new/place/er/flags"][...], data)

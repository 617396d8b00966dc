"""The codecs of numcodecs in Zarr v3, both ways with zarr-python, which runs numcodecs itself."""

import warnings
from dataclasses import dataclass, field

import numpy as np
import pytest
import zarr

from cases import same
from shell import create, fuzarr, get, put

SHAPE, CHUNK, INNER = (5, 6, 7), (4, 3, 4), (2, 3, 2)


@dataclass(frozen=True)
class Chain:
    """A codec under test, where it stands in the chain, and data that it is made for."""

    name: str
    configuration: dict = field(default_factory=dict)
    dtype: str = "int32"
    lossy: bool = False
    values: str = "any"

    def __str__(self):
        settings = ",".join(f"{key}={value}" for key, value in self.configuration.items())
        return f"{self.name}({settings})-{self.dtype}"

    @property
    def is_filter(self):
        return self.name in {"astype", "bitround", "delta", "fixedscaleoffset", "quantize"}

    def codecs(self, endian="little", sharded=False):
        """The codec within a chain; filters come after a transposition, in front of gzip."""
        codec = {"name": f"numcodecs.{self.name}", "configuration": self.configuration}
        serial = {"name": "bytes", "configuration": {"endian": endian}}
        if not self.is_filter:
            chain = [serial, codec]
        else:
            order = {"name": "transpose", "configuration": {"order": [2, 0, 1]}}
            chain = [order, codec, serial, {"name": "gzip", "configuration": {"level": 1}}]
        if not sharded:
            return chain
        index = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
        configuration = {"chunk_shape": list(INNER), "codecs": chain, "index_codecs": index}
        return [{"name": "sharding_indexed", "configuration": configuration}]

    def data(self):
        rng = np.random.default_rng(len(str(self)))
        if self.values == "small":
            return rng.integers(0, 60, SHAPE).astype(self.dtype)
        if self.values == "reals":
            return rng.normal(0, 20, SHAPE).astype(self.dtype)
        size = int(np.prod(SHAPE)) * np.dtype(self.dtype).itemsize
        data = np.frombuffer(rng.bytes(size), self.dtype).reshape(SHAPE).copy()
        data[:4, :3, :4] = 0
        return data

    def document(self, **options):
        return {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(SHAPE),
            "data_type": self.dtype,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(CHUNK)}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": [0, 0] if self.dtype == "complex128" else 0,
            "codecs": self.codecs(**options),
        }


RAW = [{"id": 3, "dist": 4}, {"id": 33, "preset": 1}]
CHAINS = [
    Chain("blosc"),
    Chain("blosc", {"cname": "zstd", "clevel": 3, "shuffle": -1, "typesize": 4}),
    Chain("blosc", {"cname": "lz4hc", "clevel": 9, "shuffle": 2, "blocksize": 0}),
    Chain("zstd", {"level": 3, "checksum": True}),
    Chain("zlib"),
    Chain("zlib", {"level": 6}, "float64"),
    Chain("gzip", {"level": 6}),
    Chain("bz2"),
    Chain("bz2", {"level": 9}, "int16"),
    Chain("lz4", {"acceleration": 4}),
    Chain("lzma"),
    Chain("lzma", {"format": 1, "check": 1, "preset": 1, "filters": None}),
    Chain("lzma", {"format": 2, "preset": 1}),
    Chain("lzma", {"format": 3, "filters": RAW}),
    Chain("shuffle", {"elementsize": 4}),
    Chain("shuffle", {"elementsize": 8}, "complex128"),
    *[Chain(name) for name in ("adler32", "crc32", "crc32c", "fletcher32")],
    *[
        Chain(name, {"location": location})
        for name in ("adler32", "crc32", "crc32c")
        for location in ("start", "end")
    ],
    Chain("delta", {"dtype": "int32"}),
    Chain("delta", {"dtype": "u8"}, "uint64"),
    Chain("delta", {"dtype": "<i2", "astype": "i1"}, "int16", values="small"),
    Chain("delta", {"dtype": "float32"}, "float32", lossy=True, values="reals"),
    Chain("bitround", {"keepbits": 5}, "float64", lossy=True, values="reals"),
    Chain("quantize", {"digits": 2, "dtype": "float32"}, "float32", lossy=True, values="reals"),
    Chain("astype", {"encode_dtype": "i2", "decode_dtype": "f8"}, "float64", values="small"),
    Chain("astype", {"encode_dtype": "float32"}, "float64", lossy=True, values="reals"),
    Chain(
        "fixedscaleoffset",
        {"offset": -9, "scale": 50, "dtype": "float32", "astype": "i2"},
        "float32",
        lossy=True,
        values="reals",
    ),
    Chain(
        "fixedscaleoffset",
        {"offset": 0.5, "scale": 2.5, "dtype": "int16", "astype": "f4"},
        "int16",
        lossy=True,
        values="small",
    ),
    Chain("fixedscaleoffset", {"offset": 3, "scale": 2, "dtype": "i4"}, values="small"),
]
LAYOUTS = [
    {"endian": "little"},
    {"endian": "big"},
    {"sharded": True},
]


@pytest.fixture(autouse=True)
def _quiet():
    """zarr-python warns of codecs that the specification does not have, and there is no other."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def write_by_zarr(path, chain, layout):
    array = zarr.create(
        store=str(path),
        shape=SHAPE,
        chunks=CHUNK,
        dtype=chain.dtype,
        fill_value=0,
        codecs=chain.codecs(**layout),
        zarr_format=3,
    )
    array[...] = chain.data()
    return read_by_zarr(path)


def read_by_zarr(path):
    return np.asarray(zarr.open_array(str(path), mode="r")[...])


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("chain", CHAINS, ids=str)
def test_fuzarr_reads_what_zarr_python_wrote(chain, layout, tmp_path):
    written = write_by_zarr(tmp_path, chain, layout)
    assert same(written, chain.data()) or chain.lossy
    assert same(get(tmp_path), written)
    assert same(get(tmp_path, "1:5:2, ::-1, 3"), written[1:5:2, ::-1, 3])
    fuzarr("verify", tmp_path)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("chain", CHAINS, ids=str)
def test_zarr_python_reads_what_fuzarr_wrote(chain, layout, tmp_path):
    written = write_by_zarr(tmp_path / "peer", chain, layout)
    create(tmp_path / "a", chain.document(**layout))
    put(tmp_path / "a", "...", chain.data())
    assert same(read_by_zarr(tmp_path / "a"), written)
    assert same(get(tmp_path / "a"), written)


@pytest.mark.parametrize("chain", [chain for chain in CHAINS if not chain.lossy], ids=str)
def test_parts_are_written_into_a_peers_array(chain, tmp_path):
    model = write_by_zarr(tmp_path, chain, {})
    put(tmp_path, "1:4, ::-1, 2", "3")
    model[1:4, ::-1, 2] = 3
    assert same(read_by_zarr(tmp_path), model)
    assert same(get(tmp_path), model)

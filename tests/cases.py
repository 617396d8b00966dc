"""The arrays that every engine is asked to write and read: one table, crossed in full.

types x codecs x layouts x {C, transposed} x {little, big}; shapes do not divide by the chunks, some
chunks and inner chunks hold nothing but the fill value, floats hold NaNs, infinities and -0.0.
"""

import base64
import itertools
import zlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

DTYPES = {
    "bool": "?",
    **{f"int{8 * size}": f"i{size}" for size in (1, 2, 4, 8)},
    **{f"uint{8 * size}": f"u{size}" for size in (1, 2, 4, 8)},
    **{f"float{8 * size}": f"f{size}" for size in (2, 4, 8)},
    **{f"complex{8 * size}": f"c{size}" for size in (8, 16)},
    "r16": "V2",
    **{name: name for name in ("V3", "S5", "U3", "M8[ns]", "m8[25s]")},
}
# Types whose metadata is more than their name here.
CONFIGURED = {
    "V3": ("raw_bytes", {"length_bytes": 3}),
    "S5": ("null_terminated_bytes", {"length_bytes": 5}),
    "U3": ("fixed_length_utf32", {"length_bytes": 12}),
    "M8[ns]": ("numpy.datetime64", {"unit": "ns", "scale_factor": 1}),
    "m8[25s]": ("numpy.timedelta64", {"unit": "s", "scale_factor": 25}),
}
CODECS = ("raw", "crc32c", "zstd", "zstd+crc32c", "gzip", "blosc")
LAYOUTS = ("flat", "shard", "shard-start", "nested")
ORDERS = ("C", "transposed")
ENDIANS = ("little", "big")


def _codec(name, configuration=None):
    return {"name": name, "configuration": configuration} if configuration else {"name": name}


@dataclass(frozen=True)
class Geometry:
    """Shapes, none of which divides the next; `chunk` is the shard of a sharded array."""

    shape: tuple[int, ...] = (5, 6, 7)
    chunk: tuple[int, ...] = (4, 3, 4)
    inner: tuple[int, ...] = (2, 3, 2)
    innermost: tuple[int, ...] = (1, 3, 2)


@dataclass(frozen=True)
class Case:
    """One array: its type and how its chunks are encoded."""

    dtype: str
    codec: str = "raw"
    layout: str = "flat"
    order: str = "C"
    endian: str = "little"
    geometry: Geometry = Geometry()

    def __str__(self):
        return "-".join([self.dtype, self.codec, self.layout, self.order, self.endian])

    @cached_property
    def seed(self):
        return zlib.crc32(str(self).encode())

    @property
    def numpy(self):
        return np.dtype(DTYPES[self.dtype])

    @property
    def has_byte_order(self):
        return self.numpy.itemsize > 1 and self.numpy.kind not in "SV"

    # -- metadata ---------------------------------------------------------------------------------

    def codecs(self):
        """The codec chain as it stands in zarr.json."""
        serial = (
            _codec("bytes", {"endian": self.endian}) if self.has_byte_order else _codec("bytes")
        )
        chain = [_codec("transpose", {"order": [2, 0, 1]})] if self.order == "transposed" else []
        chain += [serial, *(self._bytes_codec(name) for name in self.codec.split("+"))]
        chain = [codec for codec in chain if codec is not None]
        inner = self.geometry.inner
        if self.layout == "nested":
            return [
                self._shard(inner, [self._shard(self.geometry.innermost, chain, "start")], "end")
            ]
        if self.layout != "flat":
            return [self._shard(inner, chain, "start" if self.layout == "shard-start" else "end")]
        return chain

    def _bytes_codec(self, name):
        size = self.numpy.itemsize
        return {
            "raw": None,
            "crc32c": _codec("crc32c"),
            "zstd": _codec("zstd", {"level": 3, "checksum": self.seed % 2 == 0}),
            "gzip": _codec("gzip", {"level": 5}),
            "blosc": _codec(
                "blosc",
                {
                    "cname": ("lz4", "zstd", "blosclz", "zlib", "lz4hc")[self.seed % 5],
                    "clevel": 5,
                    "shuffle": ("shuffle", "bitshuffle", "noshuffle")[self.seed % 3],
                    "typesize": size,
                    "blocksize": 0,
                },
            ),
        }[name]

    @staticmethod
    def _shard(shape, codecs, location):
        index = [_codec("bytes", {"endian": "little"}), _codec("crc32c")]
        return _codec(
            "sharding_indexed",
            {
                "chunk_shape": list(shape),
                "codecs": codecs,
                "index_codecs": index,
                "index_location": location,
            },
        )

    def data_type(self):
        """The type as it stands in zarr.json."""
        return _codec(*CONFIGURED[self.dtype]) if self.dtype in CONFIGURED else self.dtype

    def document(self):
        """The whole zarr.json."""
        return {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(self.geometry.shape),
            "data_type": self.data_type(),
            "chunk_grid": {
                "name": "regular",
                "configuration": {"chunk_shape": list(self.geometry.chunk)},
            },
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": self.fill_json(),
            "codecs": self.codecs(),
            "attributes": {},
        }

    # -- values -----------------------------------------------------------------------------------

    @cached_property
    def fill(self):
        """A fill value that depends on the case: zeros, extremes, NaN, infinities, -0.0."""
        dtype, pick = self.numpy, self.seed // 7
        if dtype.kind == "V":
            return np.void((bytes(dtype.itemsize), b"\x01\xfe\0"[: dtype.itemsize])[pick % 2])
        if dtype.kind == "S":
            return np.bytes_((b"", b"ab", b"\xff\0c")[pick % 3])
        if dtype.kind == "U":
            return np.str_(("", "\u00e9", "\U0001f600\0b")[pick % 3])
        if dtype.kind in "mM":
            return np.array(("NaT", 0, -1, 2**62)[pick % 4], dtype)[()]
        if dtype.kind == "b":
            return np.bool_(pick % 2)
        if dtype.kind in "iu":
            limits = np.iinfo(dtype)
            return dtype.type((0, limits.min, limits.max, 7)[pick % 4])
        reals = (0.0, np.nan, -0.0, np.inf, -1.5, -np.inf)
        if dtype.kind == "f":
            return dtype.type(reals[pick % 6])
        value = np.zeros((), dtype)
        value.real, value.imag = reals[pick % 6], reals[pick // 6 % 6]
        return value[()]

    def fill_json(self):
        def real(value):
            value = float(value)
            if np.isnan(value):
                return "NaN"
            if np.isinf(value):
                return "Infinity" if value > 0 else "-Infinity"
            return value

        if self.dtype == "r16":
            return list(bytes(self.fill))
        if self.numpy.kind in "SV":
            return base64.b64encode(bytes(self.fill)).decode()
        if self.numpy.kind in "mM":
            return "NaT" if np.isnat(self.fill) else int(self.fill.view("i8"))
        if self.numpy.kind == "c":
            return [real(self.fill.real), real(self.fill.imag)]
        return real(self.fill) if self.numpy.kind == "f" else self.fill.item()

    def random(self, shape, rng):
        """Elements of any bits that the type allows, with the awkward ones among them."""
        dtype = self.numpy
        if dtype.kind == "b":
            return rng.integers(0, 2, shape).astype(bool)
        if dtype.kind == "U":  # NULs and code points on either side of those that are none
            codes = rng.choice([0, 0x41, 0xE9, 0xD7FF, 0xE000, 0x10FFFF], (*shape, 3))
            return np.ascontiguousarray(codes.astype("u4")).view(dtype)[..., 0]
        size = int(np.prod(shape)) * dtype.itemsize
        data = np.frombuffer(rng.integers(0, 256, size, dtype=np.uint8).tobytes(), dtype).copy()
        if dtype.kind in "fc":
            parts = data.view(f"f{dtype.itemsize // (2 if dtype.kind == 'c' else 1)}")
            parts[:: max(1, parts.size // 9)] = rng.choice([np.nan, np.inf, -np.inf, -0.0, 0.0])
        return data.reshape(shape)

    @cached_property
    def data(self):
        """The array, with a chunk, an inner chunk and a part of one left at the fill value."""
        geometry = self.geometry
        data = self.random(geometry.shape, np.random.default_rng(self.seed))
        data[tuple(slice(extent) for extent in geometry.chunk)] = self.fill  # a whole chunk
        corner = (0, geometry.chunk[1], 0)
        data[tuple(map(slice, corner, np.add(corner, geometry.inner)))] = self.fill
        data[-1, :2, -2] = self.fill
        return data


def all_cases():
    """The full product; byte order is asked once of types that have none."""
    for dtype, codec, layout, order, endian in itertools.product(
        DTYPES, CODECS, LAYOUTS, ORDERS, ENDIANS
    ):
        case = Case(dtype, codec, layout, order, endian)
        if endian == "little" or case.has_byte_order:
            yield case


def selections(case, count=2):
    """`count` selections in NumPy syntax: integers, ranges, steps either way, ellipses."""
    rng = np.random.default_rng(case.seed + 1)

    def part(extent):
        start, stop = sorted(int(value) for value in rng.integers(0, extent + 1, 2))
        step = int(rng.choice([1, 1, 2, 3]))
        kind = rng.integers(0, 6)
        if kind == 0:
            return str(int(rng.integers(-extent, extent)))
        if kind == 1:
            return ":"
        if kind == 2:
            return f"{stop}:{start}:-{step}"
        if kind == 3:
            return f"::-{step}"
        return f"{start}:{stop}:{step}" if step > 1 else f"{start}:{stop}"

    for _ in range(count):
        parts = [part(extent) for extent in case.geometry.shape]
        if rng.integers(0, 4) == 0:
            parts[int(rng.integers(0, 3))] = "..."
        yield ", ".join(parts)


def index(selection):
    """What `selection` means to NumPy."""

    def part(text):
        text = text.strip()
        if text == "...":
            return ...
        if ":" not in text:
            return int(text)
        return slice(*(int(bound) if bound.strip() else None for bound in text.split(":")))

    return tuple(part(text) for text in selection.split(",")) if selection.strip() else ()


def same(left, right):
    """Equal type, shape and bits (NumPy's == holds neither NaN nor -0.0 apart)."""
    return (
        left.dtype == right.dtype
        and left.shape == right.shape
        and left.tobytes() == right.tobytes()
    )

"""Whole shards: byte for byte zarr-python's where its codecs have one answer, else slot for slot.

Encoders may differ in the bytes that they make of the same data (zstd, gzip, blosc); the order of
the slots and what is in them may not.
"""

import itertools
import struct

import numcodecs
import numpy as np
import pytest
from zarr.codecs import ShardingCodec
from zarr.codecs.sharding import SUBCHUNK_WRITE_ORDER

from cases import ORDERS, Case, Geometry
from peers import PEERS
from shell import create, put

ZARR_PYTHON = PEERS[0]
# 3 x 4 x 2 inner chunks a shard: no two of the orders agree, and none is a power of two.
GEOMETRY = Geometry((13, 9, 5), (6, 8, 4), (2, 2, 2), (1, 2, 1))
SLOTS = (3, 4, 2)
MISSING = (2**64 - 1, 2**64 - 1)


def ordered(codecs, order):
    """The chain with its sharding codecs (nested ones too) told to write in `order`."""
    return [
        ShardingCodec(
            chunk_shape=codec["configuration"]["chunk_shape"],
            codecs=ordered(codec["configuration"]["codecs"], order),
            index_codecs=codec["configuration"]["index_codecs"],
            index_location=codec["configuration"]["index_location"],
            subchunk_write_order=order,
        )
        if codec["name"] == "sharding_indexed"
        else codec
        for codec in codecs
    ]


def written(case, order, folder):
    """The objects that zarr-python and fuzarr make of the same array: two of {key: bytes}."""
    ZARR_PYTHON.write(folder / "zarr-python", case, ordered(case.codecs(), order))
    create(folder / "fuzarr", case.document())
    put(folder / "fuzarr", "...", case.data, "--order", order)
    return [
        {
            str(file.relative_to(folder / name)): file.read_bytes()
            for file in (folder / name).rglob("*")
            if file.is_file() and file.name != "zarr.json"
        }
        for name in ("zarr-python", "fuzarr")
    ]


@pytest.mark.parametrize(
    "case",
    [
        Case(dtype, codec, layout, order, "big", GEOMETRY)
        for dtype, codec, layout, order in itertools.product(
            ("uint16", "float64"), ("raw", "crc32c"), ("shard", "shard-start", "nested"), ORDERS
        )
    ],
    ids=str,
)
@pytest.mark.parametrize("order", SUBCHUNK_WRITE_ORDER)
def test_bytes_are_those_of_zarr_python(case, order, tmp_path):
    theirs, ours = written(case, order, tmp_path)
    assert sorted(ours) == sorted(theirs)
    for key, shard in theirs.items():
        assert ours[key] == shard, key


def entries(shard, location):
    """The (offset, size) of each slot, as the index has them."""
    count, length = int(np.prod(SLOTS)), int(np.prod(SLOTS)) * 16
    index = shard[:length] if location == "start" else shard[-length - 4 : -4]
    return [struct.unpack_from("<QQ", index, 16 * slot) for slot in range(count)]


@pytest.mark.parametrize(
    "case",
    [
        Case("int32", codec, layout, order, geometry=GEOMETRY)
        for codec, layout, order in itertools.product(
            ("zstd", "gzip", "blosc"), ("shard", "shard-start"), ORDERS
        )
    ],
    ids=str,
)
@pytest.mark.parametrize("order", SUBCHUNK_WRITE_ORDER)
def test_slots_are_those_of_zarr_python(case, order, tmp_path):
    location = case.codecs()[0]["configuration"]["index_location"]
    decode = numcodecs.get_codec({"id": case.codec}).decode
    theirs, ours = written(case, order, tmp_path)
    assert sorted(ours) == sorted(theirs)
    for key, shard in theirs.items():
        pair = [entries(shard, location), entries(ours[key], location)]
        places = [
            sorted((place, slot) for slot, place in enumerate(places) if place != MISSING)
            for places in pair
        ]
        assert [slot for _, slot in places[0]] == [slot for _, slot in places[1]], key
        for ((start, size), slot), ((other, length), _) in zip(*places, strict=True):
            stored = ours[key][other : other + length]
            assert decode(stored) == decode(shard[start : start + size]), (key, slot)
        sizes = sum(size for (_, size), _ in places[1])
        assert len(ours[key]) == sizes + 16 * len(pair[1]) + 4, f"{key} holds gaps"


def test_orders_differ(tmp_path):
    """The geometry tells the orders apart: without this the tests above could pass on one order."""
    case = Case("uint16", layout="shard", geometry=GEOMETRY)
    shards = {}
    for order in SUBCHUNK_WRITE_ORDER:
        ZARR_PYTHON.write(tmp_path / order, case, ordered(case.codecs(), order))
        shards[order] = (tmp_path / order / "c/1/0/0").read_bytes()
    assert shards.pop("unordered") == shards["lexicographic"]
    assert len(set(shards.values())) == len(shards)

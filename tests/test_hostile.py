"""Stores that lie. Every run must end with a sentence and an exit code, in bounded memory.

The deep versions (each codec alone, random damage) are Rust tests and fuzz targets; here the whole
binary is judged. Many damaged arrays share one store, so that one `verify` answers for all of them.
"""

import gzip
import json
import resource
import struct
import zlib

import google_crc32c
import numcodecs
import numpy as np
import pytest

from cases import Case, Geometry
from peers import PEERS
from shell import fuzarr, get

MAX = 2**64 - 1
MEBI = 2**20
# Beyond the peak of this process, which a child's count starts from; the bombs hold eight times it.
ALLOWANCE = 128 * MEBI
BOMB = 1024 * MEBI

SMALL = Case("uint16", "crc32c", "shard", geometry=Geometry((2, 2, 4), (2, 2, 4), (1, 2, 4)))
KEY = "c/0/0/0"


def checksummed(data):
    return data + struct.pack("<I", google_crc32c.value(data))


def shard(*entries, payload=b""):
    """A shard with its index at the end, correct but for what the entries claim."""
    return payload + checksummed(b"".join(struct.pack("<QQ", *entry) for entry in entries))


def store(path, case=SMALL, objects=None, **changes):
    """Writes an array's metadata and the given objects, whatever they hold."""
    path.mkdir(parents=True)
    (path / "zarr.json").write_text(json.dumps(case.document() | changes))
    for key, data in (objects or {}).items():
        (path / key).parent.mkdir(parents=True, exist_ok=True)
        (path / key).write_bytes(data)
    return path


def group(path):
    path.mkdir(parents=True, exist_ok=True)
    (path / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group"}')
    return path


def keys(report):
    """Every `key` anywhere in the report of `verify --json`."""
    if isinstance(report, dict):
        here = {report["key"]} if isinstance(report.get("key"), str) else set()
        return here.union(*map(keys, report.values()))
    return set().union(*map(keys, report)) if isinstance(report, list) else set()


def fails(*arguments, words=(), code=(1, 2)):
    outcome = fuzarr(*arguments, code=code)
    excess = outcome.peak - 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert excess < ALLOWANCE, f"{excess / MEBI:.0f} MiB more than the test process"
    for word in words:
        assert word in outcome.err + outcome.out, f"{word!r} is not named: {outcome}"
    return outcome


# -- shard indexes --------------------------------------------------------------------------------

DATA = np.arange(16, dtype="u2").reshape(2, 2, 4)
CHUNK = checksummed(DATA[0].tobytes())  # 20 bytes
OTHER = checksummed(DATA[1].tobytes())


@pytest.mark.parametrize(
    ("entries", "payload"),
    {
        "offset is the sentinel": ([(MAX, 20), (0, 20)], CHUNK),
        "size is the sentinel": ([(0, MAX), (0, 20)], CHUNK),
        "starts past the end": ([(10**6, 20), (0, 20)], CHUNK),
        "ends past the end": ([(0, 21 + 36), (0, 20)], CHUNK),
        "wraps around": ([(MAX - 9, 20), (0, 20)], CHUNK),
        "size near 2^63": ([(0, 2**63 - 1), (0, 20)], CHUNK),
        "no bytes": ([(0, 0), (0, 20)], CHUNK),
        "a byte too few": ([(0, 19), (0, 20)], CHUNK),
        "a byte too many": ([(0, 21), (0, 20)], CHUNK + b"!"),
    }.values(),
    ids=lambda value: str(value[0]) if isinstance(value, list) else "",
)
def test_lying_index(entries, payload, tmp_path):
    path = store(tmp_path / "a", objects={KEY: shard(*entries, payload=payload)})
    fails("get", path, words=[KEY], code=1)
    assert KEY in keys(fails("verify", path, "--json", code=1).json())


@pytest.mark.parametrize(
    ("entries", "payload", "expected"),
    [
        ([(0, 20), (0, 20)], CHUNK, DATA[[0, 0]]),
        ([(20, 20), (0, 20)], OTHER + CHUNK, DATA),
        ([(7, 20), (40, 20)], b"?" * 7 + CHUNK + b"?" * 13 + OTHER, DATA),
    ],
    ids=["shared", "reversed", "gaps"],
)
def test_strange_but_legal_index(entries, payload, expected, tmp_path):
    path = store(tmp_path / "a", objects={KEY: shard(*entries, payload=payload)})
    assert np.array_equal(PEERS[0].read(path), expected)
    assert np.array_equal(get(path), expected)
    fuzarr("verify", path)


# -- every byte, every bit ------------------------------------------------------------------------


def damaged(path, versions):
    """A store with one array for each damaged version of the same shard; what verify says of it."""
    group(path)
    for name, data in versions.items():
        store(path / name, objects={KEY: data})
    outcome = fails("verify", path, "--json", code=1)
    return keys(outcome.json()), {f"{name}/{KEY}" for name in versions}


@pytest.fixture
def small_shard(tmp_path):
    """A whole shard with checksums over every byte of it, in which zarr-python finds no fault."""
    data = shard((0, 20), (20, 20), payload=CHUNK + OTHER)
    assert np.array_equal(PEERS[0].read(store(tmp_path / "judged", objects={KEY: data})), DATA)
    return data


def test_truncation_at_every_byte_is_found(small_shard, tmp_path):
    versions = {f"t{size}": small_shard[:size] for size in range(len(small_shard))}
    found, expected = damaged(tmp_path / "s", versions)
    assert expected <= found, sorted(expected - found)


def test_every_flipped_bit_is_found(small_shard, tmp_path):
    versions = {}
    for bit in range(8 * len(small_shard)):
        data = bytearray(small_shard)
        data[bit // 8] ^= 1 << bit % 8
        versions[f"b{bit}"] = bytes(data)
    found, expected = damaged(tmp_path / "s", versions)
    assert expected <= found, sorted(expected - found)


def test_an_undamaged_neighbour_is_not_blamed(small_shard, tmp_path):
    group(tmp_path / "s")
    store(tmp_path / "s/good", objects={KEY: small_shard})
    store(tmp_path / "s/bad", objects={KEY: small_shard[:-1]})
    assert keys(fails("verify", tmp_path / "s", "--json", code=1).json()) == {f"bad/{KEY}"}
    assert np.array_equal(get(tmp_path / "s/good"), DATA)


# -- decoders -------------------------------------------------------------------------------------


def gzip_bomb():
    """One member that inflates to BOMB zeros."""
    stream = zlib.compressobj(1, wbits=31)
    return b"".join(stream.compress(bytes(MEBI)) for _ in range(BOMB // MEBI)) + stream.flush()


def zstd_bomb():
    """One frame of BOMB zeros in run-length blocks of 128 KiB that does not say how long it is."""
    count = BOMB // 2**17
    blocks = (struct.pack("<I", (i == count - 1) | 1 << 1 | 2**17 << 3) for i in range(count))
    return b"\x28\xb5\x2f\xfd\x00\x38" + b"".join(block[:3] + b"\0" for block in blocks)


def zstd_claiming(size):
    """A zstd frame whose header declares `size` bytes."""
    return b"\x28\xb5\x2f\xfd" + b"\xe0" + struct.pack("<Q", size) + b"\x01\x00\x00"


def blosc_with(**fields):
    """A blosc frame of the chunk with fields of its header replaced."""
    frame = bytearray(numcodecs.Blosc("lz4").encode(np.arange(84, dtype="u2")))
    for name, value in fields.items():
        struct.pack_into("<I", frame, {"nbytes": 4, "blocksize": 8, "cbytes": 12}[name], value)
    return bytes(frame)


@pytest.mark.parametrize(
    ("codec", "data"),
    {
        "gzip inflates without end": ("gzip", gzip_bomb),
        "gzip cut": ("gzip", lambda: gzip.compress(bytes(96))[:-9]),
        "gzip is not gzip": ("gzip", lambda: b"no gzip at all"),
        "zstd inflates without end": ("zstd", zstd_bomb),
        "zstd claims 2^62": ("zstd", lambda: zstd_claiming(2**62)),
        "zstd is empty": ("zstd", lambda: b""),
        "blosc claims 2 GiB": ("blosc", lambda: blosc_with(nbytes=2**31 - 20)),
        "blosc claims 4 GiB stored": ("blosc", lambda: blosc_with(cbytes=2**32 - 1)),
        "blosc without blocks": ("blosc", lambda: blosc_with(blocksize=0)),
        "blosc header cut": ("blosc", lambda: blosc_with()[:15]),
        "crc32c of three bytes": ("crc32c", lambda: b"abc"),
        "raw too short": ("raw", lambda: bytes(95)),
        "raw too long": ("raw", lambda: bytes(97)),
    }.values(),
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_lying_chunk(codec, data, tmp_path):
    path = store(tmp_path / "a", Case("uint16", codec), {KEY: data()})
    name = "bytes" if codec == "raw" else codec
    fails("get", path, words=[KEY, name], code=1)
    fails("verify", path, words=[KEY, name], code=1)


# -- metadata -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"zarr_format": 3, "node_type": "table"}',
        '{"zarr_format": 4, "node_type": "array"}',
        '{"zarr_format": 3, "node_type": "array", "attributes": ' + "[" * 100_000,
        '{"zarr_format": 3, "node_type": "group", "attributes": '
        + '{"a":' * 50_000
        + "1"
        + "}" * 50_001,
        "\x00" * 64,
    ],
    ids=range(9),
)
def test_broken_document(text, tmp_path):
    (tmp_path / "zarr.json").write_text(text)
    for command in ("info", "get", "tree", "verify"):
        fails(command, tmp_path, words=["zarr.json"])


HUGE = 2**63 - 1


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [-1, 6, 7]},
        {"shape": [2**64, 6, 7]},
        {"shape": [5, 6]},
        {"shape": "all"},
        {"fill_value": 70_000},
        {"fill_value": None},
        {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4, 0, 4]}}},
        {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4, 4]}}},
        {"chunk_key_encoding": {"name": "default", "configuration": {"separator": ".."}}},
        {"codecs": []},
        {"codecs": [{"name": "bytes"}]},
        {"codecs": [{"name": "gzip", "configuration": {"level": 1}}]},
        {
            "codecs": [
                {"name": "transpose", "configuration": {"order": [0, 0, 1]}},
                {"name": "bytes"},
            ]
        },
        {"dimension_names": ["x"]},
        {"something_new": {"must_understand": True}},
        {"storage_transformers": [{"name": "unknown"}]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_invalid_metadata(change, tmp_path):
    path = store(tmp_path / "a", Case("uint16"), **change)
    fails("get", path, "0, 0, 0")
    fails("verify", path)


@pytest.mark.parametrize(
    ("shape", "chunk", "words"),
    [
        ((HUGE, HUGE, HUGE), (1, 1, 1), [KEY]),
        # No machine addresses such a chunk: the array does not open.
        ((HUGE, HUGE, HUGE), (HUGE, HUGE, HUGE), ["chunk", "elements"]),
        ((2**32, 2**32, 2**32), (2**16, 2**16, 2**16), [KEY]),
    ],
    ids=["small chunks", "one huge chunk", "large chunks"],
)
def test_huge_shapes(shape, chunk, words, tmp_path):
    path = store(tmp_path / "a", Case("uint16", geometry=Geometry(shape, chunk)))
    fuzarr("info", path)
    fails("get", path, "-o", tmp_path / "out.npy")
    fails("get", path, f"{shape[0] - 1}, -1, 0", code=(0, 1, 2))
    (path / "c/0/0").mkdir(parents=True)
    (path / KEY).write_bytes(b"!")
    fails("get", path, "0, 0, 0", words=words)


def test_paths_stay_inside_the_store(tmp_path):
    (tmp_path / "secret").mkdir()
    store(tmp_path / "secret/a", Case("uint16"))
    inner = group(tmp_path / "s")
    document = {"zarr_format": 3, "node_type": "group", "attributes": {"who": "an intruder"}}
    names = ["../secret/a", "/etc", "a/../../secret", "..", "", "__hidden"]
    (inner / "zarr.json").write_text(
        json.dumps(
            {"zarr_format": 3, "node_type": "group"}
            | {
                "consolidated_metadata": {
                    "kind": "inline",
                    "must_understand": False,
                    "metadata": dict.fromkeys(names, document),
                }
            }
        )
    )
    for command in ("tree", "info", "verify"):
        outcome = fuzarr(command, inner, code=(0, 1, 2))
        assert "uint16" not in outcome.out

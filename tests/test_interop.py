"""Both ways with each peer over the whole table, bit for bit; partial writes into their stores."""

import itertools

import numpy as np
import pytest

from cases import CODECS, DTYPES, ENDIANS, LAYOUTS, ORDERS, Case, all_cases, index, same, selections
from peers import PEERS
from shell import create, fuzarr, get, put

CASES = list(all_cases())


def skip_unless_able(peer, case):
    if reason := peer.missing(case):
        pytest.skip(reason)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("peer", PEERS, ids=str)
def test_fuzarr_reads_what_a_peer_wrote(peer, case, tmp_path):
    skip_unless_able(peer, case)
    peer.write(tmp_path, case)
    assert same(get(tmp_path), case.data)
    for selection in selections(case):
        assert same(get(tmp_path, selection), case.data[index(selection)]), selection
    fuzarr("verify", tmp_path)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_peers_read_what_fuzarr_wrote(case, tmp_path):
    create(tmp_path / "a", case.document())
    put(tmp_path / "a", "...", case.data)
    assert not (tmp_path / "a/c/0/0/0").exists(), "the chunk of fill values is stored"
    assert same(get(tmp_path / "a"), case.data)
    for peer in PEERS:
        if not peer.missing(case):
            assert same(peer.read(tmp_path / "a"), case.data), peer


# Every codec, layout, order and byte order; the types take turns, each with either byte order.
TYPES = [dtype for dtype in DTYPES if np.dtype(DTYPES[dtype]).kind != "V"]
PARTIAL = [
    Case(TYPES[(turn + turn // len(TYPES)) % len(TYPES)], *rest)
    for turn, rest in enumerate(itertools.product(CODECS, LAYOUTS, ORDERS, ENDIANS))
]


@pytest.mark.parametrize("case", PARTIAL, ids=str)
@pytest.mark.parametrize("peer", PEERS, ids=str)
def test_partial_writes_into_a_peers_store(peer, case, tmp_path):
    skip_unless_able(peer, case)
    peer.write(tmp_path, case)
    model, rng = case.data.copy(), np.random.default_rng(case.seed)
    for turn, selection in enumerate(selections(case, 4)):
        part = index(selection)
        if turn == 2:  # a part that becomes fill again
            values = np.full(model[part].shape, case.fill, case.numpy)
        else:
            values = case.random(model[part].shape, rng)
        put(tmp_path, selection, values)
        model[part] = values
    put(tmp_path, "1:4, ::-1, 2", "true" if case.numpy.kind == "b" else "1")
    model[1:4, ::-1, 2] = 1
    for reader in PEERS:
        if not reader.missing(case):
            assert same(reader.read(tmp_path), model), reader
    assert same(get(tmp_path), model)
    fuzarr("verify", tmp_path)


@pytest.mark.parametrize("peer", PEERS, ids=str)
@pytest.mark.parametrize("level", [1, 8])
def test_peers_read_a_zstd_chunk_that_was_encoded_in_jobs(peer, level, tmp_path):
    data = (np.arange(9 << 20, dtype="int32") * 7919) % 100_003
    document = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(data.shape),
        "data_type": "int32",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(data.shape)}},
        "chunk_key_encoding": {"name": "default"},
        "fill_value": 0,
        "codecs": [
            {"name": "bytes", "configuration": {"endian": "little"}},
            {"name": "zstd", "configuration": {"level": level, "checksum": level == 8}},
        ],
    }
    create(tmp_path, document)
    put(tmp_path, "...", data)
    assert np.array_equal(peer.read(tmp_path), data)

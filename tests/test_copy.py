"""`fuzarr copy` judged by the peers: they write the source and read the copy."""

import itertools
import json

import numpy as np
import pytest
import zarr

from cases import CODECS, DTYPES, LAYOUTS, ORDERS, Case, same
from peers import PEERS
from shell import fuzarr

# What is asked of the copy, and whether it is sharded when the source is not, and when it is.
RELAYOUTS = {
    "": (False, True),
    "--chunks 2,1,4": (False, True),
    "--chunks 3,2,5": (False, False),
    "--shards none": (False, False),
    "--chunks 2,2,2 --shards 8,8,8": (True, True),
    "--chunks 1,3,2 --shards 3,6,2 --codecs transpose:1:2:0,zstd:1,crc32c": (True, True),
}
TYPES = [dtype for dtype in DTYPES if dtype != "r16"]
CASES = [
    (Case(TYPES[turn % len(TYPES)], *rest), relayout)
    for turn, (relayout, *rest) in enumerate(
        itertools.product(RELAYOUTS, CODECS, LAYOUTS, ORDERS, ("little", "big"))
    )
]


@pytest.mark.parametrize(("case", "relayout"), CASES, ids=str)
def test_a_copy_is_what_every_peer_reads(case, relayout, tmp_path):
    able = [peer for peer in PEERS if not peer.missing(case)]
    able[case.seed % len(able)].write(tmp_path / "a", case)
    needed = fuzarr(
        *("copy", tmp_path / "a", tmp_path / "b", "--memory", "1", *relayout.split()), code=2
    ).err
    needed = needed.split("at least ")[1].split(" ")[0]
    fuzarr(
        *("copy", tmp_path / "a", tmp_path / "b", "--memory", needed, "--verify"),
        *relayout.split(),
    )
    for peer in able:
        assert same(peer.read(tmp_path / "b"), case.data), peer
    theirs = zarr.open_array(str(tmp_path / "b"), mode="r")
    assert (theirs.shards is not None) == RELAYOUTS[relayout][case.layout != "flat"]
    assert same(np.asarray(theirs.fill_value), np.asarray(case.fill))


def test_a_hierarchy_is_one_to_zarr_python(tmp_path):
    root = zarr.create_group(str(tmp_path / "a"), attributes={"title": "é"})
    group = root.create_group("x", attributes={"deep": [1, {"n": None}]})
    values = np.arange(60.0).reshape(6, 10)
    array = group.create_array(
        "t", data=values, chunks=(2, 5), dimension_names=("time", None), attributes={"units": "K"}
    )
    root.create_array("scalar", shape=(), chunks=(), dtype="i2")[...] = 7
    with pytest.warns(match="Consolidated metadata"):
        zarr.consolidate_metadata(str(tmp_path / "a"))
    fuzarr("copy", tmp_path / "a", tmp_path / "b", "--codecs", "gzip:1", "--verify")
    copy = zarr.open_consolidated(str(tmp_path / "b"), mode="r")
    assert dict(copy.attrs) == {"title": "é"}
    assert dict(copy["x"].attrs) == {"deep": [1, {"n": None}]}
    made = copy["x/t"]
    assert same(made[...], values)
    assert (made.chunks, dict(made.attrs)) == (array.chunks, {"units": "K"})
    assert made.metadata.dimension_names == ("time", None)
    assert copy["scalar"][()] == 7
    document = json.loads((tmp_path / "b/zarr.json").read_text())
    theirs = json.loads((tmp_path / "a/zarr.json").read_text())
    listed = [at["consolidated_metadata"]["metadata"].keys() for at in (document, theirs)]
    assert listed[0] == listed[1]


def test_an_array_without_elements_is_copied(tmp_path):
    zarr.create_array(str(tmp_path / "a"), shape=(0, 5), chunks=(3, 2), dtype="i4")
    fuzarr("copy", tmp_path / "a", tmp_path / "b", "--chunks", "2,2", "--shards", "4,4", "--verify")
    assert zarr.open_array(str(tmp_path / "b"), mode="r").shape == (0, 5)

"""Groups, attributes and consolidated metadata as zarr-python writes them, shown by the shell."""

import json

import numpy as np
import pytest
import zarr

from cases import Case
from shell import fuzarr, get


@pytest.fixture(params=["plain", "consolidated"])
def store(request, tmp_path):
    """A small hierarchy; the consolidated one must be shown the same."""
    root = zarr.open_group(str(tmp_path / "s"), mode="w", zarr_format=3)
    root.attrs.update({"title": "a survey", "nested": {"list": [1, 2.5, None, "ünï"]}})
    root.create_array(
        "temperature",
        data=np.arange(24, dtype="f4").reshape(4, 6),
        chunks=(1, 2),
        shards=(2, 6),
        dimension_names=["time", None],
        attributes={"units": "K"},
        fill_value=-1,
    )
    deep = root.create_group("deep").create_group("er")
    deep.create_array("flags", data=np.array([True, False]), chunks=(1,))
    root.create_group("empty")
    if request.param == "consolidated":
        with pytest.warns(match="Consolidated metadata"):
            zarr.consolidate_metadata(str(tmp_path / "s"))
    return tmp_path / "s"


def nodes(tree, prefix=""):
    """Flattens `tree --json` to {path: node}."""
    found = {tree.get("path", prefix).strip("/"): tree}
    for child in tree.get("children", []):
        found |= nodes(child, f"{prefix}/{child.get('name', '')}")
    return found


def test_tree_shows_every_node(store):
    found = nodes(fuzarr("tree", store, "--json").json())
    assert {path: node["node_type"] for path, node in found.items()} == {
        "": "group",
        "deep": "group",
        "deep/er": "group",
        "deep/er/flags": "array",
        "empty": "group",
        "temperature": "array",
    }
    assert found["temperature"]["shape"] == [4, 6]
    assert found["temperature"]["data_type"] == "float32"
    for name in ("deep", "er", "flags", "empty", "temperature"):
        assert name in fuzarr("tree", store).out


def test_tree_starts_at_the_path_asked_for(store):
    found = nodes(fuzarr("tree", store / "deep", "--json").json())
    assert sum(node["node_type"] == "array" for node in found.values()) == 1


def test_info_of_an_array(store):
    info = fuzarr("info", store / "temperature", "--json").json()
    assert info["node_type"] == "array"
    assert info["shape"] == [4, 6]
    assert info["data_type"] == "float32"
    assert info["chunks"] == [1, 2]
    assert info["shards"] == [2, 6]
    assert info["fill_value"] == -1
    assert info["dimension_names"] == ["time", None]
    assert info["attributes"] == {"units": "K"}
    stored = sum(file.stat().st_size for file in (store / "temperature/c").rglob("*/*"))
    assert info["stored_bytes"] == stored


def test_info_of_a_group(store):
    info = fuzarr("info", store, "--json").json()
    assert info["node_type"] == "group"
    assert info["attributes"] == {"title": "a survey", "nested": {"list": [1, 2.5, None, "ünï"]}}


def test_info_counts_stored_objects_and_inner_chunks(tmp_path):
    array = zarr.create_array(
        str(tmp_path), shape=(8, 8), dtype="u2", chunks=(2, 2), shards=(4, 4), fill_value=0
    )
    array[:2, :6] = 1  # 3 of 16 inner chunks, in 2 of 4 shards
    shallow = fuzarr("info", tmp_path, "--json").json()
    assert (shallow["stored_objects"], shallow["objects"]) == (2, 4)
    deep = fuzarr("info", tmp_path, "--json", "--deep").json()
    assert (deep["stored_inner_chunks"], deep["inner_chunks"]) == (3, 16)


@pytest.mark.parametrize(
    ("missing", "change"),
    [
        ("float8_e4m3", {"data_type": "float8_e4m3", "fill_value": 0.0}),
        ("struct", {"data_type": {"name": "struct", "configuration": {"fields": []}}}),
        ("zarrs.gdeflate", {"codecs": [{"name": "bytes"}, {"name": "zarrs.gdeflate"}]}),
        ("rectilinear", {"chunk_grid": {"name": "rectilinear", "configuration": {}}}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_we_lack_is_shown_and_named(missing, change, tmp_path):
    (tmp_path / "zarr.json").write_text(json.dumps(Case("uint8").document() | change))
    assert missing in fuzarr("info", tmp_path).out
    assert fuzarr("info", tmp_path, "--json").json()["shape"] == [5, 6, 7]
    failed = fuzarr("get", tmp_path, code=(1, 2))
    assert missing in failed.err


def test_a_node_below_the_store_is_found(store):
    assert get(store / "deep/er/flags").tolist() == [True, False]
    assert get(f"{store}/temperature", "1, ::2").tolist() == [6, 8, 10]

"""Attributes that JSON numbers of 64 bits do not hold: what zarr-python wrote survives changes."""

import json
import math

import pytest
import zarr

from shell import fuzarr

ODD = {
    "huge": 123456789012345678901234567890,
    "least": -(2**70),
    "nan": math.nan,
    "infinite": [math.inf, -math.inf],
    "nested": {"deep": 2**64, "text": "NaN, 1e400"},
}


def alike(one, other):
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("kind", ["array", "group"])
def test_what_is_not_named_survives(kind, zarr_format, tmp_path):
    if kind == "array":
        zarr.create_array(
            tmp_path / "a", shape=4, dtype="f8", fill_value=math.nan, zarr_format=zarr_format
        ).attrs.update(ODD)
    else:
        zarr.create_group(tmp_path / "a", zarr_format=zarr_format).attrs.update(ODD)
    given = [
        "--set",
        'units="K"',
        "--set",
        f"huge2={ODD['huge']}",
        "--set",
        "nan2=NaN",
        "--set",
        "n=1",
    ]
    shown = fuzarr("attrs", tmp_path / "a", *given).out
    fuzarr("attrs", tmp_path / "a", "--unset", "n")
    expected = {**ODD, "units": "K", "huge2": ODD["huge"], "nan2": math.nan}
    assert alike(json.loads(shown), {**expected, "n": 1})
    assert alike(dict(zarr.open(tmp_path / "a", mode="r").attrs), expected)


@pytest.mark.parametrize("to", [2, 3])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_copies_and_consolidated_metadata_keep_them(zarr_format, to, tmp_path):
    group = zarr.create_group(tmp_path / "g", zarr_format=zarr_format, attributes=ODD)
    group.create_array("a", shape=4, dtype="f8", fill_value=math.nan, attributes=ODD)
    fuzarr("copy", tmp_path / "g", tmp_path / "h", "--format", f"v{to}")
    fuzarr("consolidate", tmp_path / "h")
    copied = zarr.open_consolidated(tmp_path / "h", mode="r")
    for node in (copied, copied["a"], zarr.open(tmp_path / "h" / "a", mode="r")):
        assert alike(dict(node.attrs), ODD)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_numbers_beyond_floats_survive_in_attributes(zarr_format, tmp_path):
    array = zarr.create_array(tmp_path / "a", shape=4, dtype="f8", zarr_format=zarr_format)
    array.attrs["large"] = "HERE"
    file = tmp_path / "a" / ("zarr.json" if zarr_format == 3 else ".zattrs")
    file.write_text(file.read_text().replace('"HERE"', "[1e400, 1.50]"))
    fuzarr("info", tmp_path / "a")
    fuzarr("attrs", tmp_path / "a", "--set", "n=1")
    assert "1e400,\n" in file.read_text()


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_fill_value_beyond_floats_is_an_error(zarr_format, tmp_path):
    zarr.create_array(tmp_path / "a", shape=4, dtype="f8", fill_value=7.5, zarr_format=zarr_format)
    file = tmp_path / "a" / ("zarr.json" if zarr_format == 3 else ".zarray")
    file.write_text(file.read_text().replace("7.5", "1e400"))
    outcome = fuzarr("get", tmp_path / "a", code=1)
    assert "fill value" in outcome.err
    assert "panicked" not in outcome.err

"""Settings of a run by `--set`: the same as the environment's, and before them."""

import pytest

from cases import Case
from shell import create, fuzarr

SWITCHES = ("partial_reads", "one_round_trip", "index_cache", "direct_decode", "partial_writes")


@pytest.fixture
def array(tmp_path):
    case = Case("int32", "zstd", "shard")
    create(tmp_path / "a", case.document())
    fuzarr("put", tmp_path / "a", "...", "5")
    return tmp_path / "a"


def test_a_setting_does_what_its_variable_does(tmp_path):
    array = tmp_path / "a"
    fuzarr(
        "create",
        array,
        "--shape",
        "4000,400",
        "--dtype",
        "int32",
        "--chunks",
        "10,400",
        "--shards",
        "2000,400",
        "--codecs",
        "none",
    )
    fuzarr("put", array, "...", "5")
    explain = ("explain", array, "0:20:10", "--exact", "--json")
    plain = fuzarr(*explain).json()
    whole = fuzarr(*explain, environment={"FUZARR_PARTIAL_READS": "off"}).json()
    assert whole != plain
    assert fuzarr(*explain, "--set", "partial_reads=off").json() == whole
    off = {"FUZARR_PARTIAL_READS": "off"}
    assert fuzarr(*explain, "--set", "partial_reads=on", environment=off).json() == plain


@pytest.mark.parametrize("switch", SWITCHES)
def test_results_are_the_same(switch, array):
    off = ("--set", f"{switch}=off", "--set", "workers=1")
    fuzarr("put", array, "1", "9", *off)
    assert fuzarr("get", array, *off).out == fuzarr("get", array).out
    fuzarr("verify", array, *off)
    fuzarr("copy", array, array.parent / "b", "--verify", *off)


def test_what_makes_no_sense_is_refused(array):
    for setting in ("speed=1", "workers=many", "workers", "index_cache=2"):
        assert fuzarr("get", array, "--set", setting, code=2).err
    copy = fuzarr("copy", array, array.parent / "b", "--set", "memory=1MiB", code=2)
    assert "--memory" in copy.err


def test_a_variable_that_makes_no_sense_is_still_told(array):
    outcome = fuzarr("get", array, code=2, environment={"FUZARR_WORKERS": "many"})
    assert "FUZARR_WORKERS" in outcome.err

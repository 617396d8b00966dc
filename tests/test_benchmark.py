"""The benchmark's harness: what could be wrong in it without anybody noticing."""

import itertools
import os
import sys
from collections import Counter, defaultdict
from pathlib import Path

import google_crc32c
import numcodecs
import numpy as np
import pytest

from harness import report
from harness.cells import CODECS, Cell, family, load
from harness.contents import content
from harness.documents import document
from harness.engines import Engine, takes_part, weaker
from harness.judge import expected_array, wrong_array, wrong_result
from harness.page import amount
from harness.ratios import (
    best,
    floor_kind,
    floor_limit,
    geometric_mean,
    misses,
    quantiles,
    ratio,
    slower_with_workers,
    standing,
    value,
)
from harness.selections import assign, draw, taken
from harness.session import Session
from harness.stored import Data
from harness.trace import index_entries, read_trace, touched, write_trace
from harness.traces import operation_trace, sequential
from harness.turns import Budget

BENCH = Path(__file__).parents[1] / "bench"

DECODERS = {
    "raw": lambda stored: stored,
    "zstd": numcodecs.Zstd().decode,
    "gzip": numcodecs.GZip().decode,
    "blosc": numcodecs.Blosc().decode,
}


def array(shape, chunks, **settings):
    codec = CODECS[settings.pop("codec", "zstd 0")]
    defaults = {"shards": None, "nested": None, "dtype": "uint8", "format": 3, "fill_value": 0}
    return {"shape": shape, "chunks": chunks, "codec": codec} | defaults | settings


def cell(described, operation, **settings):
    defaults = {
        "family": "tiny",
        "name": "one",
        "content": "semi-random",
        "store": "local",
        "latency": 0.0,
        "durability": "renamed",
        "caches": False,
        "workers": 0,
        "place": "memory",
        "measure": "time",
        "target": None,
    }
    return Cell(array=described, operation=operation, **(defaults | settings))


# Cells


def test_families_make_cells():
    cells = load()
    assert {each.family for each in cells} == {
        *("whole", "tiny", "indexing", "shards", "callers", "latency", "remote", "table"),
        *("memory", "durability"),
    }
    for each in cells:
        assert document(each.array)
        assert 1000 > each.chunk_bytes > 0 or each.chunk_bytes <= each.array_bytes
        if each.operation["kind"] not in ("arrays", "walk", "open", "round trip", "append"):
            assert set(each.operation) <= {"kind", "select", "into", "threads", "onto"}
    assert len({each.title for each in cells}) == len(cells)
    assert 0 < len(load(quick=True)) < 40


def test_every_selection_can_be_drawn(tmp_path):
    seen = set()
    for each in load():
        wanted = each.operation.get("select", "whole")
        key = (repr(wanted), *each.array["shape"])
        if key not in seen:
            seen.add(key)
            assert draw(wanted, each.array, tmp_path)


def test_cells_are_the_product_of_what_varies():
    cells = family(
        "some",
        {
            "sweep": [
                {
                    "array": {"shape": [10], "chunks": [5]},
                    "stores": ["local", "memory"],
                    "operations": {
                        "read": {"kind": "read", "target": {"memory": 1e-6}},
                        "write": {"kind": "write", "onto": "nothing"},
                    },
                    "vary": {
                        "layout": {"": {}, "sharded": {"shards": [10]}},
                        "workers": {"one": {"workers": 1}, "all": {"without": ["write"]}},
                    },
                    "quick": ["read, sharded, one, memory"],
                }
            ]
        },
    )
    assert len(cells) == (2 * 2 + 1 * 2) * 2
    (quick,) = [each for each in cells if each.quick]
    assert quick.name == "read, sharded, one, memory"
    assert quick.array["shards"] == [10]
    assert quick.workers == 1
    assert quick.target == 1e-6
    assert "target" not in quick.operation
    assert next(each for each in cells if each.name == "read, one, local").target is None


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ({"quick": ["none"]}, "no cell 'none'"),
        ({"speed": 1}, r"unknown settings \['speed'\]"),
        ({"vary": {"x": {"a": {"chunk": [1]}}}}, r"unknown settings \['chunk'\]"),
        ({"vary": {"x": {"a": {}}, "y": {"": {}, "a": {}}}}, None),
    ],
)
def test_families_that_make_no_sense(sweep, message):
    sweep = {
        "array": {"shape": [1], "chunks": [1]},
        "operations": {"read": {"kind": "read"}},
    } | sweep
    if message is None:
        assert len(family("some", {"sweep": [sweep]})) == 4
        return
    with pytest.raises(ValueError, match=message):
        family("some", {"sweep": [sweep]})


def test_cells_of_one_name_are_refused():
    sweep = {"array": {"shape": [1], "chunks": [1]}, "operations": {"read": {"kind": "read"}}}
    with pytest.raises(ValueError, match="cells of one name"):
        family("some", {"sweep": [sweep, sweep]})


# Contents


def test_contents_are_as_they_are_said_to_be():
    semi = content(array([100_000], [100_000]), "semi-random", 0)
    stored = len(numcodecs.Zstd(0).encode(semi))
    assert 1.7 < semi.nbytes / stored < 1.9
    assert semi.min() > 0
    half = content(array([1000], [100]), "half missing", 0).reshape(10, 100)
    assert [bool(chunk.any()) for chunk in half] == [True, False] * 5
    for dtype, kind in itertools.product(["float32", "uint16", "float64"], ["smooth"]):
        described = array([20, 500], [10, 10], dtype=dtype)
        values, other = (content(described, kind, seed) for seed in (0, 1))
        assert np.array_equal(values, content(described, kind, 0))
        assert (values != other).mean() > 0.9
    assert content(array([4], [2]), "constant", 0)[0] != content(array([4], [2]), "constant", 1)[0]


# Selections

TEXTS = ["5, 6", ":, :", "::4, 3", "10:-10:4, :10", "-1, -7:", "3:3, :", "2::7, 5:9:2"]


@pytest.mark.parametrize("text", TEXTS)
def test_texts_select_as_in_numpy(text, tmp_path):
    values = np.arange(30 * 41).reshape(30, 41)
    (selection,) = draw(text, array([30, 41], [7, 7]), tmp_path)
    expected = eval(f"values[{text}]", {"values": values})
    assert np.array_equal(taken(values, selection), expected)


WANTED = [
    *TEXTS,
    "whole",
    {"points": 50},
    {"lists": [5, 9]},
    {"lists": [0, 9]},
    {"rows": 6},
    {"mask": 0.1},
    {"each": "chunks"},
    {"random chunks": 7},
]


@pytest.mark.parametrize("wanted", WANTED, ids=str)
def test_what_is_assigned_is_what_is_taken(wanted, tmp_path):
    described = array([30, 41], [7, 6])
    source = np.arange(30 * 41).reshape(30, 41)
    target = np.full_like(source, -1)
    selections = draw(wanted, described, tmp_path)
    for selection in selections:
        assign(target, selection, source)
        assert np.array_equal(taken(target, selection), taken(source, selection))
    count = sum(taken(source, selection).size for selection in selections)
    assert (target >= 0).sum() == count


def test_selections_that_choose_by_lists():
    values = np.arange(5 * 6 * 7).reshape(5, 6, 7)
    selection = {"kind": "orthogonal", "terms": [{"list": [4, 0]}, [1, 6, 2], {"list": [3]}]}
    assert np.array_equal(taken(values, selection), values[np.ix_([4, 0], [1, 3, 5], [3])])
    points = {"kind": "points", "coordinates": [[0, 4], [1, 5], [2, 6]]}
    assert taken(values, points).tolist() == [values[0, 1, 2], values[4, 5, 6]]


# Traces

LAYOUTS = {
    "chunks": array([30, 41], [7, 6]),
    "raw": array([30, 41], [7, 6], codec="raw", dtype="uint16"),
    "v2": array([30, 41], [7, 6], format=2, codec="gzip 5"),
    "shards": array([30, 41], [7, 6], shards=[14, 12]),
    "one to one": array([30, 41], [7, 6], shards=[7, 6]),
    "shards of shards": array([30, 41], [8, 6], shards=[16, 12], nested=[4, 3]),
    "blosc": array([30, 41], [7, 6], shards=[35, 42], codec="blosc lz4", dtype="float32"),
}


@pytest.fixture(params=LAYOUTS)
def stored(request, tmp_path):
    """An array with chunks of nothing."""
    operation = {"kind": "read"}
    data = Data(cell(LAYOUTS[request.param], operation), tmp_path)
    values = content(data.array, "semi-random", 0)
    values[14:, :12] = 0
    values.tofile(data.path("values"))
    data.store()
    return data


def selected(data, selection):
    """For each chunk where each selected element lies in it, one after the other."""
    size = data.array["nested"] or data.array["chunks"]
    shape = data.array["shape"]
    places = np.arange(np.prod(shape)).reshape(shape)
    chosen = np.unravel_index(taken(places, selection).reshape(-1), shape)
    found = defaultdict(list)
    for at in np.stack(chosen, axis=-1):
        within = at % size
        found[tuple((at // size).tolist())].append(int(within[0] * size[1] + within[1]))
    return found


def padded_chunk(data, place):
    """The bytes of a chunk, with the fill value where the array ends."""
    size = data.array["nested"] or data.array["chunks"]
    values = data.elements("values")
    rows, columns = (slice(at * n, (at + 1) * n) for at, n in zip(place, size, strict=True))
    chunk = np.zeros(size, values.dtype)
    part = values[rows, columns]
    chunk[: part.shape[0], : part.shape[1]] = part
    return chunk.tobytes()


@pytest.mark.parametrize("wanted", WANTED, ids=str)
def test_traces_hold_what_is_selected(stored, wanted, tmp_path):
    size = stored.array["nested"] or stored.array["chunks"]
    itemsize = stored.elements("values").itemsize
    codec = stored.array["codec"]["name"]
    for selection in draw(wanted, stored.array, tmp_path):
        expected = selected(stored, selection)
        found = touched(stored.array["shape"], size, selection)
        numbers = zip(found.counts, found.first, found.last, strict=True)
        assert dict(zip(map(tuple, found.chunks.tolist()), map(tuple, numbers), strict=True)) == {
            place: (len(within), min(within), max(within)) for place, within in expected.items()
        }
        parts, wished = Counter(), Counter()
        for each in read_trace(stored.array, stored.stored, [selection]):
            path = stored.stored / each["key"]
            held = path.read_bytes() if path.exists() else b""
            for offset, length, decoded, wanted_bytes in each["parts"]:
                piece = held[offset : offset + length]
                plain = bytes(DECODERS[codec](piece)) if length else bytes(decoded)
                assert len(plain) == decoded
                assert not each["whole"] or (offset, length) == (0, len(held))
                parts[plain, wanted_bytes] += 1
        for place, within in expected.items():
            chunk = padded_chunk(stored, place)
            if codec == "raw" and any(chunk):
                # What is stored as it is need not be read as a whole.
                chunk = chunk[min(within) * itemsize : (max(within) + 1) * itemsize]
            wished[chunk, len(within) * itemsize] += 1
        assert parts == wished


def test_a_trace_names_each_object_once(stored):
    keys = [each["key"] for each in read_trace(stored.array, stored.stored, [{"kind": "whole"}])]
    assert len(set(keys)) == len(keys)
    files = {
        str(path.relative_to(stored.stored)) for path in stored.stored.rglob("*") if path.is_file()
    }
    assert files - set(keys) <= {"zarr.json", ".zarray", ".zattrs"}


def test_the_index_of_a_shard():
    index = np.array([[0, 5], [2**64 - 1, 2**64 - 1], [5, 7]], "<u8").tobytes() + b"crc!"
    assert index_entries(index).tolist() == [[0, 5], [2**64 - 1] * 2, [5, 7]]


def test_writes_are_traced_with_what_they_keep(tmp_path):
    described = array([25, 40], [5, 10], shards=[10, 40], dtype="uint16", codec="raw")
    data = Data(cell(described, {"kind": "write"}), tmp_path)
    data.store()
    first, _, last = write_trace(described, data.stored, {"kind": "whole"})
    assert [first["key"], last["key"]] == ["c/0/0", "c/2/0"]
    # zarr-python does not store them in the order of the index.
    assert sorted(first["parts"]) == [[at * 100, 100, 100, 100] for at in range(8)]
    # The last shard is half outside of the array; its index has places for all.
    assert sorted(last["parts"][:4]) == [[at * 100, 100, 100, 100] for at in range(4)]
    assert last["parts"][4:] == [[0, 0, 100, 0]] * 4
    part = {"kind": "basic", "terms": [[0, 4, 1], [10, 20, 1]]}
    (changed,) = write_trace(described, data.stored, part)
    assert [each[3] for each in changed["parts"]] == [0, 80, 0, 0, 0, 0, 0, 0]


def test_indexes_are_read_unless_they_are_kept(stored):
    whole = [{"kind": "whole"}]
    for each in read_trace(stored.array, stored.stored, whole):
        levels = sum(bool(stored.array[level]) for level in ("shards", "nested"))
        assert bool(each["indexes"]) == (levels > 0 and any(part[1] for part in each["parts"]))
        for offset, length in each["indexes"]:
            held = (stored.stored / each["key"]).read_bytes()[offset : offset + length]
            assert google_crc32c.value(held[:-4]) == int.from_bytes(held[-4:], "little")
    assert all(
        "indexes" not in each
        for each in read_trace(stored.array, stored.stored, whole, caches=True)
    )


def test_floors_of_requests_that_follow_each_other_have_one_thread(tmp_path):
    described = array([30, 40], [10, 10])
    for select, alone in [({"each": "chunks"}, True), ("whole", False), ({"rows": 3}, False)]:
        each = cell(described, {"kind": "read", "select": select})
        data = Data(each, tmp_path)
        data.store()
        trace = operation_trace(each, data, draw(select, described, tmp_path))
        assert sequential(trace, draw(select, described, tmp_path)) == alone


def test_no_floor_where_waiting_is_all(tmp_path):
    described = array([30, 40], [10, 10], shards=[30, 40])
    slow = cell(described, {"kind": "read"}, store="latency")
    assert operation_trace(slow, Data(slow, tmp_path), [{"kind": "whole"}]) is None


# Judging


def test_results_are_compared_to_the_byte(tmp_path):
    path = tmp_path / "result.bin"
    parts = [np.arange(6, dtype="<u2").reshape(2, 3).T, np.ones((), "u1")]
    assert wrong_result(path, parts) == "no result"
    right = b"".join(part.tobytes() for part in parts)
    path.write_bytes(right)
    assert wrong_result(path, parts) is None
    path.write_bytes(right[:-1] + b"\x02")
    assert "other bytes" in wrong_result(path, parts)
    path.write_bytes(right[:-1])
    assert wrong_result(path, parts) == "12 bytes, not 13"


@pytest.mark.parametrize("onto", ["nothing", "stored"])
def test_arrays_that_were_written_are_compared(onto, tmp_path):
    described = array([30, 40], [10, 10])
    each = cell(described, {"kind": "write", "select": ":10, 3", "onto": onto})
    data = Data(each, tmp_path)
    selections = draw(":10, 3", described, tmp_path)
    outcome = expected_array(each, data, selections, "other")
    other = data.elements("other")
    assert np.array_equal(outcome[:10, 3], other[:10, 3])
    rest = np.array(outcome)
    rest[:10, 3] = data.elements("values")[:10, 3] if onto == "stored" else 0
    assert np.array_equal(rest, data.elements("values") if onto == "stored" else 0 * rest)
    data.store()
    # What is stored is `values`, all of it.
    assert wrong_array(data.stored, each, data, [{"kind": "whole"}]) is None
    wrong = wrong_array(data.stored, each, data, [{"kind": "whole"}], "other")
    assert wrong == "the array does not hold 'other'"
    (data.stored / "c/2/2").write_bytes(b"nothing")
    assert "cannot read it" in wrong_array(data.stored, each, data, [{"kind": "whole"}])


# Ratios


def timed(median, spread=0.0, **marks):
    return {"median": median, "quartiles": [median - spread, median + spread]} | marks


def test_the_best_peer_is_the_fastest_that_is_as_safe():
    rows = {
        "batched": timed(3.0),
        "fused": timed(2.0),
        "zarrs-python": timed(1.0, weaker=True),
        "tensorstore": {"not": "no"},
    }
    assert best(rows, ("batched", "fused", "zarrs-python", "tensorstore")) == "fused"
    assert best(rows, ("zarrs-python", "tensorstore")) is None
    assert ratio(rows["batched"], rows["fused"]) == 1.5
    assert value({"median": 1.0, "wrong": "other bytes"}) is None


@pytest.mark.parametrize(
    ("mine", "peer", "floor", "expected"),
    [
        (timed(1.0, 0.1), timed(2.0, 0.1), 1.0, "ahead"),
        (timed(2.0, 0.1), timed(1.0, 0.1), 1.0, "behind"),
        (timed(1.05, 0.1), timed(1.0, 0.1), 0.95, "tie"),
        (timed(1.05, 0.1), timed(1.0, 0.1), 0.5, "near tie"),
        (timed(0.95, 0.1), timed(1.0, 0.1), 0.5, "near tie"),
        (timed(1.05, 0.1), timed(1.0, 0.1), None, "near tie"),
    ],
)
def test_a_tie_counts_only_near_the_floor(mine, peer, floor, expected):
    rows = {"fuzarr": mine, "fused": peer}
    if floor:
        rows["floor fresh"] = timed(floor)
    assert standing(rows, "fuzarr", ("fused",), "floor fresh") == expected


def test_one_turn_does_not_tell_a_percent():
    rows = {"fuzarr": timed(1.0) | {"samples": 1}, "fused": timed(1.01) | {"samples": 1}}
    assert standing(rows, "fuzarr", ("fused",), "floor ready") == "near tie"
    rows["fused"]["samples"] = rows["fuzarr"]["samples"] = 3
    assert standing(rows, "fuzarr", ("fused",), "floor ready") == "ahead"
    rows["fuzarr"] = timed(0.9) | {"samples": 1}
    assert standing(rows, "fuzarr", ("fused",), "floor ready") == "ahead"


def test_memory_is_compared_by_its_peak():
    rows = {"fuzarr": {"peak": 4_000_000}, "fused": {"peak": 4_000_000}, "batched": {"peak": 0}}
    assert standing(rows, "fuzarr", ("fused",), "floor ready") == "ahead"
    assert standing(rows, "fuzarr", ("fused", "batched"), "floor ready") == "behind"
    # The system counts in steps.
    rows["fuzarr"] = {"peak": 500_000}
    assert standing(rows, "fuzarr", ("batched",), "floor ready") == "tie"
    rows["fuzarr"] = {"peak": 600_000}
    assert standing(rows, "fuzarr", ("batched",), "floor ready") == "behind"
    rows["fuzarr"] = {"peak": 100}
    assert standing(rows, "fuzarr", ("batched",), "floor ready") == "ahead"


def test_which_floor_counts():
    described = array([10], [10])
    assert floor_kind(cell(described, {"kind": "read"})) == "floor fresh"
    assert floor_kind(cell(described, {"kind": "read", "into": True})) == "floor ready"
    assert floor_kind(cell(described, {"kind": "write", "onto": "nothing"})) == "floor ready"
    assert floor_kind(cell(described, {"kind": "read", "select": {"rows": 2}})) == "floor fresh"
    each = {"kind": "read", "select": {"each": "chunks"}}
    assert floor_kind(cell(described, each)) == "floor ready"


def test_limits_over_the_floor():
    each = cell(array([10], [10]), {"kind": "read"}, target=6e-6)
    rows = {"fuzarr": timed(7e-3), "floor fresh": timed(4e-3), "floor ready": timed(1e-3)}
    assert floor_limit(rows, "floor fresh") == 2.0
    assert misses(each, rows, "fuzarr") == ["7000.0 µs, target 6 µs"]
    rows["floor fresh"] = timed(6e-3)
    assert floor_limit(rows, "floor fresh") == 1.15
    assert misses(each, rows, "fuzarr")[0] == "1.17 of its floor, limit 1.15"
    rows["fuzarr"] = timed(5e-6)
    assert misses(each, rows, "fuzarr") == []


def test_more_workers():
    each = cell(array([10], [10]), {"kind": "read"}, workers=1)
    assert slower_with_workers(each, timed(1.0, 0.1), timed(1.5, 0.1))
    assert not slower_with_workers(each, timed(1.0, 0.1), timed(1.15, 0.1))
    assert not slower_with_workers(each, timed(1.0, 0.1), None)


def test_means_and_quantiles():
    assert geometric_mean([2.0, 8.0]) == pytest.approx(4.0)
    assert geometric_mean([]) is None
    found = quantiles([5.0, 1.0, 3.0, 2.0, 4.0])
    assert found == {"median": 3.0, "least": 1.0, "quartiles": [2.0, 4.0]}
    assert quantiles([2.0, 1.0])["quartiles"] == [1.0, 2.0]


def test_who_takes_part():
    write = {"kind": "write", "onto": "nothing"}
    described = array([10], [10])
    synced = Engine("tensorstore synced", ())
    assert not takes_part(synced, cell(described, write))
    assert takes_part(synced, cell(described, write, durability="synced"))
    assert not takes_part(synced, cell(described, {"kind": "read"}, durability="synced"))
    for alone in ("batched 1", "fused 1"):
        assert takes_part(Engine(alone, ()), cell(described, write))
        assert not takes_part(Engine(alone, ()), cell(described, write, workers=1))
    assert weaker("zarrs-python", cell(described, write))
    assert not weaker("zarrs-python", cell(described, write, durability="as they come"))
    assert not weaker("fused", cell(described, write))


def test_amounts_have_three_digits():
    each = cell(array([10], [10]), {"kind": "read"})
    told = [amount(each, seconds) for seconds in (2.0, 0.123, 0.0456, 7.89e-6, 5e-10)]
    assert told == ["2.00 s", "123 ms", "45.6 ms", "7.89 µs", "0.50 ns"]


# A run


@pytest.fixture
def session(tmp_path, monkeypatch):
    """A session with engines that do well, badly and not at all."""
    monkeypatch.setenv("PYTHONPATH", str(BENCH))
    command = (sys.executable, str(Path(__file__).with_name("benchmark_worker.py")))
    names = ["fuzarr", "fused", "declines", "raises", "dies", "is wrong", "is silent"]
    engines = [Engine(name, command) for name in names]
    engines.append(Engine("is not there", (str(tmp_path / "nothing"),)))
    folders = {"memory": tmp_path / "memory", "disk": tmp_path / "disk"}
    session = Session(engines, folders, tmp_path / "out", Budget(0.01, 10), silence=1.5)
    yield session
    session.end()


def test_a_run_goes_on_whatever_engines_do(session, tmp_path, capsys):
    described = array([30, 40], [10, 10])
    cells = [
        cell(described, {"kind": "read", "select": ":, 3"}, name="read"),
        cell(described, {"kind": "write", "onto": "nothing"}, name="write"),
        cell(described, {"kind": "read"}, name="weigh", measure="memory"),
    ]
    run = session.run(cells, tmp_path / "begun.json")
    printed = capsys.readouterr().out
    assert "NOT MEASURED: is not there: does not start" in printed
    rows = run.by_cell()
    for title in ("tiny: read", "tiny: write"):
        found = rows[title]
        assert found["fuzarr"]["median"] == pytest.approx(1e-3)
        assert found["fuzarr"]["samples"] >= 5
        assert found["declines"]["not"] == "not today"
        assert found["raises"]["error"] == "no"
        assert "ended (status 3)" in found["dies"]["error"]
        assert "silent for 1.5 s" in found["is silent"]["error"]
    assert "other bytes" in rows["tiny: read"]["is wrong"]["wrong"]
    assert "median" not in rows["tiny: read"]["is wrong"]
    assert rows["tiny: weigh"]["fuzarr"]["peak"] == 1_000_000
    assert value(rows["tiny: weigh"]["is wrong"]) is None
    assert "WRONG is wrong" in printed
    assert not any(path.name.startswith("data-") for path in (tmp_path / "memory").iterdir())
    again = report.Run.from_json(run.to_json())
    assert again == run
    written = report.write(run, tmp_path / "report", "latest")
    page = written[0].read_text()
    assert "is wrong: wrong" in page
    assert "| 1.00 ms ± 0% |" in page
    assert "declines: not today (3 cells)" in page
    assert "near tie" in page or "tie, does not count" in page
    assert all(path.stat().st_size for path in written)


def test_a_run_that_was_ended_is_resumed(session, tmp_path, monkeypatch):
    begun = tmp_path / "begun.json"
    cells = [
        cell(array([rows, 40], [10, 10]), {"kind": "read"}, name=f"read {rows}")
        for rows in (10, 20, 30)
    ]
    own, measured = session.cell, []

    def once(each, *rest):
        if len(measured) == 2:
            raise KeyboardInterrupt
        measured.append(each.title)
        return own(each, *rest)

    session.engines = session.engines[:1]
    monkeypatch.setattr(session, "cell", once)
    commit = ["one"]
    monkeypatch.setattr("harness.session.commit", lambda: commit[0])
    with pytest.raises(KeyboardInterrupt):
        session.run(cells, begun)
    kept = report.Run.from_json(begun.read_text()).rows
    assert [row["cell"] for row in kept] == ["tiny: read 10", "tiny: read 20"]
    measured.clear()
    run = session.run(cells, begun, resume=True)
    assert measured == ["tiny: read 30"]
    assert run.rows[:2] == kept
    assert len(run.rows) == 3
    assert not begun.exists()
    begun.write_text(run.to_json())
    commit[0] = "another"
    with pytest.raises(SystemExit, match="other commit"):
        session.run(cells, begun, resume=True)
    commit[0] = "another and changes"
    with pytest.raises(SystemExit, match="not committed"):
        session.run(cells, begun, resume=True)
    commit[0] = "one"
    session.budget.seconds = 3.0
    with pytest.raises(SystemExit, match="other settings"):
        session.run(cells, begun, resume=True)


def test_families_are_measured_again():
    def run(commit, titles, median):
        machine = {"cpu": "a", "cores": 2, "memory_bytes": 1, "kernel": "b"}
        cells = [
            cell(array([4], [2]), {"kind": "read"}, family=of, name=name) for of, name in titles
        ]
        rows = [{"cell": each.title, "engine": "fuzarr", "median": median} for each in cells]
        return report.Run(machine, commit, cells, rows=rows, date="today", seconds=60)

    recorded = run("old", [("x", "1"), ("y", "1"), ("y", "2")], 1.0)
    recorded.renew(run("new", [("y", "2"), ("y", "1")], 2.0))
    medians = {title: rows["fuzarr"]["median"] for title, rows in recorded.by_cell().items()}
    assert medians == {"x: 1": 1.0, "y: 1": 2.0, "y: 2": 2.0}
    assert recorded.again == {"today, commit new": ["y"]}
    recorded.renew(run("newest", [("y", "1"), ("y", "2")], 3.0))
    assert (recorded.commit, recorded.again) == ("old", {"today, commit newest": ["y"]})
    recorded.renew(run("newest", [("x", "1")], 3.0))
    # All of it is of another commit by now.
    assert (recorded.commit, recorded.again) == ("newest", {})
    with pytest.raises(ValueError, match="not all cells of y"):
        recorded.renew(run("new", [("y", "1")], 2.0))
    # Cells that a family did not have come to it.
    recorded.renew(run("added", [("y", "3"), ("y", "4")], 4.0))
    assert recorded.again == {"today, commit added": ["y, 2 new cells"]}
    assert recorded.by_cell()["y: 3"]["fuzarr"]["median"] == 4.0
    assert report.Run.from_json(recorded.to_json()) == recorded
    # Whoever measured the rest of a family is still told.
    recorded.renew(run("added", [("x", "1")], 4.0))
    assert (recorded.commit, recorded.again) == (
        "newest",
        {"today, commit added": ["x", "y, 2 new cells"]},
    )
    recorded.renew(run("again", [("y", str(name)) for name in range(1, 5)], 5.0))
    assert (recorded.commit, recorded.again) == ("again", {"today, commit added": ["x"]})
    recorded.settings = {"seconds": 0.1}
    with pytest.raises(ValueError, match=r"other seconds than those of the run: 0\.1"):
        recorded.renewal(recorded.cells, {"seconds": 0.2})
    elsewhere = run("new", [("x", "1")], 2.0)
    elsewhere.machine["cores"] = 3
    with pytest.raises(ValueError, match="another machine: its cores is 3"):
        recorded.renew(elsewhere)


def test_processes_end_with_the_session(session):
    session.versions()
    running = [each._process.pid for each in session.processes.values() if each._process]
    assert len(running) == 7
    session.end()
    assert not [pid for pid in running if os.path.exists(f"/proc/{pid}")]

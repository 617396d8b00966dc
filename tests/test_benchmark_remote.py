"""The benchmark's remote family: the server, the floor, and what each engine does there."""

import http.client
import time
from urllib.parse import urlsplit

import pytest

from harness.engines import ALL, WAITS, Builds, engines, takes_part
from harness.ratios import floor_kind, floor_limit, misses, quantiles
from harness.selections import draw
from harness.server import test_server
from harness.session import Session
from harness.stored import Data
from harness.turns import Budget
from harness.waits import AT_ONCE, Transfer, least_seconds, measured
from test_benchmark import array, cell

SHARDED = {"shards": [40], "codec": "raw"}


@pytest.fixture(scope="module")
def server():
    with test_server() as started:
        yield started


@pytest.fixture
def ask(server):
    """A request: status and body of its answer."""
    connection = http.client.HTTPConnection(urlsplit(server.endpoint).netloc, timeout=10)

    def ask(method, path, body=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers

    server.clear()
    server.order()
    yield ask
    connection.close()
    server.order()


def test_what_is_done_at_once_is_neither_late_nor_noted(server, ask):
    server.order(latency=1000, rules=[{"fault": ["status", 503]}])
    server.requests()
    start = time.perf_counter()
    server.put("a/b", b"stored")
    assert ask("GET", server.at_once("a/b"))[:2] == (200, b"stored")
    assert time.perf_counter() - start < 0.75
    assert server.requests() == []
    assert ask("GET", "/bucket/a/b")[0] == 503
    assert time.perf_counter() - start > 1
    assert [request[1] for request in server.requests()] == ["bucket/a/b"]


def test_conditions_hold_with_quotes_and_without(server, ask):
    server.put("a", b"first")
    tag = ask("HEAD", "/bucket/a")[2]["ETag"]
    assert tag.startswith('"')
    for form in (tag, tag.strip('"')):
        assert ask("GET", "/bucket/a", if_none_match=form)[:2] == (304, b"")
        assert ask("GET", "/bucket/a", if_match=form)[:2] == (200, b"first")
    assert ask("PUT", "/bucket/a", b"second", if_match=tag.strip('"'))[0] == 200
    assert ask("PUT", "/bucket/a", b"third", if_match=tag)[0] == 412
    assert ask("GET", "/bucket/a", if_none_match=tag)[:2] == (200, b"second")


def test_objects_are_copied(server, ask):
    server.put("a b", b"stored")
    assert ask("PUT", "/bucket/copy", x_amz_copy_source="/bucket/a%20b")[0] == 200
    assert ask("GET", "/bucket/copy")[:2] == (200, b"stored")
    assert ask("PUT", "/bucket/copy", x_amz_copy_source="/bucket/none")[0] == 404


def test_the_floor_counts_rounds_and_bytes(tmp_path):
    transfer = Transfer(sent=1e6, received=2e6)
    few = array([AT_ONCE * 10], [10], codec="raw")
    many = array([AT_ONCE * 10 + 1], [10], codec="raw")
    sharded = array([AT_ONCE * 80], [10], **SHARDED)
    for number, (described, operation, caches, rounds, moved) in enumerate(
        [
            (few, {"kind": "read"}, False, 1, AT_ONCE * 10),
            (many, {"kind": "read"}, False, 2, AT_ONCE * 10 + 1),
            # A last chunk is stored whole.
            (many, {"kind": "write", "onto": "nothing"}, False, 2, AT_ONCE * 10 + 10),
            (sharded, {"kind": "read", "select": "5::40"}, False, 4, 2 * AT_ONCE),
            (sharded, {"kind": "read", "select": "5::40"}, True, 2, 2 * AT_ONCE),
            (sharded, {"kind": "read", "select": "45:48"}, False, 2, 3),
        ]
    ):
        each = cell(described, operation, store="remote", latency=0.05, caches=caches)
        data = Data(each, tmp_path / str(number))
        selections = draw(operation.get("select", "whole"), described, data.folder)
        data.store()
        least = least_seconds(each, data, selections, transfer)
        speed = transfer.sent if each.changes else transfer.received
        assert least == pytest.approx(rounds * 0.05 + moved / speed), (operation, caches)


def test_the_transfer_is_measured(server):
    transfer = measured(server)
    assert 1e7 < transfer.sent < 1e12
    assert 1e7 < transfer.received < 1e12


def test_a_remote_cell_is_held_to_its_waits():
    each = cell(array([10], [10]), {"kind": "read"}, store="remote", target=0.11)
    assert floor_kind(each) == WAITS
    rows = {name: quantiles([seconds]) for name, seconds in (("fuzarr", 0.13), (WAITS, 0.1))}
    assert floor_limit(rows, WAITS) == 1.2
    assert len(misses(each, rows, "fuzarr")) == 2
    rows["fuzarr"] = quantiles([0.109])
    assert misses(each, rows, "fuzarr") == []


def test_who_takes_part_in_remote_cells():
    def taking(store):
        each = cell(array([10], [10]), {"kind": "read"}, store=store)
        return {one.name for one in engines(Builds(), ALL) if takes_part(one, each)}

    remote = {"icechunk", "icechunk fused", "batched fsspec", "fused fsspec"}
    assert remote <= taking("remote")
    assert not remote & taking("local")
    assert not {"batched 1", "fused 1", "fuzarr rust", "floor fresh"} & taking("remote")


OPERATIONS = {
    "read": {"kind": "read", "select": "500:19500"},
    "write": {"kind": "write", "onto": "nothing"},
    "part": {"kind": "read", "select": "4100:4300"},
}

#: Requests of a call, where a family's cells say what they are about; the others' are their own.
EXPECTED = {("fuzarr", "read"): 20, ("fuzarr", "write"): 20, ("tensorstore", "read"): 20}


def test_every_engine_reads_and_writes(tmp_path, capsys):
    names = ("fuzarr", "drop-in", "batched", "fused fsspec", "zarrs-python", "tensorstore")
    folders = {"memory": tmp_path / "memory", "disk": tmp_path / "disk"}
    taking = engines(Builds(), (*names, "icechunk"))
    session = Session(taking, folders, tmp_path / "out", Budget(0.01, 2))
    # icechunk keeps chunks of less than 512 bytes elsewhere.
    plain = array([20_000], [1000], codec="raw")
    sharded = plain | {"shards": [4000]}
    cells = [
        cell(plain, OPERATIONS["read"], name="read", store="remote", latency=0.02),
        cell(plain, OPERATIONS["write"], name="write", store="remote", latency=0.02),
        cell(sharded, OPERATIONS["part"], name="part", store="remote", latency=0.02),
    ]
    try:
        run = session.run(cells, tmp_path / "begun.json")
    finally:
        session.end()
    print(capsys.readouterr().out)
    rows = run.by_cell()
    for each in cells:
        found = rows[each.title]
        for name in (*names, "icechunk", WAITS):
            assert "median" in found[name], (each.title, found[name])
            assert found[name]["least"] >= 0.02
        for name in (*names, "icechunk"):
            assert found[name]["requests"] >= 1
            assert found[name]["requests"] == EXPECTED.get(
                (name, each.name), found[name]["requests"]
            )

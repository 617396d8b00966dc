"""The floor of a remote store: rounds of requests, each waiting for the one before, and bytes."""

import contextlib
import http.client
import math
import time
from urllib.parse import urlsplit

import numpy as np

from harness.cells import Cell
from harness.selections import Selection
from harness.server import TestServer
from harness.stored import Data
from harness.trace import read_trace, write_trace

#: Requests at the same time: fuzarr's default, and what the equal columns ask of all.
AT_ONCE = 128

#: Bytes of the transfer that shows what the machine moves in a second.
SAMPLE = 64 << 20


def least_seconds(
    cell: Cell, data: Data, selections: list[Selection], bytes_a_second: float
) -> float:
    """What `cell` takes at least: its rounds of requests, and the transfer of its bytes.

    One round fetches an object or a part of one, or stores one; a part of a shard of which nothing
    is known takes two."""
    if cell.changes:
        (selection,) = selections
        traced = write_trace(cell.array, data.stored, selection)
        rounds = math.ceil(len(traced) / AT_ONCE)
    else:
        traced = read_trace(cell.array, data.stored, selections, caches=cell.caches)
        depth = 2 if any(each.get("indexes") for each in traced) else 1
        rounds = depth * math.ceil(len(traced) / AT_ONCE)
    moved = sum(length for each in traced for _, length, *_ in each["parts"])
    return rounds * cell.latency + moved / bytes_a_second


def bytes_a_second(server: TestServer) -> float:
    """How fast an object comes from the server into fresh memory: the best of three times."""
    best = math.inf
    server.put("sample", bytes(SAMPLE))
    host = urlsplit(server.endpoint).netloc
    with contextlib.closing(http.client.HTTPConnection(host, timeout=60)) as connection:
        for _ in range(3):
            start, at = time.perf_counter(), 0
            room = memoryview(np.empty(SAMPLE, "uint8"))
            connection.request("GET", server.at_once("sample"))
            answer = connection.getresponse()
            while read := answer.readinto(room[at:]):
                at += read
            best = min(best, time.perf_counter() - start)
    return SAMPLE / best

"""The floor of a remote store: rounds of requests, each waiting for the one before, and bytes."""

import contextlib
import http.client
import math
import time
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Transfer:
    """Bytes that a bare client and the server move in a second."""

    sent: float
    received: float


def least_seconds(cell: Cell, data: Data, selections: list[Selection], transfer: Transfer) -> float:
    """What `cell` takes at least: its rounds of requests, and the transfer of its bytes.

    One round fetches an object or a part of one, or stores one; a part of a shard of which nothing
    is known takes two."""
    if cell.changes:
        (selection,) = selections
        traced = write_trace(cell.array, data.stored, selection)
        depth, speed = 1, transfer.sent
    else:
        traced = read_trace(cell.array, data.stored, selections, caches=cell.caches)
        depth = 2 if any(each.get("indexes") for each in traced) else 1
        speed = transfer.received
    rounds = depth * math.ceil(len(traced) / AT_ONCE)
    moved = sum(length for each in traced for _, length, *_ in each["parts"])
    return rounds * cell.latency + moved / speed


def measured(server: TestServer) -> Transfer:
    """How fast an object goes to the server, and comes from it into fresh memory: the best of three
    times each."""
    sent, received = math.inf, math.inf
    content, host = bytes(SAMPLE), urlsplit(server.endpoint).netloc
    with contextlib.closing(http.client.HTTPConnection(host, timeout=60)) as connection:
        for _ in range(3):
            start = time.perf_counter()
            connection.request("PUT", server.at_once("sample"), content)
            connection.getresponse().read()
            sent = min(sent, time.perf_counter() - start)
            start, at = time.perf_counter(), 0
            room = memoryview(np.empty(SAMPLE, "uint8"))
            connection.request("GET", server.at_once("sample"))
            answer = connection.getresponse()
            while read := answer.readinto(room[at:]):
                at += read
            received = min(received, time.perf_counter() - start)
    return Transfer(SAMPLE / sent, SAMPLE / received)

"""What a call takes of this process: time, memory, allocations."""

import ctypes
import gc
from collections.abc import Callable
from time import perf_counter
from typing import Any

from operations import Operation


def seconds(operation: Operation, calls: int) -> float:
    """How long so many calls take; what restores the state between them is not counted."""
    call = operation.call
    if not operation.restores:
        start = perf_counter()
        for _ in range(calls):
            call()
        return perf_counter() - start
    taken = 0.0
    for _ in range(calls):
        operation.restore()
        call = operation.call
        start = perf_counter()
        call()
        taken += perf_counter() - start
    return taken


def _status(name: str) -> int:
    """A quantity of memory that the system tells of this process, in bytes."""
    with open("/proc/self/status") as lines:
        found = next(line for line in lines if line.startswith(name + ":"))
    return int(found.split()[1]) * 1024


def peak(operation: Operation) -> int:
    """The most memory that a call takes over what is resident before it, its result included."""
    operation.restore()
    call = operation.call
    # What was freed before, when contents were stored, say, is no memory that the call finds ready.
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    resident = _status("VmRSS")
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    result = call()
    highest = _status("VmHWM")
    del result
    return max(0, highest - resident)


def _counter() -> Callable[[], int] | None:
    """The count of allocations, if the library that counts them is loaded."""
    try:
        count: Any = ctypes.CDLL(None).allocations
    except AttributeError:
        return None
    count.restype = ctypes.c_uint64
    return count


def allocations(operation: Operation) -> int | None:
    """How many allocations a call makes."""
    count = _counter()
    if count is None:
        return None
    operation.restore()
    call = operation.call
    before = count()
    call()
    return count() - before

"""Stores that have to be awaited: the machines of a call, driven from Python."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from zarr.abc.store import RangeByteRequest, SuffixByteRequest
from zarr.core.config import config as zarr_config

from ._loop import QUICK, unless

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest


async def drive_all(call: Any, items: list[Any], machines: list[Any], estimate: int) -> list[str]:
    """Drives all machines at the same time, within the limits; how each ended.

    All work takes about `estimate` nanoseconds.
    """
    quick = estimate <= QUICK * len(machines)
    concurrency = zarr_config.get("async.concurrency")
    operations = asyncio.Semaphore(concurrency)
    threads = None if quick else asyncio.Semaphore(call.workers)
    # So many objects' bytes may be waiting for the store or for a thread.
    lives = min(concurrency + (0 if quick else 2 * call.workers), len(machines))
    ends = [""] * len(machines)
    numbers = iter(range(len(machines)))

    async def live() -> None:
        for number in numbers:
            ends[number] = await _drive(items[number], machines[number], operations, threads)

    tasks: list[asyncio.Future[None]] = []
    try:
        if lives == 1:
            await live()
        else:
            tasks += [asyncio.ensure_future(live()) for _ in range(lives)]
            await asyncio.gather(*tasks)
    except BaseException:
        call.cancel()
        for task in tasks:
            task.cancel()
        with contextlib.suppress(BaseException):
            await asyncio.gather(*tasks, return_exceptions=True)
        raise
    return ends


async def _drive(
    item: Any, machine: Any, operations: asyncio.Semaphore, threads: asyncio.Semaphore | None
) -> str:
    """Drives one object to its end; with no `threads`, its work is done on the event loop."""
    path, prototype = item[0], item[1].prototype

    async def get(span: list[int]) -> Any:
        request: ByteRequest | None
        match span:
            case []:
                request = None
            case [length]:
                request = SuffixByteRequest(length)
            case [start, end]:
                request = RangeByteRequest(start, end)
        async with operations:
            return await path.get(prototype, request)

    step: str = machine.step()
    while True:
        if step == "work":
            async with threads or contextlib.nullcontext():
                step = await unless(threads is None, machine.run)
        elif step == "fetch":
            spans = machine.spans
            found = await _gather([get(span) for span in spans])
            parts = None
            if all(part is not None for part in found):
                parts = [part.as_numpy_array() for part in found]
            machine.supply(parts)
            step = machine.step()
        elif step == "put":
            payload = prototype.buffer.from_bytes(machine.payload())
            async with operations:
                await path.set(payload)
            step = machine.committed()
        elif step == "delete":
            async with operations:
                await path.delete()
            step = machine.committed()
        else:
            return step


async def _gather(gets: list[Any]) -> list[Any]:
    """The outcomes; the first error ends the others."""
    if len(gets) == 1:
        return [await gets[0]]
    tasks = [asyncio.ensure_future(get) for get in gets]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise

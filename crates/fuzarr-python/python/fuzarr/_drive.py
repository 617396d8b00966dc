"""Stores that have to be awaited: the machines of a call, driven from Python."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np
from zarr.abc.store import RangeByteRequest, SuffixByteRequest
from zarr.core.config import config as zarr_config

from ._fuzarr import config_list
from ._loop import SMALL, hop, unless

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest


#: Seconds of short work that is done on the event loop before others have their turn.
TURN = 0.001


def operations() -> int:
    """How much may be asked of a store at the same time; fuzarr's limit if zarr-python has none."""
    limit = zarr_config.get("async.concurrency")
    return int(config_list()["operations"] if limit is None else limit)


def run_of_bytes(buffer: Any) -> np.ndarray:
    """The bytes of a buffer in one run of memory: a copy where they lie apart."""
    return np.ascontiguousarray(buffer.as_numpy_array())


class _Limits:
    """What the machines of one call share."""

    def __init__(self, workers: int) -> None:
        self.operations = asyncio.Semaphore(operations())
        self.threads = asyncio.Semaphore(workers)
        self.loop = asyncio.get_running_loop()
        self.since = self.loop.time()

    async def give_way(self) -> None:
        """Lets others have a turn on the event loop: not all stores do when they are awaited."""
        if self.loop.time() - self.since > TURN:
            await asyncio.sleep(0)
            self.since = self.loop.time()


async def drive_all(call: Any, items: list[Any], machines: list[Any]) -> list[str]:
    """Drives all machines at the same time, within the limits; how each ended."""
    limits = _Limits(call.workers)
    # So many objects' bytes may be waiting for the store or for a thread.
    lives = min(operations() + 2 * call.workers, len(machines))
    ends = [""] * len(machines)
    numbers = iter(range(len(machines)))

    async def live() -> None:
        for number in numbers:
            ends[number] = await _drive(items[number], machines[number], limits)

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


async def _drive(item: Any, machine: Any, limits: _Limits) -> str:
    """Drives one object to its end."""
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
        async with limits.operations:
            return await path.get(prototype, request)

    step: str = machine.step()
    while True:
        if step == "quick":
            step = machine.run(True)
            await limits.give_way()
        elif step == "work":
            async with limits.threads:
                step = await hop(machine.run)
        elif step == "fetch":
            spans = machine.spans
            found = await _gather([get(span) for span in spans])
            parts = None
            if all(part is not None for part in found):
                parts = [run_of_bytes(part) for part in found]
            machine.supply(parts)
            step = machine.step()
        elif step == "put":
            small = machine.length <= SMALL
            payload = prototype.buffer.from_bytes(await unless(small, machine.payload))
            async with limits.operations:
                await path.set(payload)
            step = await unless(small, machine.committed)
        elif step == "delete":
            async with limits.operations:
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

"""The foreign executor: Python awaits, Rust does the rest."""

from __future__ import annotations

import asyncio
from typing import Protocol

from ._fuzarr import Machine, ReadPlan, WritePlan

Part = tuple[int, int, bytes]
Span = tuple[int | None, int | None]


class Store(Protocol):
    """What the executor needs of a store. Keys are relative to the array."""

    async def get(self, key: str, span: Span) -> Part | None:
        """The bytes of a span with their start and the object's size, or None if missing."""

    async def put(self, key: str, value: bytes) -> None: ...

    async def delete(self, key: str) -> None: ...


async def _drive(machine: Machine, store: Store, limit: asyncio.Semaphore) -> bool:
    """Drives one object to its end; whether it is stored."""

    async def get(span: Span) -> Part | None:
        async with limit:
            return await store.get(machine.key, span)

    while True:
        step = await asyncio.to_thread(machine.next)
        if step == "fetch":
            parts = await asyncio.gather(*(get(span) for span in machine.spans))
            found = [part for part in parts if part is not None]
            machine.supply(found if len(found) == len(parts) else None)
        elif step == "put":
            async with limit:
                await store.put(machine.key, machine.payload())
            machine.committed(True)
        elif step == "delete":
            async with limit:
                await store.delete(machine.key)
            machine.committed(True)
        else:
            return step == "present"


async def read(
    store: Store, document: bytes, selection: str, *, concurrency: int = 10, ranges: bool = True
) -> tuple[list[int], bytes]:
    """Reads a selection of the array that `document` describes: the result's shape and bytes.

    At most `concurrency` operations of the store run at once, of all objects together.
    """
    plan = ReadPlan(document, selection, ranges)
    limit = asyncio.Semaphore(concurrency)
    machines = (plan.machine(number) for number in range(len(plan)))
    await asyncio.gather(*(_drive(machine, store, limit) for machine in machines))
    return plan.shape, plan.take()


async def write(
    store: Store, document: bytes, selection: str, values: bytes, *, concurrency: int = 10
) -> None:
    """Writes native-order `values` (or one element for all) to a selection."""
    plan = WritePlan(document, selection, values)
    limit = asyncio.Semaphore(concurrency)
    machines = (plan.machine(number) for number in range(len(plan)))
    await asyncio.gather(*(_drive(machine, store, limit) for machine in machines))

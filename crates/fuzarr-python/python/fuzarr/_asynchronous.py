"""Reading and writing while an event loop goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ._fuzarr import Cancel

if TYPE_CHECKING:
    from ._fuzarr import Array


async def read(array: Array, selection: Any, out: Any, mode: str) -> Any:
    """Reads in a worker thread. If the task is cancelled, the read ends before this returns."""
    return await _done(array._read_until, selection, out, mode)


async def write(array: Array, selection: Any, value: Any, mode: str) -> None:
    """Writes in a worker thread. If the task is cancelled, the write ends before this returns."""
    await _done(array._write_until, selection, value, mode)


async def _done(work: Callable[..., Any], *arguments: Any) -> Any:
    """What a request that can be ended gives, made in a worker thread."""
    cancel = Cancel()
    working = asyncio.ensure_future(asyncio.to_thread(work, cancel, *arguments))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        cancel.cancel()
        # The thread may be at the caller's memory: it is waited for.
        await asyncio.wait([working])
        if not working.cancelled():
            working.exception()
        raise

"""Reading while an event loop goes on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ._fuzarr import Cancel

if TYPE_CHECKING:
    from ._fuzarr import Array


async def read(array: Array, selection: Any, out: Any, mode: str) -> Any:
    """Reads in a worker thread. If the task is cancelled, the read ends before this returns."""
    cancel = Cancel()
    reading = asyncio.ensure_future(
        asyncio.to_thread(array._read_until, cancel, selection, out, mode)
    )
    try:
        return await asyncio.shield(reading)
    except asyncio.CancelledError:
        cancel.cancel()
        # The thread may be writing into the caller's memory: it is waited for.
        await asyncio.wait([reading])
        if not reading.cancelled():
            reading.exception()
        raise

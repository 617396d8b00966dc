"""Leaving zarr-python's event loop for a while, or not."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

#: Bytes of a call that may stay on zarr-python's event loop.
SMALL = 64 << 10

#: Work of at most so many nanoseconds is shorter than the way to another thread.
QUICK = 50_000

_executor: ThreadPoolExecutor | None = None


def _forget_executor() -> None:
    """The threads of the parent do not exist in a forked child."""
    global _executor
    _executor = None


os.register_at_fork(after_in_child=_forget_executor)


def _pool() -> ThreadPoolExecutor:
    """Where calls leave zarr-python's event loop."""
    global _executor
    if _executor is None:
        threads = max(32, 4 * (os.cpu_count() or 1))
        _executor = ThreadPoolExecutor(threads, thread_name_prefix="fuzarr")
    return _executor


def is_own(thread: threading.Thread) -> bool:
    """Whether a thread only does what calls have left the event loop for."""
    return _executor is not None and thread in _executor._threads


async def hop[T](work: Callable[..., T], *args: Any) -> T:
    """Runs `work` off the event loop."""
    return await asyncio.get_running_loop().run_in_executor(_pool(), work, *args)


async def unless[T](quick: bool, work: Callable[..., T], *args: Any) -> T:
    """Runs `work`: here if it is quick, else off the event loop."""
    return work(*args) if quick else await hop(work, *args)

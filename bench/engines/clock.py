"""Waiting for less than a millisecond on an event loop, whose own timers are rounded up to one."""

import asyncio
import contextlib
import heapq
import itertools
import os
import time


class Clock:
    """Wakes coroutines of one event loop at their times. Without the system's timers (before Python
    3.13), as exactly as the loop does."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer = -1

    async def sleep(self, seconds: float) -> None:
        """Waits so long; at least for one turn of the loop."""
        if seconds <= 0 or not hasattr(os, "timerfd_create"):
            await asyncio.sleep(seconds)
            return
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._attach(loop)
        future = loop.create_future()
        entry = (time.monotonic() + seconds, next(self._numbers), future)
        heapq.heappush(self._due, entry)
        if self._due[0] is entry:
            self._set()
        await future

    def _attach(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer = os.timerfd_create(
            time.CLOCK_MONOTONIC, flags=os.TFD_NONBLOCK | os.TFD_CLOEXEC
        )
        loop.add_reader(self._timer, self._wake)

    def _set(self) -> None:
        os.timerfd_settime(self._timer, flags=os.TFD_TIMER_ABSTIME, initial=self._due[0][0])

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._timer, 8)
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            _, _, future = heapq.heappop(self._due)
            if not future.done():
                future.set_result(None)
        if self._due:
            self._set()

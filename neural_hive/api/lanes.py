"""Threads for one kind of blocking work each: what waits for one server must not keep up what asks another."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import anyio
from anyio.to_thread import run_sync

P = ParamSpec("P")
T = TypeVar("T")


class Lane:
    """So many threads at most; who comes when all are busy waits for one."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._limiter: anyio.CapacityLimiter | None = None  # belongs to an event loop, which is not there yet

    @property
    def is_full(self) -> bool:
        """Whether all are busy."""
        return self._limiter is not None and self._limiter.available_tokens < 1

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the work gives. A request whose time is over leaves it behind; it ends by itself."""
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(self._threads)
        return await run_sync(lambda: work(*args, **kwargs), limiter=self._limiter, abandon_on_cancel=True)

"""Who is called next: each endpoint has a lane of its own, so that one that is slow or down holds up no other.

A lane has few requests at once and a short queue. What does not fit, and what would go to an endpoint that has failed
again and again, is put off: it waits in the log, not here.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

import msgspec

from neural_hive.connectors.webhook_address import Endpoint

QUEUE_MAX: Final = 2_000  # of one endpoint
BUSY_S: Final = 2.0  # what does not fit waits at least this long
MEAN_OF: Final = 20  # calls
LANES_MAX: Final = 10_000
FAILURES_MAX: Final = 5  # in a row: then the endpoint is left alone
LEFT_ALONE_S: Final = 30.0  # and then asked once; if that fails too, left alone for twice as long …
LEFT_ALONE_S_MAX: Final = 600.0
BUSY: Final = "its receiver has too much to do"
DOWN: Final = "its receiver has failed again and again, and is left alone for a while"
T = TypeVar("T")


class PutOff(msgspec.Struct, frozen=True):
    """Why something is not tried now, and how long at least it shall wait."""

    reason: str
    wait_ms: int


class _Lane(msgspec.Struct, Generic[T]):
    queue: deque[T]
    running: int = 0
    failures: int = 0  # in a row
    left_alone: int = 0  # times in a row
    seconds: float = 1.0  # that a call took of late: the mean, the last ones count most
    open_until: float = 0.0  # of the monotonic clock

    @property
    def is_idle(self) -> bool:
        return not (self.running or self.queue or self.failures)


class Lanes(Generic[T]):
    """Runs what it is given, in one event loop: `call` says whether it went well."""

    def __init__(
        self,
        call: Callable[[T], Awaitable[bool]],
        put_off: Callable[[T, PutOff], None],
        per_endpoint: int,
        at_once: int,
        now: Callable[[], float] = time.monotonic,
        left_alone_s: float = LEFT_ALONE_S,
    ) -> None:
        self._call, self._put_off, self._per_endpoint = call, put_off, per_endpoint
        self._room, self._now, self._left_alone_s = asyncio.Semaphore(at_once), now, left_alone_s
        self._lanes: dict[Endpoint, _Lane[T]] = {}  # the one that was used last is last
        self._tasks: set[asyncio.Task[None]] = set()
        self.running = 0

    def add(self, endpoint: Endpoint, work: T) -> None:
        """Takes one piece of work for an endpoint."""
        lane = self._lane(endpoint)
        wait_s = lane.open_until - self._now()
        if wait_s > 0:
            self._put_off(work, PutOff(DOWN, round(wait_s * 1_000)))
        elif len(lane.queue) >= QUEUE_MAX:
            self._put_off(work, PutOff(BUSY, self._busy_ms(lane)))
        else:
            lane.queue.append(work)
            self._go_on(lane)

    @property
    def open_count(self) -> int:
        """How many endpoints are left alone now. May be asked by another thread."""
        now = self._now()
        return sum(lane.open_until > now for lane in list(self._lanes.values()))

    async def drain(self) -> None:
        """Ends when nothing runs any more; what waits is forgotten."""
        for lane in self._lanes.values():
            lane.queue.clear()
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _busy_ms(self, lane: _Lane[T]) -> int:
        """About how long a lane needs for half of its queue."""
        wait_s = len(lane.queue) / 2 * lane.seconds / self._per_endpoint
        return round(min(max(wait_s, BUSY_S), LEFT_ALONE_S_MAX) * 1_000)

    def _lane(self, endpoint: Endpoint) -> _Lane[T]:
        lane = self._lanes.pop(endpoint, None) or _Lane(deque())
        self._lanes[endpoint] = lane
        if len(self._lanes) > LANES_MAX:
            idle = next((e for e, other in self._lanes.items() if other.is_idle), next(iter(self._lanes)))
            if not (self._lanes[idle].running or self._lanes[idle].queue):
                del self._lanes[idle]
        return lane

    def _go_on(self, lane: _Lane[T]) -> None:
        at_once = 1 if lane.failures >= FAILURES_MAX else self._per_endpoint
        while lane.queue and lane.running < at_once:
            lane.running += 1
            task = asyncio.get_running_loop().create_task(self._run(lane, lane.queue.popleft()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, lane: _Lane[T], work: T) -> None:
        async with self._room:
            self.running += 1
            began = self._now()
            try:
                went_well = await self._call(work)
            finally:
                self.running -= 1
                lane.running -= 1
                lane.seconds += (self._now() - began - lane.seconds) / MEAN_OF
        if went_well:
            lane.failures, lane.left_alone, lane.open_until = 0, 0, 0.0
        else:
            lane.failures += 1
            if lane.failures >= FAILURES_MAX and lane.open_until <= self._now():
                self._leave_alone(lane)
        self._go_on(lane)

    def _leave_alone(self, lane: _Lane[T]) -> None:
        wait_s = min(self._left_alone_s * 2 ** min(lane.left_alone, 20), LEFT_ALONE_S_MAX)
        lane.open_until, lane.left_alone = self._now() + wait_s, lane.left_alone + 1
        while lane.queue:
            self._put_off(lane.queue.popleft(), PutOff(DOWN, round(wait_s * 1_000)))

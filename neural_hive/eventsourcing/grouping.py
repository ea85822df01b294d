"""Inserts of many threads, brought together: what waits while a transaction goes on shares the next one.

One thread at a time leads: it writes all that waits, until its own insert is answered, and then the next one leads.
Whoever has been answered goes on at once, without waiting for a lock.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from eventsourcing.persistence import StoredEvent, Tracking

GROUP_RECORDS_MAX: Final = 20_000  # of inserts that share a transaction; a larger one has it alone


class Request:
    """What one thread wants to be inserted, and what became of it."""

    __slots__ = ("_error", "_notification_ids", "events", "is_done", "leads", "tracking", "woken")

    def __init__(self, events: Sequence[StoredEvent], tracking: Tracking | None = None) -> None:
        self.events, self.tracking = events, tracking
        self.woken = threading.Event()
        self.leads = self.is_done = False
        self._notification_ids: list[int] = []
        self._error: BaseException | None = None

    @property
    def records(self) -> int:
        """How many records it makes."""
        return len(self.events) + (self.tracking is not None)

    def succeed(self, notification_ids: list[int]) -> None:
        """It is recorded."""
        self._notification_ids = notification_ids
        self._end()

    def fail(self, error: BaseException) -> None:
        """It is not; or it is not known whether."""
        self._error = error
        self._end()

    def answer(self) -> list[int]:
        """The notification ids of its events. Raises what went wrong."""
        if self._error is not None:
            raise self._error
        return self._notification_ids

    def _end(self) -> None:
        self.is_done = True
        self.woken.set()


class Groups:
    """See above."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # held for moments only
        self._waiting = deque[Request]()
        self._is_led = False

    def submit(self, request: Request, take: Callable[[list[Request]], None]) -> None:
        """Returns when the request is answered. `take` answers all of a group; one thread at a time calls it."""
        with self._lock:
            self._waiting.append(request)
            if not self._is_led:
                self._is_led = request.leads = True
        try:
            if not request.leads:
                request.woken.wait()
            while not request.is_done:
                take(self._next())
        finally:
            self._leave(request)

    def _next(self) -> list[Request]:
        """What waits, the first first."""
        group, records = list[Request](), 0
        with self._lock:
            while self._waiting and (not group or records + self._waiting[0].records <= GROUP_RECORDS_MAX):
                group.append(self._waiting.popleft())
                records += group[-1].records
        return group

    def _leave(self, request: Request) -> None:
        """Lets the next one lead, if this one did. Who is interrupted takes back what no group has taken."""
        with self._lock:
            if request in self._waiting:
                self._waiting.remove(request)
            if not request.leads:
                return
            self._is_led = bool(self._waiting)
            if self._is_led:
                self._waiting[0].leads = True
                self._waiting[0].woken.set()

"""Timers whose handler failed, and when each is tried again.

A handler may fail because of what other aggregates or a view say now, so it is tried again: after a minute, then after
twice the time each time, up to an hour; and at once in a new process, whose code may be mended.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from neural_hive.streams.kernel.fold import NEVER
from neural_hive.streams.kernel.state import Timer

FIRST_WAIT_US: Final = 60_000_000
WAIT_MAX_US: Final = 3_600_000_000


class FailedTimers:
    """Of one partition. Only timers that are still set are kept."""

    def __init__(self) -> None:
        self._next: dict[Timer, tuple[int, int]] = {}  # when each is tried again, and after which wait, µs

    def __contains__(self, timer: object) -> bool:
        return timer in self._next

    def __iter__(self) -> Iterator[Timer]:
        return iter(self._next)

    def may_fire(self, timer: Timer, now: int) -> bool:
        """False while a timer that failed has to wait."""
        return timer not in self._next or self._next[timer][0] <= now

    def note(self, failed: Iterable[Timer], now: int) -> None:
        """Notes that the handlers of timers failed."""
        for timer in failed:
            _, waited = self._next.get(timer, (0, 0))
            wait = min(2 * waited, WAIT_MAX_US) or FIRST_WAIT_US
            self._next[timer] = (now + wait, wait)

    def forget_unless(self, is_set: Callable[[Timer], bool]) -> None:
        """Forgets those that have fired, or that the state does not imply any more."""
        for timer in [timer for timer in self._next if not is_set(timer)]:
            del self._next[timer]

    @property
    def next_at(self) -> int:
        """When the next one is tried again, µs."""
        return min((at for at, _ in self._next.values()), default=NEVER)

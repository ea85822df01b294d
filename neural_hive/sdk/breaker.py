"""A circuit breaker: who does not answer is not asked for a while, so that callers fail at once and need not wait.

closed     calls go through; `failures_max` failures in a row open it
open       calls raise CircuitOpen; the wait doubles each time, up to `open_max_s`
half open  after the wait one call goes through: if it succeeds it closes, else it opens again
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Final

FAILURES_MAX: Final = 3
OPEN_S: Final = 5.0
OPEN_MAX_S: Final = 60.0


class CircuitOpen(Exception):
    """The call was not made: the endpoint has failed repeatedly. `retry_in_s` says when it is asked again."""

    def __init__(self, name: str, retry_in_s: float, last_error: str) -> None:
        self.retry_in_s = retry_in_s
        super().__init__(
            f"{name} has failed repeatedly and is not asked for another {retry_in_s:.1f} s; last: {last_error}"
        )


class State(StrEnum):
    """What a breaker does with the next call."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half open"


class Breaker:
    """The breaker of one endpoint; may be used from many threads."""

    def __init__(
        self,
        name: str,
        failures_max: int = FAILURES_MAX,
        open_s: float = OPEN_S,
        open_max_s: float = OPEN_MAX_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._failures_max = failures_max
        self._open_s, self._open_max_s = open_s, open_max_s
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0  # in a row
        self._wait_s = open_s
        self._closed_at: float | None = None  # when it is half open; None: it is closed
        self._probing = False
        self._last_error = ""

    @property
    def state(self) -> State:
        """What would become of a call now."""
        with self._lock:
            return self._state()

    @contextmanager
    def call(self, failures: type[BaseException] | tuple[type[BaseException], ...]) -> Iterator[None]:
        """Around a call. Of what it raises only `failures` count: whoever refuses has answered. Raises CircuitOpen."""
        self._begin()
        try:
            yield
        except failures as error:
            self._failed(str(error))
            raise
        except Exception:
            self._succeeded()
            raise
        except BaseException:  # it was interrupted, and nothing is known
            self._release()
            raise
        self._succeeded()

    def _state(self) -> State:
        if self._closed_at is None:
            return State.CLOSED
        return State.OPEN if self._probing or self._clock() < self._closed_at else State.HALF_OPEN

    def _begin(self) -> None:
        with self._lock:
            state = self._state()
            if state is State.OPEN:
                left_s = max((self._closed_at or 0.0) - self._clock(), 0.0)
                raise CircuitOpen(self._name, left_s, self._last_error)
            self._probing = state is State.HALF_OPEN

    def _failed(self, reason: str) -> None:
        with self._lock:
            self._failures += 1
            self._last_error = reason
            if self._closed_at is not None:
                self._wait_s = min(self._wait_s * 2, self._open_max_s)
            if self._closed_at is not None or self._failures >= self._failures_max:
                self._closed_at = self._clock() + self._wait_s
            self._probing = False

    def _succeeded(self) -> None:
        with self._lock:
            self._failures, self._wait_s = 0, self._open_s
            self._closed_at, self._probing = None, False

    def _release(self) -> None:
        with self._lock:
            self._probing = False

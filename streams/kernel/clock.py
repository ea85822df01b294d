"""The time as the kernel sees it; a simulation has another one."""

import time
from typing import Protocol


class Clock(Protocol):
    """Two clocks, one that others share and one that never jumps, and a way to wait."""

    def now(self) -> int:
        """The wall clock, µs since 1970."""
        ...

    def elapsed_s(self) -> float:
        """Time since some moment, s."""
        ...

    def sleep(self, seconds: float) -> None:
        """Returns after a time."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> int:
        """See Clock.now."""
        return time.time_ns() // 1_000

    def elapsed_s(self) -> float:
        """See Clock.elapsed_s."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """See Clock.sleep."""
        time.sleep(seconds)

"""What time it is for timers: due times follow from the broker's append times, so its clock is the one that counts.

This machine's clock may be hours off, or be set while a timer runs. One that runs ahead would give up on work that is
still being done; so the broker is asked, and between two questions time is counted by the clock that never jumps.
"""

from collections.abc import Callable
from typing import Final

from neural_hive.streams.kernel.clock import Clock

TRUSTED_S: Final = 10.0  # how old an answer may be by which a timer fires
JUMP_S: Final = 1.0  # the two clocks of this machine disagree: one was set, or the machine was asleep


class BrokerTime:
    """The broker's clock, as `ask` tells it: a time that has just been there, µs. What `ask` raises comes through."""

    def __init__(self, clock: Clock, ask: Callable[[], int]) -> None:
        self._clock, self._ask = clock, ask
        self._told: tuple[int, float, int] | None = (
            None  # the broker's time, both clocks of this machine then
        )

    def left_s(self, due: int) -> float:
        """How long until `due` (µs), s, as far as is known without asking; 0 if nothing is."""
        if self._told is None:
            return 0.0
        return max((due - self._now(self._told)) / 1e6, 0.0)

    def reached(self, due: int) -> int | None:
        """The time now, µs, if `due` has come; None if it has not. It is never ahead of the broker's own."""
        told = self._told
        if told is None or self._has_jumped(told):
            told = self._learn()
        if self._now(told) >= due and self._clock.elapsed_s() - told[1] > TRUSTED_S:
            told = self._learn()
        now = self._now(told)
        return now if now >= due else None

    def _now(self, told: tuple[int, float, int]) -> int:
        return told[0] + int((self._clock.elapsed_s() - told[1]) * 1e6)

    def _has_jumped(self, told: tuple[int, float, int]) -> bool:
        _, elapsed_s, wall = told
        return abs((self._clock.now() - wall) / 1e6 - (self._clock.elapsed_s() - elapsed_s)) > JUMP_S

    def _learn(self) -> tuple[int, float, int]:
        told = (self._ask(), self._clock.elapsed_s(), self._clock.now())
        self._told = told
        return told

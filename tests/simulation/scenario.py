"""What a world is about: which systems run in it, what is said to them, and what must hold of them at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from neural_hive.streams.kernel.system import System

if TYPE_CHECKING:
    from tests.simulation.history import History
    from tests.simulation.world import World

Act = Callable[[], None]


class Scenario:
    """A world makes one of these for itself."""

    steps: ClassVar[int]  # of a run
    clock_shifts: ClassVar[int] = 3  # how often clocks jump, beside the rest
    outputs: ClassVar[tuple[str, ...]] = ()  # topics that its systems write to, and none of them reads
    systems: tuple[System, ...]

    def __init__(self, world: World) -> None:
        self.world = world

    def acts(self) -> list[tuple[Act, int]]:
        """What may be done from outside, and how often beside the rest."""
        raise NotImplementedError

    def rest(self) -> int:
        """What is still done while all comes to rest; the time until the next look, µs."""
        raise NotImplementedError

    def is_over(self) -> bool:
        """Whether nothing is expected to happen any more, whatever timers say."""
        return True

    def check(self, history: History) -> None:
        """What must hold of these systems, beside what holds of all. Raises AssertionError."""
        raise NotImplementedError

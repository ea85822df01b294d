"""Who is next when agents are fewer than tickets: the earliest virtual deadline, so that nobody starves.

    place = ready_at + backlog · 1 s / weight

The backlog is how many tickets of the same workflow wait already: the hundredth of a large plan stands where it would
if the plan were served once a second, and a small plan that comes later stands before it. Whoever waits moves ahead of
all that becomes ready later, whatever its weight.
"""

from typing import Final

from neural_hive.aggregates.vocabulary import Priority

STEP_US: Final = 1_000_000
WEIGHT: Final = {Priority.LOW: 0.5, Priority.NORMAL: 1.0, Priority.HIGH: 2.0, Priority.CRITICAL: 4.0}


def place(ready_at: int, backlog: int, priority: Priority) -> int:
    """Where a ticket stands that became ready at a time (µs) behind so many of its own workflow."""
    return ready_at + round(backlog * STEP_US / WEIGHT.get(priority, 1.0))

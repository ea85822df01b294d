"""Who is next when agents are fewer than tickets: the earliest virtual deadline, so that nobody starves.

    place = ready_at + backlog · 1 s / share

The backlog is how many tickets of the same workflow wait already: the hundredth of a large plan stands where it would
if the plan were served once a second, and a small plan that comes later stands before it. The share follows from the
ticket's score (`risk.py`): priority, risk and the critical path move it ahead. Whoever waits moves ahead of all that
becomes ready later, whatever its score.
"""

from typing import Final

from neural_hive.aggregates.risk import share_of

STEP_US: Final = 1_000_000


def place(ready_at: int, backlog: int, score: float, step_us: int = STEP_US) -> int:
    """Where something stands that became ready at a time (µs) behind so many of its own kind."""
    return ready_at + round(backlog * step_us / share_of(score))

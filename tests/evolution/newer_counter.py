"""The toy's counter a build later: its event says more, in words that came one after the other, and there is a new one.

`python -m tests.evolution.newer_counter BOOTSTRAP DATA [SUFFIX [VERSION]]` runs the toy system with it.
"""

import sys
from enum import StrEnum
from typing import assert_never

from neural_hive.aggregates.aggregate import Aggregate, Command, Event, members
from tests.toy import counter, system
from tests.toy.counter import Close, CountdownStarted, CounterClosed, Raise, Start

LARGE_FROM = 100  # amounts for which there is a word of the third version
NOTED = 50  # the amount that causes the new event too


class Size(StrEnum):
    """How large a raise is."""

    UNKNOWN = "UNKNOWN"
    SMALL = "SMALL"
    LARGE = "LARGE"  # since the third version


class CounterRaised(Event, frozen=True):
    """The counter was raised."""

    amount: int
    note: str = ""
    origin: str = ""  # since the second version
    size: Size = Size.UNKNOWN  # since the second version


class RaiseNoted(Event, frozen=True):
    """Somebody took note of a raise: an event that the build before does not have."""

    amount: int


CounterEvent = CounterRaised | CountdownStarted | CounterClosed | RaiseNoted


class Counter(Command, frozen=True):
    """What a counter is now, and how much of it came from where that is known."""

    total: int = 0
    raises: int = 0
    due_at: int = 0  # µs; 0: no countdown
    closed: bool = False
    of_known_origin: int = 0
    noted: int = 0


def decide(state: Counter | None, command: Raise | Start | Close) -> list[CounterEvent]:
    """As before, in newer words."""
    before = counter.Counter(state.total, state.raises, state.due_at, state.closed) if state else None
    decided: list[CounterEvent] = []
    for event in counter.decide(before, command):
        match event:
            case counter.CounterRaised(amount):
                size = Size.LARGE if amount >= LARGE_FROM else Size.SMALL
                decided.append(CounterRaised(amount, "", "the newer build", size))
                if amount == NOTED:
                    decided.append(RaiseNoted(amount))
            case _:
                decided.append(event)
    return decided


def evolve(state: Counter | None, event: CounterEvent) -> Counter:
    """Adds one event."""
    c = state or Counter()
    match event:
        case CounterRaised(amount, _, origin):
            known = c.of_known_origin + (amount if origin else 0)
            return Counter(c.total + amount, c.raises + 1, c.due_at, c.closed, known, c.noted)
        case CountdownStarted(due_at):
            return Counter(c.total, c.raises, due_at, c.closed, c.of_known_origin, c.noted)
        case CounterClosed():
            return Counter(c.total, c.raises, 0, True, c.of_known_origin, c.noted)
        case RaiseNoted(amount):
            return Counter(c.total, c.raises, c.due_at, c.closed, c.of_known_origin, c.noted + amount)
        case _:
            assert_never(event)


COUNTER = Aggregate(
    name="counter",
    topic="toy.counters",
    state=Counter,
    events=members(CounterEvent),
    decide=decide,
    evolve=evolve,
    timers=lambda state: {"countdown": state.due_at} if state.due_at and not state.closed else {},
    counters=lambda event, before, after: [("raises", 1)] if isinstance(event, CounterRaised) else [],
)


if __name__ == "__main__":
    system.main(*sys.argv[1:], counted=COUNTER)  # type: ignore[arg-type]

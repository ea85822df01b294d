"""A counter that can be raised until its time is up: the smallest aggregate that uses all of the kernel."""

from collections.abc import Mapping
from typing import assert_never

from neural_hive.aggregates.aggregate import Aggregate, Command, Event, Rejected, members


class Raise(Command, frozen=True):
    """Raises the counter."""

    amount: int


class Start(Command, frozen=True):
    """Sets the time at which the counter closes."""

    due_at: int  # µs


class Close(Command, frozen=True):
    """Closes the counter."""


class CounterRaised(Event, frozen=True):
    """The counter was raised."""

    amount: int
    note: str = ""


class CountdownStarted(Event, frozen=True):
    """The counter will close at its due time."""

    due_at: int  # µs


class CounterClosed(Event, frozen=True):
    """The counter's time was up."""

    total: int


CounterEvent = CounterRaised | CountdownStarted | CounterClosed


class Counter(Command, frozen=True):
    """What a counter is now."""

    total: int = 0
    raises: int = 0
    due_at: int = 0  # µs; 0: no countdown
    closed: bool = False


def decide(state: Counter | None, command: Raise | Start | Close) -> list[CounterEvent]:
    """A closed counter takes nothing; a negative amount is refused; 666 is a fault of the code."""
    counter = state or Counter()
    match command:
        case Raise(amount):
            if amount == 666:
                raise ZeroDivisionError("a handler that raises")
            if amount < 0:
                raise Rejected("amount must not be negative")
            if counter.closed:
                raise Rejected("the counter is closed")
            return [CounterRaised(amount)]
        case Start(due_at):
            return [CountdownStarted(due_at)]
        case Close():
            return [] if counter.closed else [CounterClosed(counter.total)]
        case _:
            assert_never(command)


def evolve(state: Counter | None, event: CounterEvent) -> Counter:
    """Adds one event."""
    counter = state or Counter()
    match event:
        case CounterRaised(amount):
            return Counter(counter.total + amount, counter.raises + 1, counter.due_at, counter.closed)
        case CountdownStarted(due_at):
            return Counter(counter.total, counter.raises, due_at, counter.closed)
        case CounterClosed():
            return Counter(counter.total, counter.raises, 0, True)
        case _:
            assert_never(event)


def timers(state: Counter) -> Mapping[str, int]:
    """A running countdown."""
    return {"countdown": state.due_at} if state.due_at and not state.closed else {}


COUNTER = Aggregate(
    name="counter",
    topic="toy.counters",
    state=Counter,
    events=members(CounterEvent),
    decide=decide,
    evolve=evolve,
    timers=timers,
    counters=lambda event, before, after: [("raises", 1)] if isinstance(event, CounterRaised) else [],
)

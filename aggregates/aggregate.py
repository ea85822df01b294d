"""The form that every noun of the domain has, so that who knows one knows all.

`decide(state, command)` says which events follow; `evolve(state, event)` says what an event changes. Both are
pure: time and ids arrive with the command. The same `evolve` runs live and in replay, and never refuses history.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar, get_args

import msgspec

S = TypeVar("S")


class Command(msgspec.Struct, frozen=True):
    """What somebody wants, in the imperative."""


class Event(msgspec.Struct, frozen=True):
    """What happened, in the past tense. The class's name is the storage format: never rename one."""


class Rejected(Exception):
    """A command that cannot be obeyed and leaves nothing behind; the text says why and what to do."""


def _no_timers(state: Any) -> Mapping[str, int]:
    return {}


def _no_queues(state: Any) -> Mapping[str, str]:
    return {}


def _never(state: Any) -> bool:
    return False


def _no_counters(event: Any, before: Any, after: Any) -> Iterable[tuple[str, int]]:
    return ()


class Aggregate(msgspec.Struct, Generic[S], frozen=True):
    """A noun: its name, the topic of its events, and its pure functions.

    `timers(state)` gives the deadlines that the state implies: name → due time in µs. They are derived: set when
    they appear, moved when they change, dropped when they vanish.

    `counters(event, before, after)` gives the integers that an event moves beside its own aggregate, such as
    how many dependencies of another ticket are still open: (key, change). They are derived too.

    `queues(state)` gives the queues that the state stands in: name → its place, a text that sorts. Derived as well:
    who is first in a queue is found without looking at the others.

    `is_over(state)`: nothing need be known of it any more, and its row leaves the state. Such a state has no timers and
    stands in no queue, and its id must not begin again: the log would have a second beginning of it.
    """

    name: str
    topic: str
    state: type[S]
    events: tuple[type[Event], ...]
    decide: Callable[[Any, Any], list[Any]]
    evolve: Callable[[Any, Any], Any]
    timers: Callable[[Any], Mapping[str, int]] = _no_timers
    counters: Callable[[Any, Any, Any], Iterable[tuple[str, int]]] = _no_counters
    queues: Callable[[Any], Mapping[str, str]] = _no_queues
    is_over: Callable[[Any], bool] = _never

    @property
    def has_timers(self) -> bool:
        """Whether the aggregate ever sets a timer."""
        return self.timers is not _no_timers

    @property
    def has_queues(self) -> bool:
        """Whether the aggregate ever stands in a queue."""
        return self.queues is not _no_queues


def members(union: Any) -> tuple[type[Any], ...]:
    """The classes of a union of events, in order."""
    return get_args(union) or (union,)


def event_of(aggregate: Aggregate[Any], event_type: str, payload: Mapping[str, Any]) -> Event:
    """The event object of a decoded payload.

    Raises LookupError: the aggregate has no such event, or another one under this name; a newer build wrote it.
    """
    for known in aggregate.events:
        if known.__name__ == event_type:
            try:
                return msgspec.convert(payload, known)
            except msgspec.ValidationError as error:
                raise LookupError(
                    f"{aggregate.name} has another {event_type} in this build: {error}"
                ) from error
    raise LookupError(f"{aggregate.name} has no event {event_type} in this build")

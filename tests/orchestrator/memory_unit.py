"""A unit of work in memory, faithful to the kernel: real decide, evolve, counters, timers, message ids."""

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import msgspec

from neural_hive.aggregates.aggregate import Aggregate, Command, Event, event_of
from neural_hive.streams.kernel.system import System

S = TypeVar("S")
Key = tuple[str, str]


class Written(msgspec.Struct, frozen=True):
    """One event of the log."""

    aggregate: str
    aggregate_id: str
    event: Any


class Timer(NamedTuple):
    """A due time (µs), and whose it is."""

    due: int
    aggregate: str
    aggregate_id: str
    name: str


class MemoryUnit:
    """Runs a system on messages; keeps its log, its states, its counters, and how often it did what."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._aggregates = {aggregate.name: aggregate for aggregate in system.aggregates}
        self._seen: dict[Key, set[str]] = {}
        self.log: list[Written] = []
        self.states: dict[Key, Any] = {}
        self.counters: Counter[str] = Counter()
        self.work: Counter[str] = Counter()
        self.repeats = 0
        self.now = 1_700_000_000_000_000
        self.message_id = ""

    def handle(self, topic: str, message: Any, message_id: str) -> list[Event]:
        """One message, whole or not at all; the events that it led to."""
        handler = self._system.inputs[topic].handlers[type(message).__name__].handle
        self.now += 1_000_000
        return self._carry_out(handler, message, message_id)

    def timers(self) -> list[Timer]:
        """What the states imply, the earliest first."""
        return sorted(
            Timer(due, name, aggregate_id, timer)
            for (name, aggregate_id), state in self.states.items()
            for timer, due in self._aggregates[name].timers(state).items()
        )

    def fire(self, timer: Timer) -> list[Event]:
        """A timer at its due time; afterwards it no longer stands as it was."""
        assert timer in self.timers()
        later, self.now = self.now, timer.due
        message_id = f"{timer.aggregate_id} {timer.name} {timer.due}"
        try:
            handler = self._system.timers[timer.aggregate, timer.name]
            events = self._carry_out(handler, timer.aggregate_id, message_id)
        finally:
            self.now = max(later, timer.due)
        assert timer not in self.timers(), "the handler left the timer as it was"
        return events

    def _carry_out(self, handler: Callable[[Any, Any], None], about: Any, message_id: str) -> list[Event]:
        self.message_id = message_id
        self._is_repeat: dict[Key, bool] = {}
        self._before: dict[Key, Any] = {}
        self._moved: Counter[str] = Counter()
        start = len(self.log)
        try:
            handler(self, about)
        except Exception:
            self._undo(start)
            raise
        for key, repeat in self._is_repeat.items():
            self.repeats += repeat
            if key in self._before:
                self._seen.setdefault(key, set()).add(message_id)
        return [written.event for written in self.log[start:]]

    def _undo(self, start: int) -> None:
        del self.log[start:]
        self.counters.subtract(self._moved)
        for key, state in self._before.items():
            if state is None:
                del self.states[key]
            else:
                self.states[key] = state

    def load(self, aggregate: Aggregate[S], aggregate_id: str) -> S | None:
        self.work["loads"] += 1
        state: S | None = self.states.get((aggregate.name, aggregate_id))
        return state

    def execute(self, aggregate: Aggregate[Any], aggregate_id: str, command: Command) -> list[Event]:
        self.work["executes"] += 1
        key = (aggregate.name, aggregate_id)
        if self._is_repeat.setdefault(key, self.message_id in self._seen.get(key, ())):
            return []
        events: list[Event] = aggregate.decide(self.states.get(key), command)
        for event in events:
            self._append(aggregate, aggregate_id, event)
        return events

    def _append(self, aggregate: Aggregate[Any], aggregate_id: str, event: Event) -> None:
        assert type(event) in aggregate.events
        self.work["events"] += 1
        key = (aggregate.name, aggregate_id)
        before = self.states.get(key)
        self._before.setdefault(key, before)
        self.states[key] = after = aggregate.evolve(before, event)
        for name, change in aggregate.counters(event, before, after):
            self.work["counter changes"] += 1
            self.counters[name] += change
            self._moved[name] += change
        self.log.append(Written(aggregate.name, aggregate_id, event))

    def count(self, key: str) -> int:
        self.work["counts"] += 1
        return self.counters[key]

    def view(self, name: str) -> Any:
        raise KeyError(name)

    def send(self, topic: str, message_type: str, routing_id: str, payload: dict[str, Any]) -> None:
        raise AssertionError(f"nothing should be sent to {topic}")

    def folded(self) -> dict[Key, Any]:
        """The states that the log alone gives, read back from its stored form."""
        states: dict[Key, Any] = {}
        for written in self.log:
            aggregate = self._aggregates[written.aggregate]
            key = (written.aggregate, written.aggregate_id)
            payload = msgspec.to_builtins(written.event, builtin_types=(bytes,))
            event = event_of(aggregate, type(written.event).__name__, payload)
            states[key] = aggregate.evolve(states.get(key), event)
        return states

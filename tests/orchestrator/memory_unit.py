"""A unit of work in memory, faithful to the kernel: real decide, evolve, counters, timers, queues, message ids."""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import msgspec

from neural_hive.aggregates.aggregate import Aggregate, Command, Event, event_of
from neural_hive.streams.kernel.broadcast import Snapshot
from neural_hive.streams.kernel.system import System

S = TypeVar("S")
Key = tuple[str, str]


class Written(msgspec.Struct, frozen=True):
    """One event of the log."""

    aggregate: str
    aggregate_id: str
    event: Any
    routing_id: str


class Sent(msgspec.Struct, frozen=True):
    """A message to another system."""

    topic: str
    message_type: str
    routing_id: str
    payload: dict[str, Any]
    message_id: str


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
        self.bytes_written = 0  # events, and each row that a message has changed
        self.repeats = 0
        self.sent: list[Sent] = []
        self.views: dict[str, Callable[[], Any]] = {}
        self.positions: dict[int, int] = {}  # of each view
        self.view_age_s = 0.0
        self.view_ages_s: dict[str, float] = {}  # of views that are older or newer than the others
        self.measured: Counter[str] = Counter()
        self._queues: dict[str, list[tuple[str, str]]] = {}
        self._routes: dict[Key, str] = {}
        self.sent_at = 0
        self.now = 1_700_000_000_000_000
        self.message_id = ""

    def handle(self, topic: str, message: Any, message_id: str, later_us: int = 1_000_000) -> list[Event]:
        """One message, whole or not at all; the events that it led to."""
        handler = self._system.inputs[topic].handlers[type(message).__name__]
        self.now += later_us
        self._routing_id = getattr(message, handler.route)
        return self._carry_out(handler.handle, message, message_id)

    def receive(self, sent: Sent) -> list[Event]:
        """A message that another system has sent."""
        message = self._system.inputs[sent.topic].handlers[sent.message_type].message
        return self.handle(sent.topic, msgspec.convert(sent.payload, message), sent.message_id, 1_000)

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
        self._routing_id = self._routes[timer.aggregate, timer.aggregate_id]
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
        start, sent = len(self.log), len(self.sent)
        try:
            handler(self, about)
        except Exception:
            self._undo(start)
            del self.sent[sent:]
            raise
        self.bytes_written += sum(len(msgspec.msgpack.encode(self.states[key])) for key in self._before)
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
        self._queues.clear()
        for (name, aggregate_id), state in self.states.items():
            self._move_places(self._aggregates[name], aggregate_id, None, state)

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
        self.bytes_written += len(msgspec.msgpack.encode(event))
        key = (aggregate.name, aggregate_id)
        before = self.states.get(key)
        self._before.setdefault(key, before)
        self.states[key] = after = aggregate.evolve(before, event)
        for name, change in aggregate.counters(event, before, after):
            self.work["counter changes"] += 1
            self.counters[name] += change
            self._moved[name] += change
        self._move_places(aggregate, aggregate_id, before, after)
        self._routes[key] = self._routing_id
        self.log.append(Written(aggregate.name, aggregate_id, event, self._routing_id))

    def _move_places(self, aggregate: Aggregate[Any], aggregate_id: str, before: Any, after: Any) -> None:
        old = aggregate.queues(before) if before is not None else {}
        for queue, place in old.items():
            standing = self._queues[queue]
            del standing[bisect_left(standing, (place, aggregate_id))]
        for queue, place in aggregate.queues(after).items():
            insort(self._queues.setdefault(queue, []), (place, aggregate_id))

    def count(self, key: str) -> int:
        self.work["counts"] += 1
        return self.counters[key]

    def first(self, queue: str, count: int = 1, start: str = "") -> list[str]:
        self.work["looks into queues"] += 1
        standing = self._queues.get(queue, [])
        at = bisect_left(standing, (start, ""))
        return [aggregate_id for _, aggregate_id in standing[at : at + count]]

    def turn_to(self, routing_id: str) -> None:
        self._routing_id = routing_id

    def measure(self, name: str, subject: str, seconds: float) -> None:
        assert seconds >= 0
        self.measured[name] += 1

    def view(self, name: str) -> Any:
        return Snapshot(self.views[name](), self.positions, self.view_ages_s.get(name, self.view_age_s))

    def send(self, topic: str, message_type: str, routing_id: str, payload: dict[str, Any]) -> None:
        self.work["messages"] += 1
        message_id = f"{self.message_id} {topic} {len(self.sent)}"
        self.sent.append(Sent(topic, message_type, routing_id, payload, message_id))

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

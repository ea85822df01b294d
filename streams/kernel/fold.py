"""What an event changes: the same code live and in recovery, so that the state is always the fold of the log."""

from bisect import bisect_left, insort
from collections.abc import Container, Iterator
from itertools import takewhile
from typing import Any

import msgspec

from neural_hive.aggregates.aggregate import Aggregate, Event
from neural_hive.streams.kernel.row_cache import ABSENT, RowCache
from neural_hive.streams.kernel.state import (
    CAUSE_BYTES,
    COUNTER,
    RECENT_CAUSES,
    ROW,
    Position,
    Row,
    Store,
    Timer,
    counter_key,
    queue_key,
    queue_prefix,
    row_key,
    timer_key,
)

CACHED_BYTES = 8 << 20
CACHED_QUEUES = 10_000
_RECENT_BYTES = RECENT_CAUSES * CAUSE_BYTES
NEVER = 1 << 62  # µs


class Route(msgspec.Struct, frozen=True):
    """What the events of one cause share beside the cause: where they go, and the trace that they belong to."""

    routing_id: str
    correlation_id: str
    trace_id: str


class Fold:
    """Rows, counters, timers and queues of one partition, with changes kept in memory until the log has them."""

    def __init__(
        self, aggregates: tuple[Aggregate[Any], ...], store: Store, cached_bytes: int = CACHED_BYTES
    ) -> None:
        """`cached_bytes`: of rows and counters, as they are stored."""
        self.store = store
        self.aggregates = {aggregate.name: aggregate for aggregate in aggregates}
        self._decoders = {
            aggregate.name: msgspec.msgpack.Decoder(Row[aggregate.state])  # type: ignore[name-defined]
            for aggregate in aggregates
        }
        self._timed = {a.name for a in aggregates if a.has_timers}
        self._queued = {a.name for a in aggregates if a.has_queues}
        self._cached = RowCache(cached_bytes)
        self._changed: dict[bytes, Any] = {}
        self._undo: dict[bytes, Any] = {}
        self._queues: dict[str, list[tuple[bytes, str]]] = {}  # those that were asked for, in order
        self.memory: dict[str, Any] = {}  # see Unit.memory
        self.loaded_bytes = 0  # of all rows so far: what is changed of them is kept until the next write
        self.next_due = next((timer.due for _, timer in store.timers()), NEVER)

    def row(self, aggregate: Aggregate[Any], key: bytes) -> Row[Any] | None:
        """The aggregate's row, with all changes so far; None if it has no events."""
        found = self._changed.get(key, ABSENT)
        if found is ABSENT:
            found = self._cached.get(key)
        if found is ABSENT:
            raw = self.store.get(key)
            found = self._decoders[aggregate.name].decode(raw) if raw is not None else None
            if raw is not None:
                self._cached.put(key, found, len(raw))
                self.loaded_bytes += len(raw)
        row: Row[Any] | None = found
        return row

    def count(self, key: bytes) -> int:
        """The value of a counter (`counter_key`), with all changes so far."""
        found = self._changed.get(key, ABSENT)
        if found is ABSENT:
            found = self._cached.get(key)
        if found is ABSENT:
            raw = self.store.get(key)
            found = msgspec.msgpack.decode(raw, type=int) if raw is not None else 0
            self._cached.put(key, found, len(raw or b""))
        value: int = found or 0
        return value

    def first(self, queue: str, count: int, start: str = "") -> list[str]:
        """The ids of the first `count` aggregates of a queue from a place on, with all changes so far."""
        standing, prefix = self._queues.get(queue), queue_prefix(queue)
        if standing is None:
            found: dict[bytes, Any] = dict(self.store.queue(queue))
            found |= {key: value for key, value in self._changed.items() if key.startswith(prefix)}
            standing = sorted((key, value) for key, value in found.items() if value is not None)
            self._queues[queue] = standing
        at = bisect_left(standing, (prefix + start.encode(),)) if start else 0
        return [aggregate_id for _, aggregate_id in standing[at : at + count]]

    def apply(
        self,
        aggregate: Aggregate[Any],
        aggregate_id: str,
        key: bytes,
        row: Row[Any] | None,
        event: Event,
        version: int,
        occurred_at: int,
        digest: bytes,
        cause: bytes,
        route: Route,
    ) -> Row[Any]:
        """Adds one event to `row`, which is the aggregate's row so far, and gives the next one.

        Moves the counters that the event moves, and the timers and queues that the new state implies. The row of what
        is over leaves the state.
        """
        if row is None:
            before, recent = None, cause
        else:
            before, recent = row.state, row.recent
            if recent[-CAUSE_BYTES:] != cause:
                recent = (recent + cause)[-_RECENT_BYTES:]
        after = aggregate.evolve(before, event)
        changed = Row(version, occurred_at, digest, recent, after)
        self.put(key, None if aggregate.is_over(after) else changed)
        for name, change in aggregate.counters(event, before, after):
            counter = counter_key(name)
            self.put(counter, self.count(counter) + change or None)
        if aggregate.name in self._timed:
            self._move_timers(aggregate, aggregate_id, before, after, route)
        if aggregate.name in self._queued:
            self.move_places(aggregate, aggregate_id, before, after)
        return changed

    def _move_timers(
        self, aggregate: Aggregate[Any], aggregate_id: str, before: Any, after: Any, route: Route
    ) -> None:
        old = aggregate.timers(before) if before is not None else {}
        new = aggregate.timers(after)
        if old == new:
            return
        parts = (route.routing_id, route.correlation_id, route.trace_id)
        for name, due in old.items():
            if new.get(name) != due:
                self.put(timer_key(Timer(aggregate.name, aggregate_id, name, due, *parts)), None)
        for name, due in new.items():
            if old.get(name) != due:
                self.put_timer(Timer(aggregate.name, aggregate_id, name, due, *parts))

    def put_timer(self, timer: Timer) -> None:
        """Sets a timer."""
        self.put(timer_key(timer), timer)
        self.next_due = min(self.next_due, timer.due)

    def move_places(self, aggregate: Aggregate[Any], aggregate_id: str, before: Any, after: Any) -> None:
        """Moves an aggregate in the queues that its state implies, from one state to another; None: it has none."""
        old = aggregate.queues(before) if before is not None else {}
        new = aggregate.queues(after) if after is not None else {}
        for queue, place in old.items():
            if new.get(queue) != place:
                key = queue_key(queue, place, aggregate_id)
                self.put(key, None)
                if (standing := self._queues.get(queue)) is not None:
                    del standing[bisect_left(standing, (key, aggregate_id))]
        for queue, place in new.items():
            if old.get(queue) != place:
                key = queue_key(queue, place, aggregate_id)
                self.put(key, aggregate_id)
                if (standing := self._queues.get(queue)) is not None:
                    insort(standing, (key, aggregate_id))

    def put(self, key: bytes, value: Any) -> None:
        """Changes a row, counter, timer or place in a queue; None: there is none any more."""
        if key not in self._undo:
            self._undo[key] = self._changed.get(key, ABSENT)
        self._changed[key] = value

    def keep(self) -> None:
        """The record's changes stand: the next `undo` goes back to here."""
        self._undo.clear()

    def undo(self) -> None:
        """Takes back all changes since the last `keep`: the record is refused."""
        self._queues.clear()  # refusals are rare, and the store and the changes have it all
        for key, value in self._undo.items():
            if value is ABSENT:
                del self._changed[key]
            else:
                self._changed[key] = value
        self._undo.clear()

    def due_timers(self, until: int) -> Iterator[Timer]:
        """The committed timers due at or before a time (µs), the earliest first. Use them up between transactions."""
        return takewhile(lambda timer: timer.due <= until, (timer for _, timer in self.store.timers()))

    def is_set(self, timer: Timer) -> bool:
        """Whether the timer still stands, with all changes so far."""
        key = timer_key(timer)
        if key in self._changed:
            return self._changed[key] is not None
        return self.store.get(key) is not None

    def write(self, position: Position) -> None:
        """Writes all changes with the position that they lead to. Call after the log has the events."""
        encode = msgspec.msgpack.encode
        stored = {k: None if v is None else encode(v) for k, v in self._changed.items()}
        self.store.write(stored, position)
        for key, value in self._changed.items():
            if key[:1] in (ROW, COUNTER):
                self._cached.put(key, value, len(stored[key] or b""))
        if len(self._queues) > CACHED_QUEUES:
            self._queues.clear()
        self._changed.clear()
        self._undo.clear()

    def rescan_timers(self, passed_over: Container[Timer] = ()) -> None:
        """Finds the earliest timer again after some were fired or dropped."""
        self.next_due = next((t.due for _, t in self.store.timers() if t not in passed_over), NEVER)

    @property
    def changes(self) -> int:
        """How many keys wait to be written."""
        return len(self._changed)


__all__ = ["NEVER", "Fold", "Route", "row_key"]

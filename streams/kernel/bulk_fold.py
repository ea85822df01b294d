"""Folds many events at once, for who needs no state between them: recovery, and who makes a state anew.

The same functions of the aggregates as in `Fold.apply`, and the same state at the end. But rows, counters, timers and
places in queues are brought into the fold once for all events of an aggregate: what appears and vanishes between is
never made.
"""

from typing import Any, Final

from neural_hive.aggregates.aggregate import Aggregate, Event
from neural_hive.schemas.envelope import NO_HASH
from neural_hive.streams.kernel.fold import Fold, Route
from neural_hive.streams.kernel.state import (
    CAUSE_BYTES,
    RECENT_CAUSES,
    Row,
    Timer,
    counter_key,
    row_key,
    timer_key,
)
from neural_hive.streams.kernel.unit import cause_digest

_RECENT_BYTES: Final = RECENT_CAUSES * CAUSE_BYTES
ROWS_MAX: Final = 2_000  # aggregates that wait to be brought into the fold


class Open:
    """An aggregate with events that the fold does not have yet."""

    __slots__ = (
        "aggregate",
        "aggregate_id",
        "before",
        "due",
        "due_before",
        "has_timers",
        "hash",
        "is_known",
        "key",
        "occurred_at",
        "recent",
        "routes",
        "state",
        "version",
    )

    def __init__(self, aggregate: Aggregate[Any], aggregate_id: str, fold: Fold) -> None:
        self.aggregate, self.aggregate_id = aggregate, aggregate_id
        self.key = row_key(aggregate.name, aggregate_id)
        row = fold.row(aggregate, self.key)
        self.state: Any = None
        self.forget()
        if row is not None:
            self.version, self.occurred_at, self.hash = row.version, row.occurred_at, row.hash
            self.recent, self.state = row.recent, row.state
        self.before = self.state
        self.is_known = self.before is not None
        self.has_timers = aggregate.has_timers
        self.due_before = aggregate.timers(self.before) if self.has_timers and self.before is not None else {}
        self.due = self.due_before
        self.routes: dict[str, Route] = {}  # of timers that were set meanwhile

    def forget(self) -> None:
        """It has no row (any more)."""
        self.version, self.occurred_at, self.hash, self.recent = 0, 0, NO_HASH, b""
        self.state = None


class BulkFold:
    """Events on their way into a fold. Who looks at the fold calls `settle` before."""

    def __init__(self, fold: Fold) -> None:
        self.fold = fold
        self._open: dict[tuple[str, str], Open] = {}
        self._counts: dict[str, int] = {}
        self._cause: tuple[str, bytes] = ("", cause_digest(""))

    def open(self, aggregate: Aggregate[Any], aggregate_id: str) -> Open:
        """An aggregate as the events so far have left it; give it to `take`."""
        found = self._open.get((aggregate.name, aggregate_id))
        if found is None:
            if len(self._open) >= ROWS_MAX:
                self.settle()
            found = self._open[aggregate.name, aggregate_id] = Open(aggregate, aggregate_id, self.fold)
        return found

    def take(
        self,
        of: Open,
        event: Event,
        version: int,
        occurred_at: int,
        digest: bytes,
        causation_id: str,
        key: bytes,
        correlation_id: str,
        trace_id: str,
    ) -> None:
        """Adds an aggregate's next event; `key`: its record's, which is its routing id."""
        cause_id, cause = self._cause
        if cause_id != causation_id:
            cause = cause_digest(causation_id)
            self._cause = causation_id, cause
        aggregate, before = of.aggregate, of.state
        of.state = after = aggregate.evolve(before, event)
        of.version, of.occurred_at, of.hash = version, occurred_at, digest
        of.is_known = True
        if of.recent[-CAUSE_BYTES:] != cause:
            of.recent = (of.recent + cause)[-_RECENT_BYTES:]
        counts = self._counts
        for name, change in aggregate.counters(event, before, after):
            counts[name] = counts.get(name, 0) + change
        if of.has_timers and (due := aggregate.timers(after)) != of.due:
            route = Route(key.decode(), correlation_id, trace_id)
            for name, at in due.items():
                if of.due.get(name) != at:
                    of.routes[name] = route
            of.due = due
        if aggregate.is_over(after):
            of.forget()

    def settle(self) -> None:
        """Brings all of it into the fold, for good."""
        fold = self.fold
        for of in self._open.values():
            if of.is_known:  # else its first event could not be folded
                row = Row(of.version, of.occurred_at, of.hash, of.recent, of.state)
                fold.put(of.key, None if of.state is None else row)
                self._settle_timers(of)
                if of.aggregate.has_queues:
                    fold.move_places(of.aggregate, of.aggregate_id, of.before, of.state)
        for name, change in self._counts.items():
            if change:
                key = counter_key(name)
                fold.put(key, fold.count(key) + change or None)
        fold.keep()
        self._open.clear()
        self._counts.clear()

    def _settle_timers(self, of: Open) -> None:
        name = of.aggregate.name
        for timer, due in of.due_before.items():
            if of.due.get(timer) != due:
                self.fold.put(timer_key(Timer(name, of.aggregate_id, timer, due, "", "", "")), None)
        for timer, route in of.routes.items():
            if (set_for := of.due.get(timer)) is not None:
                parts = (route.routing_id, route.correlation_id, route.trace_id)
                self.fold.put_timer(Timer(name, of.aggregate_id, timer, set_for, *parts))


__all__ = ["BulkFold", "Open"]

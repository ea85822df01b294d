"""The registry on the real fold, store and codec, without a broker: messages in, events and answers out."""

import tempfile
from pathlib import Path
from typing import Any

import msgspec

from neural_hive.aggregates.aggregate import Aggregate, event_of
from neural_hive.schemas.codec import EventEncoder, decode
from neural_hive.schemas.envelope import Envelope
from neural_hive.streams.kernel.fold import Fold, Route
from neural_hive.streams.kernel.state import Position, Store, row_key
from neural_hive.streams.kernel.system import Committed, System
from neural_hive.streams.kernel.unit import Cause, Output, Work, cause_digest
from neural_hive.streams.registry.messages import ANSWERS, COMMANDS

SECOND = 1_000_000


class Viewed:
    """An event of our own, as a view takes it."""

    def __init__(self, output: Output) -> None:
        self._value = output.value

    def value(self) -> bytes:
        return self._value


class KernelUnit:
    """One partition of a system: each message is one transaction, as is each timer."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.now = 1_700_000_000 * SECOND
        self.log: list[Output] = []  # events, in order
        self.answers: list[tuple[str, dict[str, Any]]] = []
        self._folder = tempfile.TemporaryDirectory()
        self.store = Store(Path(self._folder.name) / "state")
        self.fold = Fold(system.all_aggregates, self.store)
        self.position = Position("v", 0, {})
        self._encoders = {
            event.__name__: EventEncoder(event.__name__, aggregate.name, "logic", system.name)
            for aggregate in system.all_aggregates
            for event in aggregate.events
        }
        self._count = 0

    def handle(self, message: Any, message_id: str = "", sent_at: int = 0) -> list[Any]:
        """One message, whole or not at all (then it raises); the events that it led to."""
        self._count += 1
        handler = self.system.inputs[COMMANDS].handlers[type(message).__name__].handle
        message_id = message_id or f"message {self._count}"
        return self._carry_out(handler, message, message_id, self.now, COMMANDS, sent_at)

    def pass_time(self, seconds: float) -> list[Any]:
        """Fires every timer that is due until then, each at its time."""
        until, events = self.now + int(seconds * SECOND), []
        while timer := next(self.fold.due_timers(until), None):
            handler = self.system.timers[timer.aggregate, timer.name]
            message_id = f"{timer.aggregate_id} {timer.name} {timer.due}"
            events += self._carry_out(handler, timer.aggregate_id, message_id, timer.due, "", 0)
            assert not self.fold.is_set(timer), "the handler left the timer as it was"
        self.now = until
        return events

    def _carry_out(
        self, handler: Any, about: Any, message_id: str, now: int, topic: str, sent_at: int
    ) -> list[Any]:
        work = Work(
            self.fold, 0, self._encoders, {}, {ANSWERS: 3}, self.system.name, self.position.sequence, True
        )
        route = Route(getattr(about, "agent_id", "a"), "c", "0" * 32)
        work.begin(Cause(message_id, cause_digest(message_id), route, now, topic, 0, self._count, sent_at))
        try:
            handler(work, about)
        except Exception:
            work.refuse()
            assert not work.outputs and not work.observed
            raise
        self.position = msgspec.structs.replace(self.position, sequence=work.sequence)
        self.fold.write(self.position)
        self.log += [output for output in work.outputs if output.hash is not None]
        self.answers += [_answer(output) for output in work.outputs if output.hash is None]
        for observer in self.system.observers:
            observer(Committed(0, tuple(work.observed), tuple(work.measured)))
        return [observed.event for observed in work.observed]

    def state(self, aggregate: Aggregate[Any], aggregate_id: str) -> Any:
        """The state of an aggregate; None if it has no events."""
        row = self.fold.row(aggregate, row_key(aggregate.name, aggregate_id))
        return row.state if row is not None else None

    def refolded_rows(self) -> dict[bytes, Any]:
        """All rows, counters, timers and places that the log's bytes alone give."""
        with tempfile.TemporaryDirectory() as folder:
            store = Store(Path(folder))
            fold = Fold(self.system.all_aggregates, store)
            for output in self.log:
                _fold_in(fold, output)
            fold.write(self.position)
            rows = _rows(store)
            store.close()
        return rows

    def rows(self) -> dict[bytes, Any]:
        """The same, as the partition has kept them."""
        return _rows(self.store)

    def close(self) -> None:
        """Removes the state."""
        self.store.close()
        self._folder.cleanup()


def _answer(output: Output) -> tuple[str, dict[str, Any]]:
    assert output.topic == ANSWERS
    decoded = decode(output.value, "message")
    assert output.key.decode() == decoded.payload["workflow_id"], "whoever asked must be able to read it"
    return decoded.schema.name, decoded.payload


def _fold_in(fold: Fold, output: Output) -> None:
    event = decode(output.value, "event")
    head = event.head
    assert isinstance(head, Envelope) and output.hash is not None
    aggregate = fold.aggregates[head.aggregate_type]
    key = row_key(aggregate.name, head.aggregate_id)
    route = Route(output.key.decode(), head.correlation_id, head.trace_id)
    fold.apply(
        aggregate,
        head.aggregate_id,
        key,
        fold.row(aggregate, key),
        event_of(aggregate, head.event_type, event.payload),
        head.version,
        head.occurred_at,
        output.hash,
        cause_digest(head.causation_id),
        route,
    )
    fold.keep()


def _rows(store: Store) -> dict[bytes, Any]:
    return {key: msgspec.msgpack.decode(value) for key, value in store.rows()}

"""Counts the events of a history for SLOs, by the handlers of the system that counts them live."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from neural_hive.aggregates.aggregate import Aggregate, Command, Event
from neural_hive.aggregates.burn import Counts
from neural_hive.aggregates.metric_window import MetricWindow
from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.slo import Slo
from neural_hive.connectors.record import Record
from neural_hive.schemas.envelope import Envelope
from neural_hive.streams.kernel.broadcast import Snapshot
from neural_hive.streams.kernel.sums import Sum
from neural_hive.streams.kernel.system import Happened
from neural_hive.streams.sla.messages import MEASUREMENTS
from neural_hive.streams.sli import system as sli
from neural_hive.streams.sli.facts import TICKET_ENDS, WORKFLOW_ENDS
from neural_hive.streams.sli.index import Indexes
from neural_hive.streams.sli.telemetry import count_window

TYPES: Final = frozenset({"TicketCreated", "WorkflowStarted", *TICKET_ENDS, *WORKFLOW_ENDS})
TOGETHER_US: Final = 10_000_000  # a look falls on a multiple of it: what comes between two can be said in one


class Said(msgspec.Struct, frozen=True):
    """Events of an SLO that were counted, and when that was said."""

    at: int  # µs
    slo_id: str
    dimension: str
    counts: tuple[tuple[int, Counts], ...]  # by minute


class Tally:
    """What was counted, by the times between which no budget is looked at."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, str, str], tuple[int, dict[int, Counts]]] = {}

    def add(self, at: int, slo_id: str, dimension: str, counts: Sequence[tuple[int, Counts]]) -> None:
        """Some events, that were told of at a time, µs."""
        key = at // TOGETHER_US, slo_id, dimension
        last, minutes = self._found.get(key, (0, {}))
        for minute, count in counts:
            minutes[minute] = minutes.get(minute, Counts()) + count
        self._found[key] = max(last, at), minutes

    def said(self) -> Iterator[Said]:
        """All of it, in the order of its time."""
        found = ((at, *key, minutes) for key, (at, minutes) in self._found.items())
        for at, _, slo_id, dimension, minutes in sorted(found, key=lambda each: each[:4]):
            yield Said(at, slo_id, dimension, tuple(sorted(minutes.items(), key=lambda each: each[0])))


class Counter:
    """Counts for some SLOs. It implements what the handlers use of `Unit`; what they send is added up."""

    def __init__(self, slos: Mapping[str, Slo]) -> None:
        self.tally = Tally()
        self.now = 0
        self.memory: dict[str, Any] = {}
        self._system = sli.build()  # one of its own: it keeps in mind which SLOs it has seen last
        self._views = {name: Snapshot(dict(slos), {}, 0.0) for name in self._system.views}
        self._windows = Indexes().of(dict(slos), Source.TELEMETRY)
        self._states: dict[tuple[str, str], Any] = {}

    def hear(self, record: Record, head: Envelope, payload: dict[str, Any]) -> None:
        """An event of a source, as it lies in the log; of a partition in their order."""
        self.now = record.timestamp_ms * 1_000
        handler = self._system.inputs[record.topic].events
        assert handler is not None, "only sources of events are read"
        handler(self, Happened(record, (record.key or b"").decode(), head, payload))

    def hear_window(self, record: Record, window: MetricWindow) -> None:
        """A metric window that counts: `sli` has decided that when it came."""
        self.now = record.timestamp_ms * 1_000
        count_window(self, record, window, self._windows)  # type: ignore[arg-type]

    def view(self, name: str) -> Any:
        """See Unit.view."""
        return self._views[name]

    def load(self, aggregate: Aggregate[Any], aggregate_id: str) -> Any:
        """See Unit.load."""
        return self._states.get((aggregate.name, aggregate_id))

    def execute(self, aggregate: Aggregate[Any], aggregate_id: str, command: Command) -> list[Event]:
        """See Unit.execute."""
        key = aggregate.name, aggregate_id
        events: list[Event] = aggregate.decide(self._states.get(key), command)
        for event in events:
            self._states[key] = aggregate.evolve(self._states.get(key), event)
        return events

    def sum_up(self, kind: Sum, key: tuple[Any, ...], more: Any) -> None:
        """See Unit.sum_up: each is told for itself here."""
        self.send(kind.topic, kind.message_type, kind.route(key), kind.payload(key, kind.add(None, more)))

    def send(self, topic: str, message_type: str, routing_id: str, payload: dict[str, Any]) -> None:
        """See Unit.send."""
        if topic == MEASUREMENTS:
            counts = [(each["at"], Counts(each["good"], each["valid"])) for each in payload["counts"]]
            self.tally.add(self.now, payload["slo_id"], payload["dimension"], counts)


SOURCES: Final = sli.TOPICS
COUNTED: Final = frozenset({*SOURCES.values(), Source.TELEMETRY})  # by what stands in the log

"""What a log holds of SLOs: definitions, words of people, what was counted, what became of it, what was deployed.

Tickets and workflows are read as `sli` reads them, metric windows as who counts history does: by what `sli` has noted.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Final

import msgspec

from neural_hive.aggregates.aggregate import Aggregate, event_of
from neural_hive.aggregates.budget import (
    BUDGET_AGGREGATE,
    AdjustmentKind,
    BudgetAdjusted,
    BudgetOpened,
    SliCounted,
    budget_id_of,
)
from neural_hive.aggregates.freeze import BY_HAND, FREEZE, FreezeActivated, FreezeResolved, freeze_id_of
from neural_hive.aggregates.freeze_policy import FREEZE_POLICY, FreezePolicy
from neural_hive.aggregates.metric_window import TOPIC
from neural_hive.aggregates.slo import SLO, Slo
from neural_hive.aggregates.violation import VIOLATION
from neural_hive.connectors.record import Record
from neural_hive.replay.reader import LogSource
from neural_hive.replay.scan import ranges_of
from neural_hive.replay.slos import deploys
from neural_hive.replay.slos.counting import SOURCES, TYPES, Counter, Said, Tally
from neural_hive.replay.slos.deploys import Deploys
from neural_hive.replay.slos.outcome import Collector, Outcome
from neural_hive.replay.slos.run import Word
from neural_hive.schemas.codec import BadRecord, decode
from neural_hive.schemas.envelope import Envelope
from neural_hive.streams.kernel.reading import MessageReader
from neural_hive.streams.sla.messages import AdjustBudget, FreezeByHand, ResolveFreeze
from neural_hive.streams.sli_history.windows import Windows

_SLA_TOPICS: Final = (SLO.topic, BUDGET_AGGREGATE.topic, FREEZE.topic, VIOLATION.topic)
_TICKETS: Final = "execution.tickets"
Place = tuple[str, str, int]  # SLO, dimension and measure of a budget


class Past(msgspec.Struct):
    """What the calculator's own events say."""

    slos: dict[str, Slo] = {}
    policies: dict[str, FreezePolicy] = {}
    words: list[Word] = []
    measured: dict[str, dict[int, Tally]] = {}  # what was counted live: by SLO and measure
    outcome: Outcome = msgspec.field(default_factory=Outcome)
    first_at: int = 0  # append time, µs; 0: there is nothing


class Events(msgspec.Struct):
    """What the events of tickets and workflows say."""

    deploys: Deploys
    first_at: int = 0


class Happened(msgspec.Struct, frozen=True):
    """One event."""

    record: Record
    head: Envelope
    payload: dict[str, Any]

    @property
    def appended_at(self) -> int:
        """In µs."""
        return self.record.timestamp_ms * 1_000


def past_of(source: LogSource, until: int) -> Past:
    """Reads the calculator's events, up to a time in µs.

    Raises what the source raises; LookupError: a newer build wrote an event.
    """
    past, places = Past(), dict[str, Place]()
    freezes: dict[str, tuple[str, str]] = {}
    collector = Collector()
    states: dict[tuple[str, str], Any] = {}
    for topic in _SLA_TOPICS:
        for happened in _events(source, topic, until, None):
            past.first_at = _earlier(past.first_at, happened.appended_at)
            collector.hear(happened.head, happened.payload)
            match happened.head.aggregate_type:
                case SLO.name:
                    past.slos[happened.head.aggregate_id] = _folded(states, SLO, happened)
                case FREEZE_POLICY.name:
                    past.policies[happened.head.aggregate_id] = _folded(states, FREEZE_POLICY, happened)
                case BUDGET_AGGREGATE.name:
                    _budget(past, places, _event(BUDGET_AGGREGATE, happened))
                case FREEZE.name:
                    _freeze(past, places, freezes, _event(FREEZE, happened))
                case _:
                    continue
    past.outcome = collector.end(until)
    past.slos = {name: slo for name, slo in past.slos.items() if not slo.is_removed}
    past.policies = {name: found for name, found in past.policies.items() if not found.is_removed}
    return past


def _budget(past: Past, places: dict[str, Place], event: Any) -> None:
    match event:
        case BudgetOpened():
            places[event.budget_id] = event.slo_id, event.dimension, event.measure
            past.measured.setdefault(event.slo_id, {}).setdefault(event.measure, Tally())
        case SliCounted():
            slo_id, dimension, measure = places[event.budget_id]
            counts = [(each.at, each.counts) for each in event.counts]
            past.measured[slo_id][measure].add(event.counted_at, slo_id, dimension, counts)
        case BudgetAdjusted():
            slo_id, dimension, _ = places[event.budget_id]
            is_lifted = event.kind is AdjustmentKind.LIFT
            times = (0, 0) if is_lifted else (event.starts_at, event.ends_at)
            about = (
                slo_id,
                event.adjustment_id,
                event.kind,
                *times,
                event.reason,
                dimension,
                event.good,
                event.valid,
            )
            past.words.append(Word(event.adjusted_at, slo_id, AdjustBudget(*about)))
        case _:
            return


def _freeze(past: Past, places: dict[str, Place], freezes: dict[str, tuple[str, str]], event: Any) -> None:
    """What people have frozen, and ended. A freeze has another id if its budget has."""
    match event:
        case FreezeActivated():
            if event.budget_id == BY_HAND:
                freezes[event.freeze_id] = event.freeze_id, event.policy_id
                by_hand = FreezeByHand(event.policy_id, event.reason)
                past.words.append(Word(event.activated_at, event.policy_id, by_hand))
            else:
                slo_id, dimension, _ = places[event.budget_id]
                ours = freeze_id_of(event.policy_id, budget_id_of(slo_id, 1, dimension))
                freezes[event.freeze_id] = ours, slo_id
        case FreezeResolved() if event.by_hand:
            freeze_id, routing_id = freezes[event.freeze_id]
            ended = ResolveFreeze(freeze_id, routing_id, event.reason)
            past.words.append(Word(event.resolved_at, routing_id, ended))
        case _:
            return


def events_of(source: LogSource, until: int, counters: Sequence[Counter]) -> Events:
    """Reads what tickets and workflows have done up to a time in µs, and lets it be counted."""
    found = Events(Deploys())
    for topic in SOURCES:
        for happened in _events(source, topic, until, TYPES | deploys.TYPES):
            found.first_at = _earlier(found.first_at, happened.appended_at)
            if topic == _TICKETS and happened.head.event_type in deploys.TYPES:
                found.deploys.hear(happened.head, happened.payload)
            if happened.head.event_type in TYPES:
                for counter in counters:
                    counter.hear(happened.record, happened.head, happened.payload)
    return found


def windows_of(source: LogSource, until: int, counters: Sequence[Counter], read: MessageReader) -> int:
    """Lets the metric windows be counted that came up to a time and count; says when the first one came. Both in µs."""
    first_at = 0
    for partition, (first, end) in sorted(ranges_of(source, TOPIC).items()):
        part, windows = _Part(source, partition), Windows(read)
        with windows.beside(part):
            for record in part.read(TOPIC, first, end):
                if record.timestamp_ms * 1_000 > until:
                    break
                if window := windows.read(record):
                    first_at = _earlier(first_at, record.timestamp_ms * 1_000)
                    for counter in counters:
                        counter.hear_window(record, window)
    return first_at


class _Part:
    """See Readable: one partition of a source."""

    def __init__(self, source: LogSource, partition: int) -> None:
        self._source, self.partition = source, partition

    def range(self, topic: str) -> tuple[int, int]:
        """See Readable.range."""
        return ranges_of(self._source, topic).get(self.partition, (0, 0))

    def read(self, topic: str, first: int, end: int) -> Iterator[Record]:
        """See Readable.read."""
        return chain.from_iterable(self._source.batches(topic, self.partition, first, end))


def said_of(past: Past, slo_id: str) -> list[Said]:
    """What was counted live of an SLO, by its newest way of measuring."""
    tallies = past.measured.get(slo_id)
    return list(tallies[max(tallies)].said()) if tallies else []


def _events(source: LogSource, topic: str, until: int, types: frozenset[str] | None) -> Iterator[Happened]:
    """The events of a topic before a time, each partition in its order; of two for one place the first counts."""
    wanted = None if types is None else {name.encode() for name in types}
    for partition, (first, end) in sorted(ranges_of(source, topic).items()):
        last: defaultdict[str, int] = defaultdict(int)
        for batch in source.batches(topic, partition, first, end):
            for record in batch:
                if record.timestamp_ms * 1_000 > until:
                    break
                kind = dict(record.headers).get("event_type")
                if wanted is not None and kind is not None and kind not in wanted:
                    continue
                happened = _read(record)
                if happened is not None and happened.head.sequence > last[happened.head.producer]:
                    last[happened.head.producer] = happened.head.sequence
                    yield happened


def _read(record: Record) -> Happened | None:
    try:
        decoded = decode(record.value or b"", "event")
    except BadRecord:
        return None
    assert isinstance(decoded.head, Envelope)
    return Happened(record, decoded.head, decoded.payload)


def _folded(states: dict[tuple[str, str], Any], aggregate: Aggregate[Any], happened: Happened) -> Any:
    key = aggregate.name, happened.head.aggregate_id
    states[key] = aggregate.evolve(states.get(key), _event(aggregate, happened))
    return states[key]


def _event(aggregate: Aggregate[Any], happened: Happened) -> Any:
    return event_of(aggregate, happened.head.event_type, happened.payload)


def _earlier(first: int, at: int) -> int:
    return min(first, at) if first else at

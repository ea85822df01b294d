"""What happened to one aggregate, and what it was at a time or version: its events, and the fold of them."""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any

import msgspec

from neural_hive.aggregates.aggregate import Aggregate, event_of
from neural_hive.connectors.kafka_log import Record
from neural_hive.replay.reader import LogSource
from neural_hive.schemas.catalogue import UnknownSchema
from neural_hive.schemas.codec import decode
from neural_hive.schemas.envelope import Envelope


class Happening(msgspec.Struct, frozen=True):
    """One event of an aggregate, and where it lies."""

    place: str  # topic:partition:offset
    appended_at: int  # append time, µs
    hash: str  # SHA-256 of the event, hex
    envelope: Envelope
    payload: dict[str, Any]


class NoSuchAggregate(LookupError):
    """Nothing in the log bears this id, up to the time or version that was asked for."""


class NewerEvent(LookupError):
    """A newer build wrote an event that may be of the aggregate: nothing is guessed."""

    def __init__(self, place: str, why: object) -> None:
        super().__init__(f"{place}: {why}: a newer build wrote it, ask with that one")


class Moment(msgspec.Struct, frozen=True):
    """Up to when to look; without both, up to now."""

    at: int | None = None  # µs; per partition, all before the first record appended after it
    version: int | None = None


NOW = Moment()


def history(
    source: LogSource, topics: Iterable[str], aggregate_id: str, moment: Moment = NOW
) -> list[Happening]:
    """The aggregate's events in their order. Raises NoSuchAggregate, NewerEvent; and what the source raises."""
    needle = aggregate_id.encode()
    found = [
        happening
        for topic in topics
        for partition, bounds in source.ranges(topic).items()
        for record in _until(_records(source, topic, partition, *bounds), moment.at)
        if record.value is not None and needle in record.value
        if (happening := _read(record, aggregate_id)) is not None
    ]
    found.sort(key=lambda h: h.envelope.version)
    if moment.version is not None:
        found = [h for h in found if h.envelope.version <= moment.version]
    if not found:
        raise NoSuchAggregate(f"no event of {aggregate_id} up to then: see its id with `neural-hive query`")
    return found


def missing_before(happenings: Sequence[Happening]) -> int:
    """How many events before the first one the source does not have: without them the fold is wrong."""
    return happenings[0].envelope.version - 1


def state(happenings: Iterable[Happening], aggregates: Iterable[Aggregate[Any]]) -> Any:
    """What the aggregate is after these events, folded with the code that runs live.

    Raises NewerEvent.
    """
    by_name = {aggregate.name: aggregate for aggregate in aggregates}
    current = None
    for happening in happenings:
        try:
            aggregate = by_name[happening.envelope.aggregate_type]
            event = event_of(aggregate, happening.envelope.event_type, happening.payload)
        except LookupError as error:
            raise NewerEvent(happening.place, error) from error
        current = aggregate.evolve(current, event)
    return current


def _records(source: LogSource, topic: str, partition: int, first: int, end: int) -> Iterator[Record]:
    for batch in source.batches(topic, partition, first, end):
        yield from batch


def _until(records: Iterator[Record], at: int | None) -> Iterator[Record]:
    for record in records:
        if at is not None and record.timestamp_ms * 1000 > at:
            return
        yield record


def _read(record: Record, aggregate_id: str) -> Happening | None:
    value, place = record.value or b"", f"{record.topic}:{record.partition}:{record.offset}"
    try:
        decoded = decode(value, "event")
    except UnknownSchema as error:
        raise NewerEvent(place, error) from error
    head = decoded.head
    assert isinstance(head, Envelope)
    if head.aggregate_id != aggregate_id:
        return None
    return Happening(place, record.timestamp_ms * 1000, sha256(value).hexdigest(), head, decoded.payload)

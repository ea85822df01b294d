"""A moment: a time, a version of one aggregate, or a record; and which part of the log it has before it."""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from neural_hive.connectors.kafka_log import Record
from neural_hive.replay.envelopes import EnvelopeReader
from neural_hive.replay.reader import LogSource
from neural_hive.schemas.catalogue import UnknownSchema
from neural_hive.schemas.codec import BadRecord

FORMS: Final = (
    "a time (2026-05-04T13:00:00, UTC unless it says), a version (v3), or a record (TOPIC:PARTITION:OFFSET)"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_VERSION: Final = re.compile(r"v([1-9][0-9]{0,17})")
_PLACE: Final = re.compile(r"([A-Za-z0-9._-]+):([0-9]{1,9}):([0-9]{1,18})")

Gate = Callable[[Record], bool]


class BadMoment(ValueError):
    """A moment that cannot be read, or that the log does not have; the text says why."""


class Place(msgspec.Struct, frozen=True, order=True):
    """Where a record lies."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}:{self.partition}:{self.offset}"


class Moment(msgspec.Struct, frozen=True):
    """Up to when to look; without all three, up to now."""

    at: int | None = None  # µs; per partition, all before the first record appended after it
    version: int | None = None  # of one aggregate
    place: Place | None = (
        None  # an event, with it; of other writers and partitions, what was there when it came
    )


NOW: Final = Moment()


class Cut(msgspec.Struct, frozen=True):
    """A moment as it divides the log: of each partition it has the first records, up to one."""

    at: int | None = None  # µs
    place: Place | None = None
    producer: str = (
        ""  # who wrote the event at the place: its events, of all topics, are numbered by `sequence`
    )
    sequence: int = 0

    def gate(self, topic: str, partition: int) -> Gate:
        """Says of the records of a partition, one after the other, whether they are before the moment.

        After the first that is not, none is. Raises BadRecord, UnknownSchema: what the writer of the place wrote.
        """
        place = self.place
        if place is None or place.partition != partition:
            return self._was_there
        if place.topic == topic:
            return lambda record: record.offset <= place.offset
        read = EnvelopeReader().read

        def is_before(record: Record) -> bool:
            lead, rest = read(record.value or b"")
            if lead.producer != self.producer:
                return self._was_there(record)
            return bool(rest["sequence"] <= self.sequence)

        return is_before

    def _was_there(self, record: Record) -> bool:
        return self.at is None or record.timestamp_ms * 1_000 <= self.at


def moment_of(text: str) -> Moment:
    """Reads a moment. Raises BadMoment."""
    if text == "now":
        return NOW
    if found := _VERSION.fullmatch(text):
        return Moment(version=int(found[1]))
    try:
        return Moment(at=time_of(text))
    except BadMoment:
        place = place_of(text)
    if place is None:
        raise BadMoment(f"{text!r} is no moment: give {FORMS}")
    return Moment(place=place)


def time_of(text: str) -> int:
    """A time in ISO 8601, in µs since 1970; UTC unless it says otherwise. Raises BadMoment."""
    try:
        at = datetime.fromisoformat(text)
        return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError):
        raise BadMoment(f"{text!r} is not a time: write it as 2026-05-04T13:00:00 or with +02:00") from None


def place_of(text: str) -> Place | None:
    """The place of a record, written as TOPIC:PARTITION:OFFSET; None if it is not written so."""
    found = _PLACE.fullmatch(text)
    return Place(found[1], int(found[2]), int(found[3])) if found else None


def cut_of(source: LogSource, topics: Iterable[str], moment: Moment) -> Cut:
    """Where a moment divides the log. `topics`: those that events stand in.

    Raises BadMoment: no event is there; and what the source raises.
    """
    if moment.place is None:
        return Cut(moment.at)
    place, known = moment.place, sorted(topics)
    if place.topic not in known:
        raise BadMoment(f"{place} is no place of an event: events stand in {', '.join(known)}")
    record = record_at(source, place)
    try:
        lead, rest = EnvelopeReader().read(record.value or b"")
    except (BadRecord, UnknownSchema) as error:
        raise BadMoment(f"what lies at {place} cannot be read as an event: {error}") from error
    return Cut(record.timestamp_ms * 1_000, place, lead.producer, rest["sequence"])


def record_at(source: LogSource, place: Place) -> Record:
    """The record at a place. Raises BadMoment: there is none; and what the source raises."""
    ranges = source.ranges(place.topic)
    if place.partition not in ranges:
        raise BadMoment(f"there is no {place}: {place.topic} has partitions 0 to {max(ranges, default=0)}")
    first, end = ranges[place.partition]
    if not first <= place.offset < end:
        has = f"holds offsets {first} to {end - 1}" if end > first else "is empty"
        raise BadMoment(f"there is no {place}: {place.topic}:{place.partition} {has}")
    for batch in source.batches(place.topic, place.partition, place.offset, place.offset + 1):
        for record in batch:
            return record
    raise BadMoment(f"no record lies at {place}: the marker of a transaction's end has this offset")

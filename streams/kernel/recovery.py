"""Brings a partition's state to the end of its log: the event topics are the changelog, and nothing else is.

Whatever could mean that committed events were lost, changed or written twice stops the partition here.
"""

from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Any

import msgspec
import structlog

from neural_hive.aggregates.aggregate import Aggregate, event_of
from neural_hive.aggregates.partition import PartitionLogAccepted
from neural_hive.connectors.kafka_log import (
    LostLog,
    Record,
    merged,
)
from neural_hive.projections.whole_log import Readable
from neural_hive.schemas.catalogue import UnknownSchema
from neural_hive.schemas.codec import BadRecord, decode
from neural_hive.schemas.envelope import NO_HASH, Envelope
from neural_hive.streams.kernel.bulk_fold import BulkFold
from neural_hive.streams.kernel.fold import Fold
from neural_hive.streams.kernel.state import Position, TopicPosition
from neural_hive.streams.kernel.unit import EVENT_TYPE_HEADER

FOLDED_BEFORE_WRITE = 50_000  # changed keys that recovery keeps in memory
FOLDED_BYTES_BEFORE_WRITE = 16 << 20  # of the events that changed them, and of rows that were loaded for it
logger = structlog.get_logger()


class BrokenLog(RuntimeError):
    """The log is not what this partition wrote: a gap, a fork, or events that are gone or were changed.

    The partition stops and keeps what it has, for the state and the archive may be the only copies.
    """


class NewerLog(RuntimeError):
    """The log holds what a newer build wrote, and this one cannot fold it: nothing is guessed, and nobody's word helps.

    The partition stops until this worker is updated.
    """


class Recovered(msgspec.Struct, frozen=True):
    """Where a partition stands after recovery."""

    position: Position
    folded: int
    skipped: int  # the same event twice with the same bytes


class _Event(msgspec.Struct, frozen=True):
    record: Record
    envelope: Envelope
    payload: dict[str, Any]


def recover(
    fold: Fold,
    log: Readable,
    topic_ids: dict[str, str],
    state_version: str,
    accepted_until: int = 0,
) -> Recovered:
    """Folds all events that the state does not contain yet. Call after the fence.

    Up to the sequence `accepted_until` somebody accepted the log as it is: gaps, broken chains and what is no event at
    all are passed over, and of two events that claim one place the first one counts. Raises BrokenLog, NewerLog;
    StalledLog: a foreign transaction holds the log's end.
    """
    stored = fold.store.position() or _beginning(topic_ids, state_version)
    ranges = {topic: log.range(topic) for topic in topic_ids}
    _check_still_there(stored, topic_ids, ranges, log.partition)
    if not accepted_until:
        _check_from_the_first(stored, ranges, log.partition)
    readers = [
        _events(log, topic, stored.topics.get(topic), ranges[topic], accepted_until) for topic in topic_ids
    ]
    return _fold_all(fold, merged(readers), stored, accepted_until)


def _beginning(topic_ids: dict[str, str], state_version: str) -> Position:
    return Position(
        state_version, 0, {topic: TopicPosition(i, -1, NO_HASH) for topic, i in topic_ids.items()}
    )


def _check_still_there(
    stored: Position, topic_ids: dict[str, str], ranges: dict[str, tuple[int, int]], partition: int
) -> None:
    for topic, position in stored.topics.items():
        where = f"{topic}:{partition}"
        if position.topic_id != topic_ids.get(topic):
            raise BrokenLog(
                f"{where} is another topic than the state was made from "
                f"(topic id {topic_ids.get(topic)}, expected {position.topic_id}): it was deleted and made anew"
            )
        if position.offset >= ranges[topic][1]:
            raise BrokenLog(
                f"{where} ends at offset {ranges[topic][1]}, but the state contains offset "
                f"{position.offset}: the log lost committed events"
            )


def _check_from_the_first(stored: Position, ranges: dict[str, tuple[int, int]], partition: int) -> None:
    """Nobody could tell how many events there were in what is gone, and the next one would take the place of one."""
    for topic, (begin, _) in ranges.items():
        known = stored.topics.get(topic)
        if begin and (known is None or known.offset < 0):
            raise BrokenLog(
                f"{topic}:{partition} begins at offset {begin}: what was before is gone, and no archive has it"
            )


def _events(
    log: Readable,
    topic: str,
    position: TopicPosition | None,
    bounds: tuple[int, int],
    accepted_until: int,
) -> Iterator[tuple[int, _Event]]:
    """The topic's events behind the position, by sequence; the last known one is read again to see it unchanged."""
    known = position is not None and position.offset >= 0
    first = position.offset if position is not None and known else bounds[0]
    sequence = 0
    try:
        for record in log.read(topic, first, bounds[1]):
            if known and position is not None:
                known = False
                _check_unchanged(record, position)
                continue
            try:
                event = _decoded(record)
            except BrokenLog as error:
                if sequence >= accepted_until:
                    raise
                logger.warning("passing over what is no event", why=str(error))
                continue
            sequence = event.envelope.sequence
            yield sequence, event
    except LostLog as error:
        raise BrokenLog(str(error)) from error
    if known:
        raise BrokenLog(f"{topic}:{log.partition} has no record at offset {first}, which the state contains")


def _decoded(record: Record) -> _Event:
    """Raises NewerLog: an unknown schema id; BrokenLog: no event of this system."""
    try:
        decoded = decode(record.value or b"", "event")
    except UnknownSchema as error:
        raise _newer(record, error) from error
    except BadRecord as error:
        raise BrokenLog(f"{_place(record)} is no event: {error}") from error
    assert isinstance(decoded.head, Envelope)
    return _Event(record, decoded.head, decoded.payload)


def _newer(record: Record, why: object) -> NewerLog:
    return NewerLog(f"{_place(record)}: {why}: a newer build wrote it, update this worker")


def _check_unchanged(record: Record, position: TopicPosition) -> None:
    if record.offset != position.offset or sha256(record.value or b"").digest() != position.hash:
        raise BrokenLog(
            f"{record.topic}:{record.partition} offset {position.offset} is not the event that the state contains: "
            "the log was changed"
        )


def last_acceptance(log: Readable, topics: Iterable[str]) -> int:
    """The sequence of the last event that says that a damaged log was accepted; 0 if there is none."""
    name = PartitionLogAccepted.__name__.encode()
    last = 0
    for topic in topics:
        for record in log.read(topic, *log.range(topic)):
            if (EVENT_TYPE_HEADER, name) in record.headers:
                last = max(last, _decoded(record).envelope.sequence)
    return last


def causes(log: Readable, topics: Iterable[str]) -> set[str]:
    """The topics of all inputs that events of this partition say they follow from."""
    return {
        _decoded(record).envelope.source_topic
        for topic in topics
        for record in log.read(topic, *log.range(topic))
    }


def _fold_all(
    fold: Fold, events: Iterator[tuple[int, _Event]], stored: Position, accepted_until: int
) -> Recovered:
    sequence, topics, last_hash = stored.sequence, dict(stored.topics), b""
    folded = skipped = folded_bytes = 0
    bulk = BulkFold(fold)
    for number, event in events:
        value = event.record.value or b""
        digest = sha256(value).digest()
        if number == sequence and digest == last_hash:
            skipped += 1
        elif number <= sequence and number <= accepted_until:
            logger.warning("passing over a second event for one place", place=_place(event.record))
            skipped += 1
        else:
            accepted = number <= accepted_until
            if number != sequence + 1 and not accepted:
                raise BrokenLog(
                    f"{_place(event.record)} has sequence {number}, expected {sequence + 1}: "
                    + ("events are missing before it" if number > sequence else "two events claim one place")
                )
            _fold_one(bulk, event, digest, accepted)
            sequence, last_hash = number, digest
            folded += 1
            folded_bytes += len(value)
        topic_id = topics[event.record.topic].topic_id
        topics[event.record.topic] = TopicPosition(topic_id, event.record.offset, digest)
        held_bytes = folded_bytes + fold.loaded_bytes
        if fold.changes > FOLDED_BEFORE_WRITE or held_bytes > FOLDED_BYTES_BEFORE_WRITE:
            bulk.settle()
            fold.write(Position(stored.state_version, sequence, dict(topics)))
            folded_bytes = -fold.loaded_bytes
    position = Position(stored.state_version, sequence, topics)
    bulk.settle()
    fold.write(position)
    fold.rescan_timers()
    return Recovered(position, folded, skipped)


def _fold_one(bulk: BulkFold, event: _Event, digest: bytes, accepted: bool) -> None:
    envelope, record = event.envelope, event.record
    aggregate = _aggregate_of(bulk.fold, event)
    of = bulk.open(aggregate, envelope.aggregate_id)
    if not accepted and (envelope.version != of.version + 1 or envelope.prev_hash != of.hash):
        raise BrokenLog(
            f"{_place(record)} is version {envelope.version} of {aggregate.name} {envelope.aggregate_id}, "
            f"expected {of.version + 1} with the hash of the one before: the aggregate's chain is broken"
        )
    try:
        known = event_of(aggregate, envelope.event_type, event.payload)
    except LookupError as error:
        raise _newer(record, error) from error
    bulk.take(
        of,
        known,
        envelope.version,
        envelope.occurred_at,
        digest,
        envelope.causation_id,
        record.key or b"",
        envelope.correlation_id,
        envelope.trace_id,
    )


def _aggregate_of(fold: Fold, event: _Event) -> Aggregate[Any]:
    aggregate = fold.aggregates.get(event.envelope.aggregate_type)
    if aggregate is None:
        raise _newer(event.record, f"the aggregate type {event.envelope.aggregate_type} is not known")
    return aggregate


def _place(record: Record) -> str:
    return f"{record.topic}:{record.partition} offset {record.offset}"


__all__ = ["BrokenLog", "NewerLog", "Recovered", "recover"]

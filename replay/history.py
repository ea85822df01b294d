"""What happened to one aggregate, and what it was at a moment: its events, and the fold of them."""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any

import msgspec

from neural_hive.aggregates.aggregate import Aggregate, Event, event_of
from neural_hive.connectors.kafka_log import Record
from neural_hive.replay.changes import Change, changes, plain
from neural_hive.replay.moment import NOW, Moment, cut_of
from neural_hive.replay.reader import LogSource
from neural_hive.replay.scan import divided
from neural_hive.schemas.catalogue import UnknownSchema
from neural_hive.schemas.codec import BadRecord, decode
from neural_hive.schemas.envelope import Envelope


class Happening(msgspec.Struct, frozen=True):
    """One event of an aggregate, and where it lies."""

    place: str  # topic:partition:offset
    appended_at: int  # append time, µs
    hash: str  # SHA-256 of the event, hex
    envelope: Envelope
    payload: dict[str, Any]


class Step(msgspec.Struct, frozen=True):
    """One event of an aggregate, and what it made of it."""

    happening: Happening
    before: Any  # None: it is the first
    after: Any
    changes: list[Change]


class NoSuchAggregate(LookupError):
    """Nothing in the log bears this id, up to the moment that was asked for."""


class SeveralAggregates(LookupError):
    """Aggregates of several types bear this id."""


class NewerEvent(LookupError):
    """A newer build wrote an event that may be of the aggregate: nothing is guessed."""

    def __init__(self, place: str, why: object) -> None:
        super().__init__(f"{place}: {why}: a newer build wrote it, ask with that one")


class NoBeginning(LookupError):
    """The first events of an aggregate are not there, and without them it cannot be folded."""

    def __init__(self, happening: "Happening") -> None:
        head = happening.envelope
        super().__init__(
            f"what was before {happening.place}, version {head.version} of {head.aggregate_type} {head.aggregate_id}, "
            "is not there, so what it was cannot be told: `neural-hive replay verify` says what else is missing"
        )


class Folder:
    """Folds events with the code that runs live."""

    def __init__(self, aggregates: Iterable[Aggregate[Any]]) -> None:
        self._aggregates = list(aggregates)
        self._known: dict[tuple[str, str], Aggregate[Any]] = {}

    def event(self, happening: Happening) -> Event:
        """The event as this build knows it. Raises NewerEvent."""
        head = happening.envelope
        try:
            aggregate = self.aggregate(head.aggregate_type, happening.place.partition(":")[0])
            return event_of(aggregate, head.event_type, happening.payload)
        except LookupError as error:
            raise NewerEvent(happening.place, error) from error

    def after(self, state: Any, happening: Happening) -> Any:
        """What the event makes of the state. Raises NewerEvent, NoBeginning."""
        event = self.event(happening)
        aggregate = self.aggregate(happening.envelope.aggregate_type, happening.place.partition(":")[0])
        try:
            return aggregate.evolve(state, event)
        except AssertionError as error:  # evolve refuses only what has no beginning
            if state is None:
                raise NoBeginning(happening) from error
            raise

    def aggregate(self, name: str, topic: str) -> Aggregate[Any]:
        """The aggregate of a name; of several, the one whose events stand in the topic. Raises LookupError."""
        found = self._known.get((name, topic))
        if found is None:
            named = sorted((a for a in self._aggregates if a.name == name), key=lambda a: a.topic != topic)
            if not named:
                raise LookupError(f"the aggregate type {name} is not known")
            found = self._known[name, topic] = named[0]
        return found


def history(
    source: LogSource,
    topics: Iterable[str],
    aggregate_id: str,
    moment: Moment = NOW,
    aggregate_type: str = "",
) -> list[Happening]:
    """The aggregate's events in their order; of two for one version the first one counts, as it does live.

    Raises NoSuchAggregate, SeveralAggregates, NewerEvent, BadMoment; and what the source raises.
    """
    return [found for found, _ in history_between(source, topics, aggregate_id, None, moment, aggregate_type)]


def history_between(
    source: LogSource,
    topics: Iterable[str],
    aggregate_id: str,
    since: Moment | None,
    until: Moment = NOW,
    aggregate_type: str = "",
) -> list[tuple[Happening, bool]]:
    """The aggregate's events up to a moment, and of each whether it comes after an earlier one.

    Raises: see `history`.
    """
    topics = list(topics)
    start = None if since is None else cut_of(source, topics, since)
    end = cut_of(source, topics, until)
    found: dict[tuple[str, int], tuple[Happening, bool]] = {}
    for record, is_new in divided(source, topics, start, end, [aggregate_id]):
        happening = _of(record, aggregate_id, aggregate_type)
        if happening is not None and _is_within(happening, until):
            head = happening.envelope
            if since is not None and since.version is not None:
                is_new = head.version > since.version
            found.setdefault((head.aggregate_type, head.version), (happening, is_new))
    if not found:
        what = f"{aggregate_type} {aggregate_id}" if aggregate_type else aggregate_id
        raise NoSuchAggregate(f"no event of {what} up to then: see its id with `neural-hive query`")
    if len(types := sorted({kind for kind, _ in found})) > 1:
        raise SeveralAggregates(
            f"{' and '.join(types)} have the id {aggregate_id}: say which one with --type"
        )
    return [found[key] for key in sorted(found)]


def gaps(happenings: Sequence[Happening]) -> list[tuple[int, int]]:
    """The versions that the source does not have, as ranges: without them the fold is wrong."""
    found, expected = [], 1
    for happening in happenings:
        version = happening.envelope.version
        if version > expected:
            found.append((expected, version - 1))
        expected = version + 1
    return found


def state(happenings: Iterable[Happening], aggregates: Iterable[Aggregate[Any]]) -> Any:
    """What the aggregate is after these events. Raises NewerEvent, NoBeginning."""
    folder, current = Folder(aggregates), None
    for happening in happenings:
        current = folder.after(current, happening)
    return current


def steps(happenings: Iterable[Happening], aggregates: Iterable[Aggregate[Any]]) -> Iterator[Step]:
    """The events, and what each of them made of the aggregate: nothing, as long as its beginning is not there.

    Raises NewerEvent.
    """
    folder, before, was = Folder(aggregates), None, plain(None)
    for happening in happenings:
        try:
            after = folder.after(before, happening)
        except NoBeginning:
            after = None
        is_now = plain(after)
        yield Step(happening, before, after, changes(was, is_now))
        before, was = after, is_now


def happening_of(record: Record) -> Happening | None:
    """The event that a record holds; None if it holds none: what cannot be read changes no state.

    Raises NewerEvent.
    """
    value, place = record.value or b"", f"{record.topic}:{record.partition}:{record.offset}"
    try:
        decoded = decode(value, "event")
    except UnknownSchema as error:
        raise NewerEvent(place, error) from error
    except BadRecord:
        return None
    assert isinstance(decoded.head, Envelope)
    hashed = sha256(value).hexdigest()
    return Happening(place, record.timestamp_ms * 1_000, hashed, decoded.head, decoded.payload)


def _of(record: Record, aggregate_id: str, aggregate_type: str) -> Happening | None:
    found = happening_of(record)
    if found is None or found.envelope.aggregate_id != aggregate_id:
        return None
    return found if aggregate_type in ("", found.envelope.aggregate_type) else None


def _is_within(happening: Happening, until: Moment) -> bool:
    return until.version is None or happening.envelope.version <= until.version

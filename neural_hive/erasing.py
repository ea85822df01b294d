"""Erases a person: the log says so first, then the key is destroyed, and with it all that the log says of the person.

Each step can be done again, so whatever ends in between is ended by the same call:

1. the command is published, under an id that follows from the subject's: again, it changes nothing;
2. the event is waited for; without it no key is destroyed;
3. the key is destroyed, and then what led from the name to it.
"""

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

import msgspec
from confluent_kafka import KafkaException

from neural_hive.aggregates.identity import derived_id
from neural_hive.aggregates.subject import REASON_CHARS_MAX, SUBJECT, SubjectErased
from neural_hive.connectors.personal import Personal
from neural_hive.connectors.publisher import Publisher
from neural_hive.connectors.subject_keys import Erased, UnknownSubject
from neural_hive.following import Unreachable, unreachable
from neural_hive.replay.history import happening_of
from neural_hive.replay.reader import LogSource
from neural_hive.replay.scan import records
from neural_hive.schemas.personal import SUBJECT_ID
from neural_hive.streams.privacy import COMMANDS, EraseSubject

DELIVERY_TIMEOUT_S: Final = 30.0
_CALL_TIMEOUT_S: Final = 10.0
_LOOK_EVERY_S: Final = 0.25


class BadErasure(ValueError):
    """An erasure that cannot be asked for like this; the text says why, and does not repeat the name."""


class NotAnswered(TimeoutError):
    """The log does not say yet that the person is erased, so the key was not destroyed."""


class Erasure(msgspec.Struct, frozen=True):
    """That a person is erased, as the log says it."""

    subject_id: str
    erased_at: int  # µs
    reason: str
    place: str  # of the event: topic:partition:offset


class Outcome(msgspec.Struct, frozen=True):
    """What an erasure came to."""

    subject_id: str  # empty: it was erased before, and nothing leads from the name to it any more
    place: str  # of the event; empty likewise
    was_there: bool  # whether there was still something to destroy


class Eraser:
    """Erases persons whose keys are in a store."""

    def __init__(self, kafka: dict[str, Any], source: LogSource, personal: Personal) -> None:
        """`source`: the log, to be read."""
        self._kafka, self._source, self._personal = kafka, source, personal

    def erase(self, subject: str, reason: str, by: str = "", timeout_s: float = 60.0) -> Outcome:
        """Erases a person, by name or subject id; again, it ends what was not ended.

        Raises BadErasure; UnknownSubject: there is no such key; Unreachable, NotAnswered: nothing is destroyed yet;
        BadRecord: `by` is no name; SubjectKeysUnusable.
        """
        _check(subject, reason)
        try:
            subject_id = self._subject_id(subject)
        except Erased:
            return Outcome("", "", False)
        place = self._place(subject_id)
        if not place:
            self._ask(EraseSubject(subject_id, reason.strip(), by))
            place = self._answer(subject_id, timeout_s)
        return Outcome(subject_id, place, self._personal.keys.erase(subject_id))

    def erase_again(self) -> list[Outcome]:
        """Destroys the keys of all whom the log says to be erased: a copy of the keys may have brought some back."""
        found = []
        for erasure in erasures(self._source):
            try:
                was_there = self._personal.keys.erase(erasure.subject_id)
            except UnknownSubject:
                continue  # it was made by another store
            found.append(Outcome(erasure.subject_id, erasure.place, was_there))
        return found

    def _subject_id(self, subject: str) -> str:
        if not SUBJECT_ID.fullmatch(subject):
            return self._personal.keys.subject_of(subject)
        with suppress(Erased):  # but perhaps not to the end
            self._personal.keys.key_of(subject)
        return subject

    def _place(self, subject_id: str) -> str:
        return next((e.place for e in erasures(self._source, subject_id)), "")

    def _ask(self, message: EraseSubject) -> None:
        publisher = Publisher(
            self._kafka, "neural-hive erase", int(DELIVERY_TIMEOUT_S * 1_000), self._personal
        )
        header = publisher.header("EraseSubject", derived_id(message.subject_id, "erase"), message.subject_id)
        try:
            publisher.partition(COMMANDS, message.subject_id, _CALL_TIMEOUT_S)
        except KafkaException as error:
            raise unreachable(self._kafka, error) from error
        problems: list[str] = []
        publisher.publish(COMMANDS, header, msgspec.to_builtins(message), problems.append)
        publisher.flush(DELIVERY_TIMEOUT_S + 1)
        if problem := problems[0] if problems else "no acknowledgement in time":
            raise Unreachable(f"EraseSubject was not delivered: {problem}; no key is destroyed")

    def _answer(self, subject_id: str, timeout_s: float) -> str:
        until = time.monotonic() + timeout_s
        while not (place := self._place(subject_id)):
            if time.monotonic() > until:
                raise NotAnswered(
                    f"{COMMANDS} holds the erasure of {subject_id}, and within {timeout_s:g} s the log has not said "
                    "that it is so: does a processor of the system privacy run (`neural-hive status`)? The key is not "
                    "destroyed yet: give the command again"
                )
            time.sleep(_LOOK_EVERY_S)
        return place


def erasures(source: LogSource, subject_id: str = "") -> Iterator[Erasure]:
    """The erasures that the log tells of, or only that of one subject."""
    for record in records(source, [SUBJECT.topic], needles=[subject_id] if subject_id else []):
        found = happening_of(record)
        if found is not None and found.envelope.event_type == SubjectErased.__name__:
            event = msgspec.convert(found.payload, SubjectErased)
            if subject_id in ("", event.subject_id):
                yield Erasure(event.subject_id, event.erased_at, event.reason, found.place)


def _check(subject: str, reason: str) -> None:
    if not reason.strip() or len(reason) > REASON_CHARS_MAX:
        raise BadErasure(f"give a reason of 1 to {REASON_CHARS_MAX:,} characters: it is what the log keeps")
    if subject.strip() and subject.strip().casefold() in reason.casefold():
        raise BadErasure("the reason stays in the log and names the person: say it without the name")

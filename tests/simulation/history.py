"""What a world's log holds at the end, decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec

from neural_hive.schemas.catalogue import UnknownSchema
from neural_hive.schemas.codec import BadRecord, decode
from neural_hive.schemas.envelope import Envelope, Header
from neural_hive.streams.kernel.inbox import DEAD_LETTERS
from neural_hive.streams.kernel.system import System

if TYPE_CHECKING:
    from tests.simulation.broker import Entry
    from tests.simulation.world import Seat, World


class Written(msgspec.Struct, frozen=True):
    """A committed event."""

    at: int  # append time, µs
    offset: int
    envelope: Envelope
    payload: dict[str, Any]
    hash: bytes

    @property
    def kind(self) -> str:
        """Its type."""
        return self.envelope.event_type


class Message(msgspec.Struct, frozen=True):
    """A committed message that could be read."""

    place: tuple[str, int]
    offset: int
    at: int  # append time, µs
    header: Header
    payload: dict[str, Any]


class Letter(msgspec.Struct, frozen=True):
    """A committed dead letter."""

    place: tuple[str, int, int]
    error_type: str
    reason: str
    message_id: str  # of what it holds, "" if that cannot be read


class History(msgspec.Struct, frozen=True):
    """All of it."""

    by_seat: dict[Seat, list[Written]]  # in the order of their sequence
    letters: list[Letter]
    records: Callable[[str], Iterator[tuple[tuple[str, int], int, Entry]]]  # the committed ones of a topic

    @property
    def events(self) -> Iterator[Written]:
        """Those of all partitions."""
        return (written for written_ones in self.by_seat.values() for written in written_ones)

    @property
    def refused(self) -> set[str]:
        """The ids of messages that became dead letters."""
        return {letter.message_id for letter in self.letters}

    def messages(self, topic: str, *kinds: str) -> Iterator[Message]:
        """Those of a topic, of some types, each partition in its order."""
        for place, offset, entry in self.records(topic):
            try:
                decoded = decode(entry.value or b"", "message")
            except (BadRecord, UnknownSchema):
                continue
            if isinstance(decoded.head, Header) and decoded.head.message_type in kinds:
                yield Message(place, offset, entry.at, decoded.head, decoded.payload)


def history_of(world: World) -> History:
    """Reads a world's log."""

    def records(topic: str) -> Iterator[tuple[tuple[str, int], int, Entry]]:
        for place in sorted(place for place in world.broker.logs if place[0] == topic):
            for offset, entry in world.broker.committed(place, 0, len(world.broker.logs[place])):
                yield place, offset, entry

    by_seat = {seat: _events(world, world.systems[seat[0]], seat[1]) for seat in world.seats}
    return History(by_seat, [_letter(entry) for _, _, entry in records(DEAD_LETTERS)], records)


def _events(world: World, system: System, number: int) -> list[Written]:
    found = []
    for topic in system.event_topics:
        place = (topic, number)
        for offset, entry in world.broker.committed(place, 0, len(world.broker.logs.get(place, []))):
            decoded = decode(entry.value or b"", "event")
            assert isinstance(decoded.head, Envelope)
            digest = sha256(entry.value or b"").digest()
            found.append(Written(entry.at, offset, decoded.head, decoded.payload, digest))
    return sorted(found, key=lambda written: written.envelope.sequence)


def _letter(entry: Entry) -> Letter:
    letter = decode(entry.value or b"", "message").payload
    at = letter["source_topic"], letter["source_partition"], letter["source_offset"]
    try:
        head = decode(letter["value"], "message").head
    except (BadRecord, UnknownSchema):
        message_id = ""
    else:
        message_id = str(getattr(head, "message_id", ""))
    return Letter(at, letter["error_type"], letter["reason"], message_id)

"""Dead letters as they lie in the log: found by their places, read, and made into the records that they were."""

import re
from hashlib import sha256
from typing import Final

import msgspec

from neural_hive.aggregates.aggregate import Rejected
from neural_hive.aggregates.dead_letter import Buried
from neural_hive.connectors.record import Record
from neural_hive.schemas.catalogue import UnknownSchema
from neural_hive.schemas.codec import BadRecord, decode
from neural_hive.schemas.envelope import Header
from neural_hive.schemas.extensions import all_topics
from neural_hive.schemas.topics import Kind
from neural_hive.streams.kernel.inbox import DEAD_LETTERS, KEPT_HERE
from neural_hive.streams.operations.messages import Letter

REDRIVEN_HEADER: Final = "redriven"  # the letter's place, and how often it was written again
AROUND_BYTES_MAX: Final = 60 * 1024  # of 64 KB that a topic's limit leaves around the largest value
_PLACE: Final = re.compile(rf"{re.escape(DEAD_LETTERS)}:(0|[1-9]\d{{0,8}}):(0|[1-9]\d{{0,17}})", re.ASCII)


class Found(msgspec.Struct, frozen=True):
    """A dead letter, with its own ids."""

    letter_id: str
    message_id: str  # of the message in it; empty if that could not be read
    letter: Letter
    is_whole: bool


def place_of(dead_letter: str) -> tuple[int, int]:
    """The partition and the offset that a letter's name says. Raises Rejected: it is no such name."""
    named = _PLACE.fullmatch(dead_letter)
    if named is None:
        raise Rejected(f"a dead letter is named {DEAD_LETTERS}:partition:offset, not {dead_letter!r}")
    return int(named[1]), int(named[2])


def read_letter(record: Record | None) -> Found | None:
    """The dead letter that a record holds; None: it holds none."""
    try:
        decoded = decode(record.value or b"", "message") if record else None
        if decoded is None or decoded.schema.name != "DeadLetter" or not isinstance(decoded.head, Header):
            return None
        letter = msgspec.convert(decoded.payload, Letter)
    except (BadRecord, UnknownSchema, msgspec.ValidationError):
        return None  # a stranger's: who writes there can write anything
    is_cut = letter.is_cut or (decoded.schema.version == 1 and KEPT_HERE in letter.reason)  # in words only
    return Found(decoded.head.message_id, decoded.head.causation_id, letter, not is_cut)


def buried(found: Found) -> Buried:
    """What counts of the record in a letter when somebody wants it to be written again."""
    letter = found.letter
    topic = all_topics().get(letter.source_topic)
    around = len(letter.key or b"") + sum(len(h.name.encode()) + len(h.value) for h in letter.headers)
    return Buried(
        found.letter_id,
        letter.source_topic,
        letter.source_partition,
        letter.source_offset,
        found.message_id,
        sha256(letter.value).hexdigest(),
        is_input=topic is not None and topic.kind is Kind.INPUT,
        is_whole=found.is_whole,
        fits=topic is None or len(letter.value) + around <= topic.bytes_max + AROUND_BYTES_MAX,
    )


def written_again(letter: Letter, mark: str) -> tuple[bytes | None, bytes, list[tuple[str, bytes]]]:
    """Key, value and headers as they were, and one more header that says where they come from."""
    kept = [(header.name, header.value) for header in letter.headers if header.name != REDRIVEN_HEADER]
    return letter.key, letter.value, [*kept, (REDRIVEN_HEADER, mark.encode())]

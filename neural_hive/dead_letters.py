"""Dead letters, for people: one with its bytes and what can be read of them, and what has become of it."""

import string
from typing import Any, Final

import msgspec

from neural_hive.replay.moment import Place
from neural_hive.replay.reader import LogSource
from neural_hive.replay.scan import records_at
from neural_hive.schemas.catalogue import UnknownSchema
from neural_hive.schemas.codec import BadRecord
from neural_hive.sdk.tables import Reader
from neural_hive.streams.kernel.inbox import DEAD_LETTERS
from neural_hive.streams.kernel.reading import MessageReader, RegistryAway
from neural_hive.streams.operations.letters import Found, place_of, read_letter

REDRIVES_MAX: Final = 1_000  # of one letter
_ROW_BYTES: Final = 16
_SHOWN: Final = frozenset(string.printable) - frozenset(string.whitespace) | {" "}


class NoSuchLetter(LookupError):
    """There is no dead letter at this place; the text says what to do."""


class Content(msgspec.Struct, frozen=True):
    """What can be read now of the record in a letter; the reason, if nothing can."""

    message_type: str = ""
    message_id: str = ""
    payload: dict[str, Any] = {}
    error: str = ""


class Redrive(msgspec.Struct, frozen=True):
    """Somebody wanted the record to be written again."""

    outcome: str  # REDRIVEN, REJECTED
    requested_by: str
    reason: str
    redrive: int
    obstacle: str
    rejection: str
    at_ms: int


def letter_at(source: LogSource, dead_letter: str) -> Found:
    """The letter that is named by its place. Raises Rejected: that is no name; NoSuchLetter; what the source raises."""
    partition, offset = place_of(dead_letter)
    place = Place(DEAD_LETTERS, partition, offset)
    found = read_letter(records_at(source, [place]).get(place))
    if found is None:
        raise NoSuchLetter(f"there is no dead letter {dead_letter}: look with `neural-hive dead-letters`")
    return found


def content_of(found: Found, read: MessageReader) -> Content:
    """What the record says, read with what is known of schemas by now."""
    try:
        decoded = read(found.letter.value)
    except (BadRecord, UnknownSchema, RegistryAway) as error:
        return Content(error=str(error))
    head: Any = decoded.head
    return Content(head.message_type, head.message_id, decoded.payload)


def redrives_of(reader: Reader, dead_letter: str) -> list[Redrive]:
    """What people wanted of a letter, in order."""
    rows = reader.rows(
        "SELECT outcome, requested_by, reason, ifNull(redrive, 0), ifNull(obstacle, ''), ifNull(rejection, ''), "
        "toUnixTimestamp64Milli(valid_from) FROM redrives WHERE dead_letter = {place:String} "
        f"ORDER BY version LIMIT {REDRIVES_MAX}",
        {"place": dead_letter},
    )
    return [Redrive(*row) for row in rows]


def hexdump(value: bytes, limit: int) -> list[str]:
    """The first bytes, sixteen a line: where, which, and what they are as ASCII."""
    lines = [
        f"{at:08x}  {_hex(row)}  {''.join(c if (c := chr(byte)) in _SHOWN else '.' for byte in row)}"
        for at in range(0, min(len(value), limit), _ROW_BYTES)
        if (row := value[at : min(at + _ROW_BYTES, limit)])
    ]
    if len(value) > limit:
        lines.append(f"… of {len(value):,} bytes")
    return lines


def _hex(row: bytes) -> str:
    return row.hex(" ").ljust(3 * _ROW_BYTES - 1)

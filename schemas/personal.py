"""Personal data on the wire: which fields hold it, and the form that it must have there.

A field of a payload is marked in its Avro schema: `"personal": true` if its value names a person, and
`"personal": "requested_by"` if it is a text about the person whom that field of the same payload names. In a marked
field stands nothing, or a ciphertext: `enc:v1:<subject id>:<field>:<base64url>`. Who makes and reads it is
`connectors/personal.py`; here nothing is known of keys.
"""

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

import msgspec

from neural_hive.schemas.catalogue import registered, schema_of
from neural_hive.schemas.codec import BadRecord

MARK: Final = "personal"
NOBODY: Final = "somebody"  # the word for who did not say who he is
BLOCK_BYTES: Final = (
    32  # a text is filled up to a multiple of it, so that a ciphertext does not tell its length
)
TAG_BYTES: Final = 16  # of AES-SIV
TEXT_BYTES_MAX: Final = 4_096
_CIPHER_CHARS_MAX: Final = (TEXT_BYTES_MAX + BLOCK_BYTES + TAG_BYTES) * 4 // 3 + 1
CIPHERTEXT: Final = re.compile(
    rf"enc:v1:([0-9a-f]{{32}}):([A-Za-z_][A-Za-z0-9_]{{0,63}}):([A-Za-z0-9_-]{{64,{_CIPHER_CHARS_MAX}}})"
)
SUBJECT_ID: Final = re.compile(r"[0-9a-f]{32}")


class PlainPersonalData(BadRecord):
    """Personal data that is not encrypted, or not for the field that it stands in. The text does not repeat it."""


class Marked(msgspec.Struct, frozen=True):
    """A field that holds personal data."""

    field: str
    subject: str  # the field that names the person: itself, or another one


@cache
def marked(record: str) -> tuple[Marked, ...]:
    """The marked fields of a record, whichever version of its schema marks them."""
    found = {
        one.field: one
        for row in registered().values()
        if row.name == record
        for one in marked_in(schema_of(row.id)["fields"][1]["type"])
    }
    return tuple(found.values())


def marked_in(payload: Mapping[str, Any]) -> Iterator[Marked]:
    """The marked fields of a payload's schema."""
    for field in payload["fields"]:
        if mark := field.get(MARK):
            yield Marked(field["name"], field["name"] if mark is True else str(mark))


def mark_problems(payload: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the marks of a payload's schema: one that is not seen would protect nothing."""
    marks = {field["name"]: field[MARK] for field in payload["fields"] if MARK in field}
    for field in payload["fields"]:
        name, mark = field["name"], marks.get(field["name"])
        if _has_mark(field["type"]):
            yield f"{name}: what is marked as {MARK} must be a field of the payload itself"
        if name in marks and field["type"] != "string":
            yield f"{name}: only a string can be {MARK}: it holds a ciphertext"
        if name in marks and mark is not True and marks.get(mark) is not True:
            yield f'{name}: "{MARK}" must be true, or the name of a field that is so'


def _has_mark(node: Any) -> bool:
    if isinstance(node, dict):
        return MARK in node or any(map(_has_mark, node.values()))
    return isinstance(node, list) and any(map(_has_mark, node))


def check_encrypted(record: str, payload: Mapping[str, Any], wanders: bool = False) -> None:
    """Raises PlainPersonalData: a marked field holds something else than nothing or its ciphertext.

    `wanders`: or that of another field. An event's `completed_by` was `requested_by` of a command.
    """
    for one in marked(record):
        value = payload.get(one.field)
        if value and value != NOBODY and not is_ciphertext(value, "" if wanders else one.field):
            raise PlainPersonalData(
                f"{one.field} of {record} is marked as personal data and holds no ciphertext for this field: "
                "publish with the SDK or `neural-hive publish`, which encrypt it, or leave it empty"
            )


def is_ciphertext(value: Any, field: str) -> bool:
    """Whether a value has the form of a ciphertext that was made for a field; "": for any."""
    found = CIPHERTEXT.fullmatch(value) if isinstance(value, str) else None
    if found is None or field not in ("", found[2]):
        return False
    data = bytes_of(found[3])
    return data is not None and len(data) % BLOCK_BYTES == TAG_BYTES


def base64_of(data: bytes) -> str:
    """Unpadded base64url."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def bytes_of(base64: str) -> bytes | None:
    """What unpadded base64url stands for; None: it is none, or not the one text for these bytes."""
    try:
        data = urlsafe_b64decode(base64 + "=" * (-len(base64) % 4))
    except (binascii.Error, ValueError):
        return None
    return data if base64_of(data) == base64 else None

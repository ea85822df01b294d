"""Small payloads are written by hand: the same bytes as the library's, and what is unusual is the library's."""

import io
from typing import Any

import fastavro
import pytest
from hypothesis import given

from neural_hive.schemas.plain_fields import plain_writer
from tests.schemas import samples

COLOUR = {"type": "enum", "name": "Colour", "symbols": ["UNKNOWN", "RED"]}
PAYLOAD: dict[str, Any] = {
    "type": "record",
    "name": "Payload",
    "fields": [
        {"name": "text", "type": "string", "default": ""},
        {"name": "data", "type": "bytes"},
        {"name": "number", "type": "int"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "flag", "type": "boolean"},
        {"name": "colour", "type": COLOUR},
        {"name": "other", "type": ["null", "Colour"]},
    ],
}
USUAL = {
    "text": "Grüße",
    "data": b"x" * 70,
    "number": 7,
    "at": 2**40,
    "flag": True,
    "colour": "RED",
    "other": None,
}
PARSED = fastavro.parse_schema(PAYLOAD)


def by_library(values: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, PARSED, values)
    return out.getvalue()


@given(samples.values(PAYLOAD))
def test_what_is_written_by_hand_equals_the_library(values: dict[str, Any]) -> None:
    write = plain_writer(PAYLOAD)
    assert write is not None
    if values["number"] >= 0 and values["at"] >= 0:
        assert write(values) == by_library(values)


@pytest.mark.parametrize(
    "unusual",
    [
        {"number": -1},
        {"number": 2**31},
        {"number": True},
        {"at": 2**63},
        {"at": -1},
        {"at": 1.0},
        {"flag": 1},
        {"text": b"bytes"},
        {"data": "text"},
        {"data": bytearray(b"x")},
        {"colour": "BLUE"},
        {"colour": None},
        {"other": 0},
    ],
)
def test_what_is_unusual_is_left_to_the_library(unusual: dict[str, Any]) -> None:
    write = plain_writer(PAYLOAD)
    assert write is not None
    assert write(USUAL) == by_library(USUAL)
    with pytest.raises(Exception):  # noqa: B017 - whatever it is, the library is asked
        write(USUAL | unusual)


def test_a_field_that_is_left_to_its_default_is_left_to_the_library() -> None:
    write = plain_writer(PAYLOAD)
    assert write is not None
    with pytest.raises(KeyError):
        write({name: value for name, value in USUAL.items() if name != "text"})


@pytest.mark.parametrize(
    "kind", ["double", {"type": "array", "items": "long"}, {"type": "map", "values": "long"}]
)
def test_other_fields_are_the_librarys(kind: Any) -> None:
    fields = [*PAYLOAD["fields"][:2], {"name": "more", "type": kind}]
    assert plain_writer({**PAYLOAD, "fields": fields}) is None


def test_many_fields_are_the_librarys() -> None:
    fields: list[Any] = [{"name": f"f{n}", "type": "long"} for n in range(9)]
    assert plain_writer({**PAYLOAD, "fields": fields[:8]}) is not None
    assert plain_writer({**PAYLOAD, "fields": fields}) is None


def test_more_values_than_fields_are_no_harm() -> None:
    write = plain_writer(PAYLOAD)
    assert write is not None
    assert write(USUAL | {"more": 1}) == by_library(USUAL)

"""What is written by a schema's own function has the library's bytes, and what is unusual is the library's."""

import io
from functools import cache
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_hive.schemas.catalogue import registered, schema_of, without_logical_types
from neural_hive.schemas.plain_types import Unusual
from neural_hive.schemas.quick_writer import QuickWriter, quick_writer
from tests.schemas import samples

NUMBERS = sorted(registered())
COLOUR = {"type": "enum", "name": "Colour", "symbols": ["UNKNOWN", "RED"]}
INNER = {
    "type": "record",
    "name": "Inner",
    "fields": [{"name": "again", "type": "Colour"}, {"name": "half", "type": ["null", "double"]}],
}
PAYLOAD: dict[str, Any] = {
    "type": "record",
    "name": "Payload",
    "fields": [
        {"name": "text", "type": "string", "default": ""},
        {"name": "data", "type": "bytes"},
        {"name": "number", "type": "int"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "flag", "type": "boolean"},
        {"name": "half", "type": "double"},
        {"name": "colour", "type": COLOUR},
        {"name": "other", "type": ["null", "Colour"]},
        {"name": "maybe", "type": ["null", {"type": "array", "items": "long"}]},
        {"name": "inner", "type": {"type": "map", "values": {"type": "array", "items": INNER}}},
        {"name": "last", "type": ["null", "Inner"]},
    ],
}
USUAL = {
    "text": "Grüße",
    "data": b"x" * 70,
    "number": 7,
    "at": 2**40,
    "flag": True,
    "half": 0.5,
    "colour": "RED",
    "other": None,
    "maybe": [1, 2**40],
    "inner": {"a": [{"again": "RED", "half": None}], "b": []},
    "last": {"again": "RED", "half": 1.5},
}


def schema(number: int) -> Any:
    """A registered one; 0: one that has all there can be."""
    return schema_of(number) if number else PAYLOAD


@cache
def writers(number: int) -> tuple[QuickWriter, Any]:
    """The function of a schema, and what the library takes."""
    return quick_writer(schema(number)), fastavro.parse_schema(without_logical_types(schema(number)))


def by_library(number: int, value: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, writers(number)[1], value)
    return out.getvalue()


def has_negative(value: Any) -> bool:
    """Whether an int in it is left to the library."""
    match value:
        case dict():
            return any(map(has_negative, value.values()))
        case list():
            return any(map(has_negative, value))
    return isinstance(value, int) and value < 0


@pytest.mark.parametrize("number", [0, *NUMBERS])
def test_a_value_of_every_schema_is_written_as_the_library_does(number: int) -> None:
    value = samples.fixed(schema(number))
    assert writers(number)[0](value) == by_library(number, value)


@settings(max_examples=300)
@given(st.data(), st.sampled_from([0, 0, *NUMBERS]))
def test_all_values_that_fit_are_written_as_the_library_does(data: st.DataObject, number: int) -> None:
    value = data.draw(samples.values(schema(number)))
    if not has_negative(value):
        assert writers(number)[0](value) == by_library(number, value)


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
        {"half": 1},
        {"text": b"bytes"},
        {"text": "\ud800"},
        {"data": "text"},
        {"data": bytearray(b"x")},
        {"colour": "BLUE"},
        {"colour": None},
        {"other": 0},
        {"maybe": {1: 2}},
        {"maybe": "12"},
        {"maybe": [-1]},
        {"inner": []},
        {"inner": {1: []}},
        {"inner": {"a": [{"again": "BLUE", "half": None}]}},
        {"last": {"again": "RED"}},
        {"last": [("again", "RED"), ("half", None)]},
    ],
)
def test_what_is_unusual_is_left_to_the_library(unusual: dict[str, Any]) -> None:
    write = writers(0)[0]
    assert write(USUAL) == by_library(0, USUAL)
    with pytest.raises(Exception):  # noqa: B017 - whatever it is, the library is asked
        write(USUAL | unusual)


def test_a_field_that_is_left_to_its_default_is_left_to_the_library() -> None:
    with pytest.raises(KeyError):
        writers(0)[0]({name: value for name, value in USUAL.items() if name != "text"})


def test_tuples_are_arrays_too() -> None:
    tuples = {"inner": {"a": ({"again": "RED", "half": None},)}}
    assert writers(0)[0](USUAL | tuples) == by_library(0, USUAL | tuples)


def test_a_tuple_that_may_be_none_is_left_to_the_library() -> None:  # it takes it for a type and a value
    with pytest.raises(Unusual):
        writers(0)[0](USUAL | {"maybe": (1, 2)})


def test_more_values_than_fields_are_no_harm() -> None:
    assert writers(0)[0](USUAL | {"more": 1}) == by_library(0, USUAL)

"""What is read in one pass is what check and decoder read, and what they refuse it never reads, whatever the bytes."""

import io
from functools import cache
from typing import Any

import fastavro
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from neural_hive.schemas.catalogue import registered, schema_of, without_logical_types
from neural_hive.schemas.quick import QuickReader, quick_reader, read_to_end
from neural_hive.schemas.strict import VALUES_MAX, Program, check, compiled
from tests.schemas import samples

NUMBERS = sorted(registered())
EVERYTHING: Any = {
    "type": "record",
    "name": "Everything",
    "fields": [
        {"name": "text", "type": "string"},
        {"name": "flag", "type": "boolean"},
        {"name": "half", "type": "double"},
        {"name": "few", "type": "int"},
        {"name": "many", "type": "long"},
        {"name": "maybe", "type": ["null", {"type": "array", "items": "long"}]},
        {
            "name": "kind",
            "type": {"type": "enum", "name": "Kind", "symbols": ["A", "B", "C"], "default": "A"},
        },
        {
            "name": "nested",
            "type": {
                "type": "map",
                "values": {
                    "type": "array",
                    "items": {
                        "type": "record",
                        "name": "Inner",
                        "fields": [{"name": "again", "type": "Kind"}, {"name": "raw", "type": "bytes"}],
                    },
                },
            },
        },
    ],
}


def schema(number: int) -> Any:
    """A registered one; 0: one that has all there can be."""
    return schema_of(number) if number else EVERYTHING


@cache
def readers(number: int) -> tuple[QuickReader, Program, Any]:
    """All that read a schema's data."""
    return quick_reader(schema(number)), compiled(schema(number)), parsed(number)


@cache
def parsed(number: int) -> Any:
    """For the decoder."""
    return fastavro.parse_schema(without_logical_types(schema(number)))


def written(number: int, value: Any) -> bytes:
    """As the encoder writes it."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, parsed(number), value)
    return out.getvalue()


def never_otherwise(number: int, data: bytes) -> bool:
    """Whether the data was read in one pass; then check and decoder must have read the same."""
    quick, program, slow = readers(number)
    found = read_to_end(quick, data, 0)
    if found is None:
        return False
    check(program, data, 0)
    assert repr(fastavro.schemaless_reader(io.BytesIO(data), slow, None)) == repr(found)
    return True


@pytest.mark.parametrize("number", [0, *NUMBERS])
def test_a_value_of_every_schema_is_read_in_one_pass(number: int) -> None:
    assert never_otherwise(number, written(number, samples.fixed(schema(number))))


@settings(max_examples=300)
@given(st.data(), st.sampled_from([0, *NUMBERS]))
def test_all_values_that_fit_are_read_in_one_pass(data: st.DataObject, number: int) -> None:
    assert never_otherwise(number, written(number, data.draw(samples.values(schema(number)))))


@settings(max_examples=1_000)
@given(
    st.sampled_from([0, 0, *NUMBERS]),
    st.lists(st.tuples(st.floats(0, 0.999999), st.integers(0, 255)), min_size=1, max_size=3),
    st.floats(0.5, 1.0),
)
@example(0, [(0.0, 1)], 1.0)  # a text of negative length
def test_changed_and_cut_bytes(number: int, changes: list[tuple[float, int]], cut: float) -> None:
    data = bytearray(written(number, samples.fixed(schema(number))))
    for place, byte in changes:
        data[int(place * len(data))] = byte
    never_otherwise(number, bytes(data[: max(1, int(cut * len(data)))]))


@settings(max_examples=500)
@given(st.binary(max_size=60))
def test_any_bytes(data: bytes) -> None:
    never_otherwise(0, data)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("string", b"\x01a"),  # a negative length
        ("string", b"\x08ab"),  # cut
        ("string", b"\x02\xff"),  # not UTF-8
        ("string", b"\x02ab"),  # too many bytes
        ("int", b"\x80\x80\x80\x80\x10"),  # more than 32 bits
        ("long", b"\xff" * 10 + b"\x01"),  # more than ten bytes
        ("boolean", b"\x02"),
        ("double", b"\0" * 7),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, b"\x02"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, b"\x01"),
        (["null", "long"], b"\x04\x02"),
        (["null", "long"], b"\x01\x02"),
        ({"type": "array", "items": "long"}, b"\x04\x02"),  # an item is missing
        ({"type": "array", "items": "long"}, b"\xfe\xff\xff\xff\x0f\x02"),  # as many as no memory has
        (
            {"type": "array", "items": "long"},
            b"\x01\x02\x02\x00",
        ),  # a block that tells its size: for the others
    ],
)
def test_what_is_not_as_usual_is_left_to_the_others(kind: Any, data: bytes) -> None:
    assert read_to_end(quick_reader(kind), data, 0) is None


@given(st.integers(-(2**63), 2**63 - 1) | st.integers(2**48, 2**56))
def test_numbers_of_every_length(number: int) -> None:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, {"type": "long"}, number)
    assert read_to_end(quick_reader("long"), out.getvalue(), 0) == number


def test_very_large_data_is_left_to_the_others() -> None:
    values = [0] * VALUES_MAX
    out = io.BytesIO()
    fastavro.schemaless_writer(out, {"type": "array", "items": "long"}, values)
    assert read_to_end(quick_reader({"type": "array", "items": "long"}), out.getvalue(), 0) is None

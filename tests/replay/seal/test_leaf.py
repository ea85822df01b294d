"""Canonical forms: each record has one, no two share one, and it reads back."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_hive.connectors.kafka_log import Record
from neural_hive.replay.seal.leaf import Head, head_leaf, heads_root, record_leaf, record_of, seal_leaf
from neural_hive.replay.seal.packed import NotCanonical

NUMBERS = st.integers(0, 2**62)
NULLABLE = st.none() | st.binary(max_size=40)
RECORDS = st.builds(
    Record,
    st.text(max_size=10),
    st.integers(0, 1000),
    NUMBERS,
    st.integers(-1, 2**62),
    NULLABLE,
    NULLABLE,
    st.lists(st.tuples(st.text(max_size=8), NULLABLE), max_size=4).map(tuple),
)
ONE = Record("topic", 3, 7, 1_795_000_000_000, b"key", b"value", (("a", b"1"), ("b", None)))
HEAD = Head("topic", 3, 8, b"r" * 32, 9)


@settings(deadline=None)
@given(RECORDS)
def test_a_record_reads_back(record: Record) -> None:
    assert record_of(record_leaf(record)) == record


@settings(deadline=None)
@given(RECORDS, RECORDS)
def test_two_records_have_two_forms(one: Record, other: Record) -> None:
    assert (record_leaf(one) == record_leaf(other)) == (one == other)


@pytest.mark.parametrize(
    "change",
    [
        {"topic": "topi"},
        {"partition": 4},
        {"offset": 8},
        {"timestamp_ms": 1},
        {"key": b"ke"},
        {"key": None},
        {"key": b""},
        {"value": None},
        {"value": b"valuf"},
        {"headers": ()},
        {"headers": (("b", None), ("a", b"1"))},
        {"headers": (("a", b"1"), ("b", b""))},
        {"headers": (("ab", b"1"), ("", None))},
    ],
)
def test_every_part_of_a_record_counts(change: dict[str, object]) -> None:
    assert record_leaf(msgspec.structs.replace(ONE, **change)) != record_leaf(ONE)


def test_the_form_is_fixed() -> None:
    """What is sealed today must have the same bytes in ten years."""
    expected = (
        b"neural-hive record v1\n\0\0\0\5topic\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0\7"
        + (1_795_000_000_000).to_bytes(8, "big")
        + b"\1\0\0\0\3key\1\0\0\0\5value\0\0\0\0\0\0\0\2\0\0\0\1a\1\0\0\0\0011\0\0\0\1b\0"
    )
    assert record_leaf(ONE) == expected


@settings(deadline=None)
@given(st.data())
def test_changed_bytes_are_another_record_or_none(data: st.DataObject) -> None:
    leaf = record_leaf(ONE)
    at = data.draw(st.integers(0, len(leaf) - 1))
    changed = leaf[:at] + bytes((leaf[at] ^ data.draw(st.integers(1, 255)),)) + leaf[at + 1 :]
    for forged in (changed, leaf[:at], leaf + leaf[:at] + b"\0"):
        try:
            assert record_of(forged) != ONE
        except NotCanonical:
            continue


def test_kinds_of_leaves_do_not_mix() -> None:
    with pytest.raises(NotCanonical, match="another kind"):
        record_of(head_leaf(HEAD))
    with pytest.raises(NotCanonical, match="another kind"):
        record_of(seal_leaf(1, 1, b"r" * 32, b"k" * 32))


@pytest.mark.parametrize(
    "change",
    [{"topic": "t"}, {"partition": 0}, {"size": 7}, {"root": b"q" * 32}, {"last_offset": 8}],
)
def test_every_part_of_a_head_counts(change: dict[str, object]) -> None:
    assert heads_root([msgspec.structs.replace(HEAD, **change)]) != heads_root([HEAD])


def test_a_head_has_a_whole_root() -> None:
    with pytest.raises(NotCanonical):
        head_leaf(msgspec.structs.replace(HEAD, root=b"r"))

"""What stands in the log is what was recorded, and records that do not follow from each other are refused."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neural_hive.eventsourcing.draft import BrokenLog, Draft
from neural_hive.eventsourcing.records import VERSION_MAX, Entry, Insert, RecordWriter, Stored, Tracked, read
from neural_hive.eventsourcing.rows import FORM, Position, event_key, event_prefix, id_and_version
from neural_hive.eventsourcing.topics import BadName, application_topics, topic_name
from neural_hive.schemas.codec import BadRecord, decode
from neural_hive.schemas.envelope import NO_HASH

NUMBERS = st.integers(0, VERSION_MAX)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=80)
STORED = st.builds(Stored, TEXTS, st.booleans(), NUMBERS, NUMBERS, TEXTS, st.binary(max_size=200))
TRACKED = st.builds(Tracked, TEXTS, NUMBERS, NUMBERS)
INSERT = Insert("0b1b3a5e-9d4f-4a3c-8a54-4e5f8d6c7b2a", 1_795_365_762_000_000)
WRITER = RecordWriter("eventsourcing.Test")


@given(STORED | TRACKED, NUMBERS, st.binary(min_size=32, max_size=32))
def test_what_is_written_is_read(content: Stored | Tracked, sequence: int, prev_hash: bytes) -> None:
    entry, value = WRITER.write(content, sequence, prev_hash, INSERT)
    assert read(value) == entry == Entry(content, sequence, prev_hash, entry.hash)
    head = decode(value, "event").head
    assert (head.producer, head.sequence) == ("eventsourcing.Test", sequence)


@given(TEXTS, NUMBERS, TEXTS, NUMBERS)
def test_keys_are_in_the_order_of_versions(one: str, first: int, other: str, second: int) -> None:
    key, following = event_key(one, first), event_key(one, second)
    assert id_and_version(key) == (one, first)
    assert (key < following) == (first < second)
    assert event_key(other, second).startswith(event_prefix(one)) == (one == other)


def test_other_events_are_none_of_this_log() -> None:
    with pytest.raises(BadRecord):
        read(b"nonsense")
    with pytest.raises(BadRecord):
        read(b"\0\0\0\0\1")


def entries() -> list[Entry]:
    draft, made = Draft(Position(FORM, "id"), {}.get), list[Entry]()
    contents = [
        Stored("a", False, 1, 1, "t", b""),
        Tracked("up", 1, 7),
        Stored("a", False, 2, 2, "t", b""),
        Stored("b", False, 0, 3, "t", b""),
        Tracked("up", 2, 8),
    ]
    for content in contents:
        entry, _ = WRITER.write(content, draft.position.sequence + 1, draft.prev_hash(content), INSERT)
        draft.add(entry)
        made.append(entry)
    assert (draft.position.sequence, draft.position.notification_id) == (5, 3)
    return made


def test_a_gap_a_fork_and_a_repeat_are_refused() -> None:
    whole = entries()
    change = msgspec.structs.replace
    for wrong, why in (
        ([*whole[:1], *whole[2:]], "sequence 3 follows 1"),
        ([*whole, whole[-1]], "sequence 5 follows 5"),
        ([*whole[:2], change(whole[2], prev_hash=NO_HASH)], "does not continue the chain of a"),
        ([change(whole[0], content=change(whole[0].content, notification_id=2))], "notification 2 follows 0"),
        ([*whole[:2], change(whole[2], content=change(whole[2].content, version=1))], "version 1 twice"),
    ):
        draft = Draft(Position(FORM, "id"), {}.get)
        with pytest.raises(BrokenLog, match=why):
            for entry in wrong:
                draft.add(entry)


def test_names_of_topics() -> None:
    assert topic_name("Accounts") == "eventsourcing.Accounts"
    assert topic_name("Accounts", "snapshots") == "eventsourcing.Accounts.snapshots"
    assert [topic.name for topic in application_topics("A", "B")] == [
        "eventsourcing.A",
        "eventsourcing.A.snapshots",
        "eventsourcing.B",
        "eventsourcing.B.snapshots",
    ]
    for wrong in ("", "a.snapshots", "a b", "x" * 129):
        with pytest.raises(BadName, match="letters"):
            topic_name(wrong)

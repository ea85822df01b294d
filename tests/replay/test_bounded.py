"""What verification remembers of a log is right in memory and out of it."""

from array import array
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from neural_hive.connectors.kafka_log import Record
from neural_hive.replay.checks.answers import Marks
from neural_hive.replay.checks.latest import NONE_YET, LatestEvents
from neural_hive.replay.checks.silent import SilentInputs
from tests.replay.memory_source import MemorySource

OFFSETS = some.sets(some.integers(0, 20_000) | some.integers(1 << 40, (1 << 40) + 5_000), max_size=30)


@pytest.mark.parametrize("in_memory", [1_000, 7])
def test_the_latest_event_of_each_aggregate(tmp_path: Path, in_memory: int) -> None:
    latest = LatestEvents(tmp_path / "latest", in_memory)
    expected = {}
    for number in range(400):
        of = (("ticket", "workflow")[number % 2], f"id-{number * 7 % 61}")
        assert latest.get(of) == expected.get(of, NONE_YET)
        expected[of] = (number, bytes([number % 256]) * 32, 1_795_000_000_000_000 + number, b"key")
        latest.put(of, expected[of])
    assert latest.count == len(expected)
    assert {of: latest.get(of) for of in expected} == expected
    assert (tmp_path / "latest").exists() == (in_memory == 7)
    latest.close()


@given(OFFSETS, OFFSETS, some.integers(0, 25_000))
def test_marks(mine: set[int], others: set[int], offset: int) -> None:
    marks, more = Marks(), Marks()
    for each in mine:
        marks.mark("topic", 1, each)
    for each in others:
        more.mark("topic", 1, each)
        more.mark("topic", 2, each + 1)
    marks.add(more.packed())
    both = mine | others
    assert all(marks.has("topic", 1, each) for each in both)
    assert marks.has("topic", 1, offset) == (offset in both)
    assert not marks.has("other", 1, offset)
    assert marks.beyond("topic", 1, offset) == min((each for each in both if each >= offset), default=None)
    assert marks.beyond("topic", 2, -1) == min((each + 1 for each in others), default=None)


def test_a_forged_place_takes_little_memory() -> None:
    marks = Marks()
    marks.mark("topic", 0, (1 << 63) - 1)
    marks.mark("topic", 0, -1)
    assert marks.has("topic", 0, (1 << 63) - 1)
    assert not marks.has("topic", 0, -1)
    assert sum(len(bits) for *_, bits in marks.packed()) < 1_000


def test_silent_inputs_are_read_in_order(tmp_path: Path) -> None:
    records = [Record("topic", 3, offset, 0, None, b"v", ()) for offset in range(0, 60_000, 2)]
    source = MemorySource({("topic", 3): records}, {("topic", 3): 60_000})
    wanted = list(range(10, 50_000, 4))
    silent = SilentInputs(tmp_path, "name")
    silent.add(("topic", 3), array("q", wanted[:5]))
    silent.add(("topic", 3), array("q", wanted[5:]))
    again = SilentInputs(tmp_path, "", {"topic:3": silent.file(("topic", 3)).name})
    assert again.places() == [("topic", 3)]
    assert list(again.offsets(("topic", 3))) == wanted
    assert [record.offset for record in again.records(("topic", 3), source)] == wanted


def test_a_silent_input_that_has_expired_is_passed_over(tmp_path: Path) -> None:
    records = [Record("topic", 3, offset, 0, None, b"v", ()) for offset in (4, 7)]
    source = MemorySource({("topic", 3): records}, {("topic", 3): 9})
    silent = SilentInputs(tmp_path, "name")
    silent.add(("topic", 3), array("q", (2, 4, 5, 7, 8)))
    assert [record.offset for record in silent.records(("topic", 3), source)] == [4, 7]

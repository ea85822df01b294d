"""Whatever lay between the records, each stands at its offset again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neural_hive.connectors.kafka_log import Record
from neural_hive.replay.backup import gaps
from neural_hive.replay.backup.gaps import Blank, Commit, Fill, Step, Write, steps


def record(offset: int) -> Record:
    return Record("t", 0, offset, offset * 7, b"key", b"value", ())


class Partition:
    """What Kafka does with the steps: offsets one after the other, a marker behind each transaction."""

    def __init__(self) -> None:
        self.records: dict[int, Record | None] = {}
        self.end = 0

    def take(self, step: Step) -> None:
        match step:
            case Write(records) | Commit(records):
                assert records, "an empty write takes no time and no offset"
                for each in records:
                    self._append(each)
                self.end += isinstance(step, Commit)
            case Fill(first, fillers):
                assert (first, fillers > 0) == (self.end, True)
                self.end += fillers + 1
            case Blank():
                self._append(None)

    def _append(self, each: Record | None) -> None:
        self.records[self.end] = each
        self.end += 1


def written(offsets: list[int], end: int) -> Partition:
    partition = Partition()
    for step in steps(map(record, offsets), end):
        partition.take(step)
    return partition


pieces = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 6)), max_size=12)  # records, then a gap


@given(pieces, st.integers(0, 9))
def test_any_gaps_give_the_same_offsets(pieces: list[tuple[int, int]], begin: int) -> None:
    offsets, at = list[int](), begin
    for count, gap in pieces:
        offsets += range(at, at + count)
        at += count + gap
    partition = written(offsets, at)
    assert partition.end == at
    blank = {0: None} if (offsets[0] if offsets else at) == 1 else {}
    assert partition.records == {offset: record(offset) for offset in offsets} | blank


@given(st.integers(1, 60), st.integers(1, 7), st.integers(1, 4), st.integers(0, 3))
def test_runs_and_gaps_longer_than_a_write(gap: int, most: int, fillers: int, tail: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gaps, "RECORDS_MAX", most)
        patch.setattr(gaps, "FILLERS_MAX", fillers)
        offsets = [*range(20), *range(20 + gap, 40 + gap)]
        partition = written(offsets, 40 + gap + tail)
    assert partition.end == 40 + gap + tail
    assert list(partition.records) == offsets


def test_one_offset_behind_records_is_their_marker() -> None:
    assert list(steps([record(0), record(1)], 3)) == [Commit([record(0), record(1)])]


def test_more_than_one_offset_is_filled() -> None:
    assert list(steps([record(0)], 3)) == [Write([record(0)]), Fill(1, 1)]
    assert list(steps([record(3)], 4)) == [Fill(0, 2), Write([record(3)])]


def test_an_empty_partition_needs_nothing() -> None:
    assert list(steps([], 0)) == []


@pytest.mark.parametrize("offsets", [[1, 1], [2, 0], [5]])
def test_offsets_that_cannot_be_are_refused(offsets: list[int]) -> None:
    with pytest.raises(ValueError, match="does not stand between"):
        list(steps(map(record, offsets), 5))

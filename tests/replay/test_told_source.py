"""Whoever waits for a verification is told of each record that was read, once, from whichever source it came."""

from collections.abc import Iterator

from neural_hive.connectors.record import Record
from neural_hive.replay.reader import JoinedSource, NotedSource, Range, Span, ToldSource

TOPIC = "execution.tickets"


class Records:
    """A partition that begins somewhere, in lists of two."""

    def __init__(self, name: str, first: int, end: int) -> None:
        self.name, self._first, self._end = name, first, end

    def ranges(self, topic: str) -> dict[int, Range]:
        return {0: (self._first, self._end)}

    def spans(self, topic: str, partition: int, first: int, end: int) -> list[Span]:
        return [(self.name, self, first, end)]

    def batches(self, topic: str, partition: int, first: int, end: int) -> Iterator[list[Record]]:
        for at in range(first, end, 2):
            yield [Record(topic, 0, n, 0, None, None, ()) for n in range(at, min(at + 2, end))]


def _read(source: NotedSource | ToldSource) -> list[int]:
    [(first, end)] = source.ranges(TOPIC).values()
    return [record.offset for batch in source.batches(TOPIC, 0, first, end) for record in batch]


def test_all_that_is_read_is_told_once() -> None:
    told: list[tuple[str, int, int]] = []
    for source in (Records("kafka", 0, 9), JoinedSource(Records("archive", 0, 5), Records("kafka", 5, 9))):
        for read in (
            lambda source: _read(source),
            lambda source: _read(NotedSource(source)),
        ):
            told.clear()
            assert read(ToldSource(source, lambda *what: told.append(what))) == list(range(9))
            assert sum(count for _, _, count in told) == 9
            assert {(topic, partition) for topic, partition, _ in told} == {(TOPIC, 0)}


def test_the_parts_say_where_each_came_from() -> None:
    joined = JoinedSource(Records("archive", 0, 5), Records("kafka", 5, 9))
    noted = NotedSource(ToldSource(joined, lambda *what: None))
    _read(noted)
    assert [(part.source, part.records) for part in noted.parts] == [("archive", 5), ("kafka", 4)]

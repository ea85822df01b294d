"""What each run of events follows from: a record of an input, or a timer of the state."""

from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Final

import msgspec

from neural_hive.connectors.kafka_log import Record, UnreadableLog
from neural_hive.replay.checks.chain import Event
from neural_hive.replay.reader import LogSource, Range

_NOWHERE: Final = 1 << 62


class Caused(msgspec.Struct, frozen=True):
    """All that one cause has left in the log, in order."""

    events: tuple[Event, ...]

    @property
    def first(self) -> Event:
        """Its first event."""
        return self.events[0]

    @property
    def is_timer(self) -> bool:
        """Whether it follows from no record."""
        return not self.first.rest["source_topic"]

    @property
    def message_id(self) -> str:
        """The id of the message or timer."""
        return str(self.first.rest["causation_id"])


def by_cause(events: Iterable[Event]) -> Iterator[Caused]:
    """Events in their order, those of one cause together. What claims the place of another one is passed over."""
    run: list[Event] = []
    last = 0
    for event in events:
        if event.rest["sequence"] <= last:
            continue  # recovery passes over it too
        last = event.rest["sequence"]
        if run and _cause_of(event) != _cause_of(run[0]):
            yield Caused(tuple(run))
            run = []
        run.append(event)
    if run:
        yield Caused(tuple(run))


def _cause_of(event: Event) -> tuple[str, int, str]:
    return event.rest["source_topic"], event.rest["source_offset"], event.rest["causation_id"]


class Inputs:
    """The records of one partition's inputs, asked for in about the order in which they lie."""

    def __init__(self, source: LogSource, partition: int) -> None:
        self._source, self._partition = source, partition
        self._readers: dict[str, tuple[int, Generator[Record, None, None]]] = {}
        self._ranges: dict[str, Mapping[int, Range]] = {}

    def record(self, topic: str, offset: int) -> Record | None:
        """The record at an offset; None: it is not in the log any more."""
        begin, end = self._range(topic)
        if not begin <= offset < end:
            return None
        at, records = self._readers.get(topic, (_NOWHERE, None))
        if records is None or offset < at:
            records = self._from(topic, offset, end)
        found = next((record for record in records if record.offset >= offset), None)
        self._readers[topic] = (found.offset + 1 if found else end, records)
        return found if found is not None and found.offset == offset else None

    def close(self) -> None:
        """Ends what is read still."""
        for _, records in self._readers.values():
            records.close()
        self._readers.clear()

    def _from(self, topic: str, first: int, end: int) -> Generator[Record, None, None]:
        for batch in self._source.batches(topic, self._partition, first, end):
            yield from batch

    def _range(self, topic: str) -> Range:
        if topic not in self._ranges:
            try:
                self._ranges[topic] = self._source.ranges(topic)
            except UnreadableLog:
                self._ranges[topic] = {}
        return self._ranges[topic].get(self._partition, (0, 0))

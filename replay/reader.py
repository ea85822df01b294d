"""One reader over the log: the same records from Kafka, or from the archive where Kafka has no more."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from neural_hive.connectors.kafka_log import CommittedLog, Offsets, Record, UnreadableLog
from neural_hive.replay.report import Part

Range = tuple[int, int]  # first offset, and the one that follows the last
Span = tuple[str, "LogSource", int, int]  # the name of a source, the source, and the range it gives


class NothingArchived(UnreadableLog):
    """Of the topic nothing stands in the archive: it is empty, or the projector has not come to it."""


class LogSource(Protocol):
    """Somewhere that whole partitions can be read from, in the order of the log."""

    @property
    def name(self) -> str:
        """What reports call it."""
        ...

    def ranges(self, topic: str) -> Mapping[int, Range]:
        """What there is of each partition now. Raises UnreadableLog: the topic is not there."""
        ...

    def spans(self, topic: str, partition: int, first: int, end: int) -> list[Span]:
        """Which source gives which part of a range."""
        ...

    def batches(self, topic: str, partition: int, first: int, end: int) -> Iterator[list[Record]]:
        """The records of [first, end), in lists."""
        ...


class KafkaSource:
    """The log itself: committed records, transaction markers and aborted ones left out."""

    name = "kafka"

    def __init__(self, config: Mapping[str, Any], stall_s: float = 30.0) -> None:
        self.config = config
        self._stall_s = stall_s
        self._offsets = Offsets(config)

    def ranges(self, topic: str) -> dict[int, Range]:
        """See LogSource.ranges; the end includes what open transactions hold: reading waits for them."""
        return self._offsets.ranges(topic)

    def spans(self, topic: str, partition: int, first: int, end: int) -> list[Span]:
        """See LogSource.spans."""
        return [(self.name, self, first, end)]

    def batches(self, topic: str, partition: int, first: int, end: int) -> Iterator[list[Record]]:
        """See LogSource.batches. Raises StalledLog, LostLog, UnreadableLog."""
        return CommittedLog(self.config, topic, partition, first, end, self._stall_s).batches()


class JoinedSource:
    """The archive where Kafka has no more, Kafka for the rest."""

    name = "kafka and archive"

    def __init__(self, archive: LogSource, kafka: LogSource) -> None:
        self._archive, self._kafka = archive, kafka
        self._begins: dict[tuple[str, int], int] = {}

    def ranges(self, topic: str) -> dict[int, Range]:
        """See LogSource.ranges. Raises UnreadableLog: something is in neither of them."""
        found = dict(self._kafka.ranges(topic))
        self._begins |= {(topic, partition): begin for partition, (begin, _) in found.items()}
        deleted = {partition: begin for partition, (begin, _) in found.items() if begin}
        archived = self._archived(topic) if deleted else {}
        for partition, begin in deleted.items():
            first, end = archived.get(partition, (0, 0))
            if end < begin:
                raise UnreadableLog(
                    f"{topic}:{partition} begins at offset {begin} in Kafka and ends at {end} in the archive: what is "
                    "between them is in neither"
                )
            found[partition] = (first, found[partition][1])
        return found

    def _archived(self, topic: str) -> Mapping[int, Range]:
        try:
            return self._archive.ranges(topic)
        except NothingArchived:
            return {}

    def spans(self, topic: str, partition: int, first: int, end: int) -> list[Span]:
        """See LogSource.spans. What Kafka has is looked up once, by the first `ranges`."""
        if (topic, partition) not in self._begins:
            self.ranges(topic)
        begin = self._begins[topic, partition]
        spans = [*self._archive.spans(topic, partition, first, min(begin, end))] if first < begin else []
        return spans + (self._kafka.spans(topic, partition, max(first, begin), end) if begin < end else [])

    def batches(self, topic: str, partition: int, first: int, end: int) -> Iterator[list[Record]]:
        """See LogSource.batches."""
        for _, source, start, stop in self.spans(topic, partition, first, end):
            yield from source.batches(topic, partition, start, stop)


class NotedSource:
    """Another source, with a note of all that was read from it and where."""

    def __init__(self, source: LogSource) -> None:
        self._source = source
        self.name = source.name
        self.parts: list[Part] = []

    def ranges(self, topic: str) -> Mapping[int, Range]:
        """See LogSource.ranges."""
        return self._source.ranges(topic)

    def spans(self, topic: str, partition: int, first: int, end: int) -> list[Span]:
        """See LogSource.spans."""
        return self._source.spans(topic, partition, first, end)

    def batches(self, topic: str, partition: int, first: int, end: int) -> Iterator[list[Record]]:
        """See LogSource.batches."""
        for name, source, start, stop in self.spans(topic, partition, first, end):
            count, read_to = 0, start
            try:
                for batch in source.batches(topic, partition, start, stop):
                    count += len(batch)
                    read_to = batch[-1].offset + 1 if batch else read_to
                    yield batch
                read_to = stop
            finally:  # who has enough reads no further
                self.parts.append(Part(name, topic, partition, start, read_to, count))


Told = Callable[[str, int, int], None]  # topic, partition, how many records of it were just read


class ToldSource:
    """Another source; whoever waits is told of all that is read from it."""

    def __init__(self, source: LogSource, told: Told) -> None:
        self.name = source.name
        self._source, self._told = source, told

    def ranges(self, topic: str) -> Mapping[int, Range]:
        """See LogSource.ranges."""
        return self._source.ranges(topic)

    def spans(self, topic: str, partition: int, first: int, end: int) -> list[Span]:
        """See LogSource.spans."""
        spans = self._source.spans(topic, partition, first, end)
        # A source that is whole names itself, and would be told of twice.
        return [
            (name, self if source is self._source else ToldSource(source, self._told), start, stop)
            for name, source, start, stop in spans
        ]

    def batches(self, topic: str, partition: int, first: int, end: int) -> Iterator[list[Record]]:
        """See LogSource.batches."""
        for batch in self._source.batches(topic, partition, first, end):
            self._told(topic, partition, len(batch))
            yield batch

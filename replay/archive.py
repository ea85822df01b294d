"""The archive in ClickHouse as a source: the records as they lay in the log, also when Kafka has them no more."""

from neural_hive.projections.archive_reader import ArchiveReader
from neural_hive.replay.reader import NothingArchived, Range, Span


class ArchiveSource(ArchiveReader):
    """See LogSource. Not safe to share between threads."""

    name = "archive"

    def ranges(self, topic: str) -> dict[int, Range]:
        """See LogSource.ranges. Raises NothingArchived."""
        known = {p.partition: p.next for p in self.positions().values() if p.topic == topic}
        if not known:
            raise NothingArchived(f"the archive has nothing of {topic}")
        return {partition: (0, known.get(partition, 0)) for partition in range(max(known) + 1)}

    def spans(self, topic: str, partition: int, first: int, end: int) -> list[Span]:
        """See LogSource.spans."""
        return [(self.name, self, first, end)]

"""The archive in ClickHouse as a source: the records as they lay in the log, also when Kafka has them no more."""

from typing import Final

from neural_hive.projections.archive_reader import ArchiveReader
from neural_hive.replay.reader import NothingArchived, Range, Span
from neural_hive.replay.seal.leaf import record_prefix
from neural_hive.schemas.extensions import all_topics

Digest = tuple[int, bytes]  # how many records, and SHA-256 over their canonical forms, one behind the other
_DIGEST: Final = """
WITH
    (n -> unhex(leftPad(hex(n), 16, '0'))) AS number,
    (bytes -> concat(unhex(leftPad(hex(length(bytes)), 8, '0')), bytes)) AS blob,
    (bytes -> if(isNull(bytes), unhex('00'), concat(unhex('01'), blob(assumeNotNull(bytes))))) AS optional
SELECT count(), hex(SHA256(arrayStringConcat(arrayMap(row -> row.2, arraySort(groupArray((offset, leaf)))))))
FROM (
    SELECT offset, concat(
        unhex({prefix:String}), number(offset), number(reinterpretAsUInt64(toUnixTimestamp64Milli(timestamp))),
        optional(key), optional(value), number(length(headers)),
        arrayStringConcat(arrayMap(header -> concat(blob(header.1), optional(header.2)), headers))
    ) AS leaf
    FROM %s
    WHERE topic = {topic:String} AND partition = {partition:UInt32}
        AND offset >= {first:UInt64} AND offset < {end:UInt64}
)
"""


class ArchiveSource(ArchiveReader):
    """See LogSource. Not safe to share between threads."""

    name = "archive"
    partitions = 0  # of each topic, as far as one knows: the archive tells of those only that hold something

    def ranges(self, topic: str) -> dict[int, Range]:
        """See LogSource.ranges. Raises NothingArchived."""
        known = {p.partition: p.next for p in self.positions().values() if p.topic == topic}
        if not known:
            raise NothingArchived(f"the archive has nothing of {topic}")
        count = max(max(known) + 1, self._count(topic))
        return {partition: (0, known.get(partition, 0)) for partition in range(count)}

    def _count(self, topic: str) -> int:
        declared = all_topics().get(topic)
        return 1 if declared is not None and declared.is_single else self.partitions

    def spans(self, topic: str, partition: int, first: int, end: int) -> list[Span]:
        """See LogSource.spans."""
        return [(self.name, self, first, end)]

    def digest(self, topic: str, partition: int, first: int, end: int) -> Digest:
        """Over the records of [first, end), made by the engine of what the table has: see `record_leaf`."""
        params = {"topic": topic, "partition": partition, "first": first, "end": end}
        params["prefix"] = record_prefix(topic, partition).hex()
        [(count, digest)] = self._clickhouse.rows(_DIGEST % self._table(topic), params)
        return int(count), bytes.fromhex(digest)

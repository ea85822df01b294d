"""The archive in ClickHouse as a source: the records as they lay in the log, also when Kafka has them no more."""

import io
from collections.abc import Iterator
from typing import Any, Final

import fastavro

from neural_hive.connectors.clickhouse import ClickHouse
from neural_hive.connectors.kafka_log import Record, UnreadableLog
from neural_hive.projections.positions import Position, read_standing
from neural_hive.replay.reader import Range, Span

PAGE_RECORDS: Final = 20_000
PAGE_BYTES: Final = 32 * 1024 * 1024
_WHERE: Final = (
    "topic = {topic:String} AND partition = {partition:UInt32} "
    "AND offset >= {first:UInt64} AND offset < {end:UInt64} ORDER BY offset"
)
_RECORD: Final = (
    "SELECT offset::Int64 AS o, toUnixTimestamp64Milli(timestamp) AS t, key AS k, value AS v, "
    "arrayMap(h -> h.1, headers) AS names, arrayMap(h -> h.2, headers) AS contents"
)
_BYTES: Final = "SETTINGS output_format_avro_string_column_pattern = '^no column is text$'"


class ArchiveSource:
    """The tables `events` and `messages`, one after the other as one log. Not safe to share between threads."""

    name = "archive"

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        self._tables: dict[str, str] = {}

    def positions(self) -> dict[tuple[str, int], Position]:
        """How far each partition is archived. Empty if nothing ever was."""
        found = self._clickhouse.rows(
            "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'positions'"
        )
        return dict(read_standing(_Reading(self._clickhouse)).positions) if found[0][0] else {}

    def ranges(self, topic: str) -> dict[int, Range]:
        """See LogSource.ranges. Raises UnreadableLog: nothing of the topic is archived."""
        known = {p.partition: p.next for p in self.positions().values() if p.topic == topic}
        if not known:
            raise UnreadableLog(f"the archive has nothing of {topic}")
        return {partition: (0, known.get(partition, 0)) for partition in range(max(known) + 1)}

    def spans(self, topic: str, partition: int, first: int, end: int) -> list[Span]:
        """See LogSource.spans."""
        return [(self.name, self, first, end)]

    def batches(self, topic: str, partition: int, first: int, end: int) -> Iterator[list[Record]]:
        """See LogSource.batches."""
        table = self._table(topic)
        while first < end:
            params = {"topic": topic, "partition": partition, "first": first, "end": end}
            page_end = self._page_end(table, params)
            if page_end is None:
                return
            sql = f"{_RECORD} FROM {table} WHERE {_WHERE} {_BYTES}"
            body = self._clickhouse.raw(sql, {**params, "end": page_end}, "Avro")
            yield [_record(topic, partition, row) for row in fastavro.reader(io.BytesIO(body))]
            first = page_end

    def _page_end(self, table: str, params: dict[str, Any]) -> int | None:
        """The offset behind the next page: so many records, or so many bytes; None if no record follows."""
        sql = f"SELECT offset, length(value) FROM {table} WHERE {_WHERE} LIMIT {PAGE_RECORDS}"
        size_bytes = 0
        offset = None
        for found, length in self._clickhouse.rows(sql, params):
            if offset is not None and size_bytes + (length or 0) > PAGE_BYTES:
                break
            size_bytes += length or 0
            offset = int(found)
        return None if offset is None else offset + 1

    def _table(self, topic: str) -> str:
        if topic not in self._tables:
            sql = "SELECT count() FROM events WHERE topic = {topic:String}"
            [(count,)] = self._clickhouse.rows(sql, {"topic": topic})
            self._tables[topic] = "events" if count else "messages"
        return self._tables[topic]


class _Reading:
    """What the positions ask of a server, when they are only read."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self.rows = clickhouse.rows

    def command(self, sql: str, settings: object = None) -> None:
        raise AssertionError("positions are only read here")

    def insert(self, sql: str, body: bytes, settings: object) -> None:
        raise AssertionError("positions are only read here")


def _record(topic: str, partition: int, row: Any) -> Record:
    names = (name.decode() for name in row["names"])
    headers = tuple(zip(names, row["contents"], strict=True))
    return Record(topic, partition, row["o"], row["t"], row["k"], row["v"], headers)

"""Reads the archive as the log it is a copy of: the records as they lay there, also when Kafka has them no more."""

import io
from collections.abc import Iterator
from typing import Any, Final, Protocol, Self

import fastavro

from neural_hive.connectors.clickhouse import ClickHouse, ClickHouseError, ClickHouseSettings
from neural_hive.connectors.kafka_log import Record
from neural_hive.projections.positions import Position, read_standing
from neural_hive.projections.ranges import Place

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
_NOT_THERE: Final = (60, 81)  # UNKNOWN_TABLE, UNKNOWN_DATABASE: no projector has begun
_BYTES: Final = "SETTINGS output_format_avro_string_column_pattern = '^no column is text$'"


class ArchiveSettings(ClickHouseSettings, Protocol):
    """Which database holds the archive, and how to log in."""

    @property
    def clickhouse_secure(self) -> bool: ...

    def password_of(self, user: str) -> str:
        """The ClickHouse password of a user."""
        ...


class ArchiveReader:
    """The tables `events` and `messages`, one after the other as one log. Not safe to share between threads.

    Every call raises ClickHouseError.
    """

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        self._tables: dict[str, str] = {}

    @classmethod
    def of(cls, settings: ArchiveSettings) -> Self:
        """The archive that the settings name; nothing is asked of it yet."""
        password = settings.password_of(settings.clickhouse_user)
        return cls(ClickHouse.of(settings, password, secure=settings.clickhouse_secure))

    def positions(self) -> dict[Place, Position]:
        """How far each partition is archived. Empty if nothing ever was."""
        try:
            return dict(read_standing(self._clickhouse).positions)
        except ClickHouseError as error:
            if error.code in _NOT_THERE:
                return {}
            raise

    def batches(self, topic: str, partition: int, first: int, end: int) -> Iterator[list[Record]]:
        """The records of [first, end) of one partition, in lists."""
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

    def close(self) -> None:
        """Lets the server go."""
        self._clickhouse.close()

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


def _record(topic: str, partition: int, row: Any) -> Record:
    names = (name.decode() for name in row["names"])
    headers = tuple(zip(names, row["contents"], strict=True))
    return Record(topic, partition, row["o"], row["t"], row["k"], row["v"], headers)

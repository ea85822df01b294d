"""Records on their way into the archive, those of one partition and schema together, column by column.

A record costs the projector about as much as it has Python objects, so on the fast way it has none of its own.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from neural_hive.connectors.kafka_log import Record

ROOM_BYTES: Final = 300  # of an insert, for what a record has beside its own bytes


class Raw(msgspec.Struct, frozen=True):
    """One record for the archive: under which schema it is decoded, or why it is not."""

    record: Record
    schema_id: int  # 0: no schema id could be read
    error: str = ""  # not empty: kept as raw bytes only


class Group:
    """Records of one partition that are decoded alike, in the order of their offsets."""

    __slots__ = (
        "error",
        "headers",
        "keys",
        "offsets",
        "partition",
        "schema_id",
        "timestamps_ms",
        "topic",
        "values",
    )

    def __init__(self, topic: str, partition: int, schema_id: int, error: str = "") -> None:
        self.topic, self.partition = topic, partition
        self.schema_id, self.error = schema_id, error
        self.offsets: list[int] = []
        self.timestamps_ms: list[int] = []
        self.keys: list[bytes | None] = []
        self.headers: list[Sequence[tuple[str, bytes | None]]] = []
        self.values: list[bytes | None] = []

    def add(self, record: Record) -> None:
        """One record more."""
        self.offsets.append(record.offset)
        self.timestamps_ms.append(record.timestamp_ms)
        self.keys.append(record.key)
        self.headers.append(record.headers)
        self.values.append(record.value)

    def rows(self) -> Iterator[Raw]:
        """Its records one by one."""
        columns = (self.offsets, self.timestamps_ms, self.keys, self.values, self.headers)
        for offset, at_ms, key, value, headers in zip(*columns, strict=True):
            record = Record(self.topic, self.partition, offset, at_ms, key, value, tuple(headers))
            yield Raw(record, self.schema_id, self.error)


def grouped(rows: Iterable[Raw]) -> list[Group]:
    """The records by partition and schema."""
    found: dict[tuple[str, int, int, str], Group] = {}
    for row in rows:
        kind = (row.record.topic, row.record.partition, row.schema_id, row.error)
        group = found.get(kind)
        if group is None:
            group = found[kind] = Group(*kind)
        group.add(row.record)
    return list(found.values())

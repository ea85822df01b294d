"""Ranges of the log, and batches of them: what the sink writes as one."""

import hashlib
from collections.abc import Sequence

import msgspec

from neural_hive.projections.archive import Archive
from neural_hive.projections.avro_types import quoted
from neural_hive.projections.container import Container, wrap_groups
from neural_hive.projections.groups import Group, Raw

Place = tuple[str, int]  # topic, partition


class Range(msgspec.Struct, frozen=True):
    """Committed records of one partition from `first` to `last`, both included.

    `records` is how many there are: transaction markers and aborted records leave gaps between the offsets.
    """

    topic: str
    partition: int
    first: int
    last: int
    records: int

    @property
    def place(self) -> Place:
        return self.topic, self.partition

    @property
    def condition(self) -> str:
        """The WHERE clause of its records, in the archive and in every read model."""
        return (
            f"topic = {quoted(self.topic)} AND partition = {self.partition} "
            f"AND offset BETWEEN {self.first} AND {self.last}"
        )


class Part(msgspec.Struct, frozen=True):
    """A range and its records, on their way into an archive table."""

    range: Range
    archive: Archive
    groups: tuple[Group, ...]

    @property
    def rows(self) -> tuple[Raw, ...]:
        """Its records one by one, made anew: for what is seldom done."""
        rows = (row for group in self.groups for row in group.rows())
        return tuple(sorted(rows, key=lambda row: row.record.offset))


class Batch(msgspec.Struct, frozen=True):
    """What is written together: one block per table, so each table has all of it or nothing."""

    parts: tuple[Part, ...]
    nexts: dict[Place, int]  # where reading goes on, past markers; for the batch's partitions and idle ones
    wrapped: dict[str, Container] = {}  # by archive table, where the reader has done it already

    @property
    def ranges(self) -> tuple[Range, ...]:
        return tuple(part.range for part in self.parts)

    def with_containers(self) -> "Batch":
        """The same batch, wrapped: done by the reader, while the writer waits for the server."""
        tables = {part.archive.table: part.archive for part in self.parts}
        return msgspec.structs.replace(
            self, wrapped={name: wrap_groups(groups_of(self.of(archive))) for name, archive in tables.items()}
        )

    def of(self, archive: Archive) -> tuple[Part, ...]:
        return tuple(part for part in self.parts if part.archive.table == archive.table)


def groups_of(parts: Sequence[Part]) -> list[Group]:
    """The records of several parts."""
    return [group for part in parts for group in part.groups]


def rows_of(parts: Sequence[Part]) -> list[Raw]:
    """The records of several parts, in order."""
    return [row for part in parts for row in part.rows]


def condition(ranges: Sequence[Range]) -> str:
    """The WHERE clause of several ranges."""
    return " OR ".join(f"({r.condition})" for r in ranges) or "0"


def token(ranges: Sequence[Range]) -> str:
    """The deduplication token of an insert of these ranges: the same bounds give the same token."""
    names = [f"{r.topic}:{r.partition}:{r.first}-{r.last}" for r in sorted(ranges, key=lambda r: r.place)]
    whole = ",".join(names)
    return whole if len(names) == 1 else hashlib.sha256(whole.encode()).hexdigest()

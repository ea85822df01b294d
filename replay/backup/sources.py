"""Where the records of a partition are read from: Kafka, and before its first record the archive, as far as it goes."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any, Protocol

import msgspec

from neural_hive.connectors.kafka_log import CommittedLog, Offsets, Record
from neural_hive.connectors.kafka_offsets import Place
from neural_hive.projections.positions import Position


class Archive(Protocol):
    """See ArchiveReader. Every call raises ClickHouseError."""

    def positions(self) -> Mapping[Place, Position]:
        """How far each partition is archived."""
        ...

    def batches(self, topic: str, partition: int, first: int, end: int) -> Iterator[list[Record]]:
        """The records of [first, end), in lists."""
        ...


class Span(msgspec.Struct, frozen=True):
    """A part of a partition, and whether the archive gives it."""

    first: int
    end: int
    is_archived: bool


def spans(first: int, begin: int, end: int, archived: int) -> tuple[list[Span], int]:
    """What gives the records of [first, end), and how many offsets before Kafka's first nobody has.

    `begin` is Kafka's first offset, `archived` the one that follows all that the archive has.
    """
    if first >= begin:
        return ([Span(first, end, False)] if first < end else []), 0
    begin = min(begin, end)
    found = []
    reached = max(first, min(archived, begin))
    if reached > first:
        found.append(Span(first, reached, True))
    if begin < end:
        found.append(Span(begin, end, False))
    return found, begin - reached


class Sources:
    """Reads whole partitions. Raises UnreadableLog, LostLog, StalledLog; ClickHouseError: the archive is needed."""

    def __init__(self, config: Mapping[str, Any], archive: Archive | None, stall_s: float = 30.0) -> None:
        self._config, self._archive, self._stall_s = dict(config), archive, stall_s
        self._archived: Mapping[Place, Position] | None = None

    def begins(self, places: list[Place]) -> dict[Place, int]:
        """Where Kafka's log begins."""
        with closing(Offsets(self._config)) as offsets:
            return offsets.begins(places)

    def archived(self, place: Place, topic_id: str) -> int:
        """The offset that follows all that the archive has of this very topic; 0: nothing, or there is no archive."""
        if self._archive is None:
            return 0
        if self._archived is None:
            self._archived = self._archive.positions()
        position = self._archived.get(place)
        return position.next if position is not None and position.topic_id == topic_id else 0

    def batches(self, place: Place, found: list[Span]) -> Iterator[list[Record]]:
        """The records of the spans, in order."""
        for span in found:
            if not span.is_archived:
                yield from CommittedLog(self._config, *place, span.first, span.end, self._stall_s).batches()
            elif self._archive is not None:
                yield from self._archive.batches(*place, span.first, span.end)

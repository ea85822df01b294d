"""Looks, before the projector follows the log, whether ClickHouse still has what it had acknowledged, and mends it.

Parts that were torn or damaged are out of their tables (see parts.py). The positions say how many rows each partition's
archive holds; where fewer are found, the missing ones are read from the log again. Where the archive reaches further
than the positions, it is positions that are missing, and they are told anew. Then each read model must have a row for
each of the archive's records that concern it; else it is filled anew.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

import msgspec
import structlog

from neural_hive.connectors.kafka_log import CommittedLog, Record, begin_offsets, end_offsets
from neural_hive.projections.archive import ARCHIVES, Archive
from neural_hive.projections.parts import Part
from neural_hive.projections.positions import Position, Standing
from neural_hive.projections.projection import Projection
from neural_hive.projections.ranges import Place, Range, condition
from neural_hive.projections.read_models import rebuild
from neural_hive.projections.sink import DamagedTable, Sink
from neural_hive.projections.source import LogLost, looked_at
from neural_hive.projections.store import Store

log = structlog.get_logger(__name__)


class Held(msgspec.Struct, frozen=True):
    """What the archive holds of one partition."""

    rows: int
    last: int  # the highest offset; −1: there is none


NOTHING: Final = Held(0, -1)


def held_rows(store: Store) -> dict[Place, Held]:
    """What the archive holds, by partition."""
    return {
        (str(topic), int(partition)): Held(int(rows), int(last))
        for archive in ARCHIVES
        for topic, partition, rows, last in store.rows(
            f"SELECT topic, partition, count(), max(offset) FROM {archive.table} GROUP BY topic, partition"
        )
    }


class Repair:
    """One look at all tables."""

    def __init__(
        self,
        store: Store,
        config: Mapping[str, Any],
        archives: Mapping[str, Archive],
        sink: Sink,
        projections: Sequence[Projection],
        may_expire: frozenset[str] = frozenset(),
    ) -> None:
        """`may_expire`: topics whose records the log may have deleted, and nobody needs them."""
        self._store, self._config, self._archives = store, config, archives
        self._sink, self._projections, self._may_expire = sink, projections, may_expire

    def run(self, standing: Standing, held: Mapping[Place, Held], set_aside: Sequence[Part]) -> Standing:
        """Puts back what is missing, and gives the standing that the tables have then.

        `held`, `set_aside`: what the archive holds, and the parts that were taken out of the tables.

        Raises LogLost: the log does not have it either; DamagedTable: a record is there twice.
        """
        damaged = {part.table for part in set_aside}
        if damaged:
            log.warning("parts were set aside", tables=sorted(damaged))
        found = {
            place: self._mended(
                position, held.get(place, NOTHING), [r for r in standing.pending if r.place == place]
            )
            for place, position in standing.positions.items()
        }
        # Where the positions were behind, the batch left pending may be an older one: what it lacks is found below.
        pending = tuple(r for r in standing.pending if found[r.place] == standing.positions[r.place])
        for projection in self._projections:
            if projection.table in damaged or not self._has_all(projection, pending):
                log.warning("read model is not what the archive gives", name=projection.name)
                rebuild(self._store, projection)
        return Standing(found, pending)

    def _mended(self, position: Position, held: Held, pending: Sequence[Range]) -> Position:
        expected_end = max([position.next, *(r.last + 1 for r in pending)])
        is_unknown = not position.archived and not pending and held.rows > 0
        if held.last >= expected_end or is_unknown:
            return self._caught_up(position, max(held.last + 1, position.next))
        due = {position.archived, position.archived + sum(r.records for r in pending)}
        if held.rows not in due:
            return self._refilled(position)
        return position

    def _refilled(self, position: Position) -> Position:
        begin, added = self._fill(position, position.next)
        rows = self._rows_before(position, position.next)
        if rows != position.archived:
            if position.topic not in self._may_expire:
                raise self._lost(position, rows, begin, added)
            position = msgspec.structs.replace(position, archived=rows)
        log.warning("archive mended", topic=position.topic, partition=position.partition, records=added)
        return position

    def _caught_up(self, position: Position, end: int) -> Position:
        """The position behind all that the archive holds, which must be what the log holds."""
        log_end = end_offsets(self._config, [position.place])[position.place]
        if end > log_end:
            raise LogLost(
                f"{position.topic}:{position.partition} ends at offset {log_end}, and is archived up to {end}: the "
                "log has lost committed records, and the archive may be the only copy. Restore the log first"
            )
        begin, added = self._fill(position, end)
        known = self._rows_before(position, position.next)
        if position.archived and known != position.archived and position.topic not in self._may_expire:
            raise self._lost(position, known, begin, added)
        log.warning(
            "positions were behind the archive",
            topic=position.topic,
            partition=position.partition,
            told=position.next,
            archived=end,
            records=added,
        )
        return msgspec.structs.replace(position, next=end, archived=self._rows_before(position, end))

    def _lost(self, position: Position, rows: int, begin: int, added: int) -> LogLost:
        table = self._archives[position.topic].table
        return LogLost(
            f"{table} has {rows} records of {position.topic}:{position.partition} before offset {position.next} and "
            f"must have {position.archived}; the log begins at offset {begin} and gave {added} of the missing ones. "
            "Restore the archive from a backup"
        )

    def _rows_before(self, position: Position, end: int) -> int:
        """How many records the archive has before an offset. Raises DamagedTable: some of them twice."""
        table = self._archives[position.topic].table
        [(rows, offsets)] = self._store.rows(
            f"SELECT count(), uniqExact(offset) FROM {table} WHERE {_before(position, end)}"
        )
        if rows != offsets:
            place = f"{position.topic}:{position.partition}"
            raise DamagedTable(f"{table} has {rows - offsets} records of {place} more than once")
        return int(rows)

    def _fill(self, position: Position, end: int) -> tuple[int, int]:
        """Restores what the log has before an offset and the archive has not: where the log begins, and how many."""
        topic, partition = position.place
        archive = self._archives[topic]
        begin = begin_offsets(self._config, [position.place])[position.place]
        added = 0
        for batch in CommittedLog(self._config, topic, partition, begin, end).batches():
            if missing := self._missing(archive, batch):
                self._sink.restore(archive, [looked_at(record, archive) for record in missing])
                added += len(missing)
        return begin, added

    def _missing(self, archive: Archive, batch: Sequence[Record]) -> list[Record]:
        """Raises LogLost: the archive has another record at some offset."""
        first, last = batch[0], batch[-1]
        there = {
            int(offset): str(digest)
            for offset, digest in self._store.rows(
                f"SELECT offset, hex(SHA256(ifNull(value, ''))) FROM {archive.table} WHERE topic = '{first.topic}' "
                f"AND partition = {first.partition} AND offset BETWEEN {first.offset} AND {last.offset}"
            )
        }
        for record in batch:
            digest = sha256(record.value or b"").hexdigest().upper()
            if there.get(record.offset, digest) != digest:
                place = f"{record.topic}:{record.partition}"
                raise LogLost(
                    f"{place} offset {record.offset} is another record than the one that was archived"
                )
        return [record for record in batch if record.offset not in there]

    def _has_all(self, projection: Projection, pending: Sequence[Range]) -> bool:
        """Whether a read model has as many rows as the archive gives, the batch left pending aside."""
        where = f"NOT ({condition(pending)})"
        found, due = (
            sorted(
                self._store.rows(f"SELECT topic, partition, count() FROM {rows} GROUP BY topic, partition")
            )
            for rows in (
                f"{projection.table} WHERE {where}",
                f"({projection.rows_sql(where)})",
            )
        )
        return found == due


def _before(position: Position, end: int) -> str:
    return f"topic = '{position.topic}' AND partition = {position.partition} AND offset < {end}"

"""Looks, at the projector's start, whether ClickHouse still has what it had acknowledged, and mends it.

A part that a crash has torn is detached in silence when the server starts. The positions say how many rows each
partition's archive holds; where fewer are found, the missing ones are read from the log again.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from neural_hive.connectors.kafka_log import CommittedLog, Record, begin_offsets
from neural_hive.projections.archive import ARCHIVES, Archive
from neural_hive.projections.positions import Position, Standing
from neural_hive.projections.projection import Projection
from neural_hive.projections.ranges import Place
from neural_hive.projections.read_models import compare, rebuild
from neural_hive.projections.sink import Sink
from neural_hive.projections.source import LogLost, looked_at
from neural_hive.projections.store import Store

log = structlog.get_logger(__name__)


def mend(
    store: Store,
    config: Mapping[str, Any],
    archives: Mapping[str, Archive],
    standing: Standing,
    sink: Sink,
    projections: Sequence[Projection],
) -> None:
    """Puts back what is missing. Raises LogLost: the log does not have it either."""
    held = _held(store)
    unsure = {r.place for r in standing.pending}
    for place, position in standing.positions.items():
        if place in unsure:
            pending = sum(r.records for r in standing.pending if r.place == place)
            whole = held.get(place, 0) in (position.archived, position.archived + pending)
        else:
            whole = held.get(place, 0) == position.archived
        if not whole:
            _refill(store, config, archives[place[0]], position, sink)
    if detached := _detached(store):
        log.warning("torn parts were detached", tables=sorted(detached))
        for projection in projections:
            if projection.table in detached and not compare(store, projection).equal:
                rebuild(store, projection)


def _held(store: Store) -> dict[Place, int]:
    return {
        (str(topic), int(partition)): int(count)
        for archive in ARCHIVES
        for topic, partition, count in store.rows(
            f"SELECT topic, partition, count() FROM {archive.table} GROUP BY topic, partition"
        )
    }


def _detached(store: Store) -> set[str]:
    return {
        str(name)
        for (name,) in store.rows(
            "SELECT DISTINCT table FROM system.detached_parts WHERE database = currentDatabase()"
        )
    }


def _refill(
    store: Store, config: Mapping[str, Any], archive: Archive, position: Position, sink: Sink
) -> None:
    topic, partition = position.place
    begin = begin_offsets(config, [position.place])[position.place]
    added = 0
    for batch in CommittedLog(config, topic, partition, begin, position.next).batches():
        missing = _missing(store, archive, batch)
        if missing:
            sink.restore(archive, [looked_at(record, archive) for record in missing])
            added += len(missing)
    [(count,)] = store.rows(
        f"SELECT count() FROM {archive.table} WHERE topic = '{topic}' AND partition = {partition} "
        f"AND offset < {position.next}"
    )
    if int(count) != position.archived:
        raise LogLost(
            f"{archive.table} has {count} records of {topic}:{partition} before offset {position.next} and must "
            f"have {position.archived}; the log begins at offset {begin} and gave {added} of the missing ones. "
            "Restore the archive from a backup"
        )
    log.warning("archive mended", topic=topic, partition=partition, records=added)


def _missing(store: Store, archive: Archive, batch: Sequence[Record]) -> list[Record]:
    first, last = batch[0], batch[-1]
    there = {
        int(offset)
        for (offset,) in store.rows(
            f"SELECT offset FROM {archive.table} WHERE topic = '{first.topic}' "
            f"AND partition = {first.partition} AND offset BETWEEN {first.offset} AND {last.offset}"
        )
    }
    return [record for record in batch if record.offset not in there]

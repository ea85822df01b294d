"""Writes batches into the archive and the read models, each exactly once, whatever is killed and when.

The order of one batch: pending, claim still held, archive, read models, done. A first attempt inserts at once. Any
later attempt, and the pending batch found at start, looks at each table first: the rows of the ranges are there
(skip), none is there (insert), or something else, which stops the projector.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from neural_hive.projections.archive import ARCHIVES, EVENTS, INSERT_SETTINGS, MESSAGES, Archive
from neural_hive.projections.container import Container, wrap, wrap_groups
from neural_hive.projections.groups import Raw
from neural_hive.projections.positions import TAKEN_OVER, Position, Positions, TakenOver
from neural_hive.projections.projection import Projection
from neural_hive.projections.ranges import Batch, Part, Place, Range, condition, groups_of, rows_of, token
from neural_hive.projections.store import Store, StoreRefused
from neural_hive.schemas.catalogue import UnknownSchema, registered
from neural_hive.schemas.codec import BadRecord, decode

Reached = Callable[[str], None]  # told the name of every step: tests kill the process there

_TRIAL: Final = "FUNCTION null('auto')"
_PROJECT_SETTINGS: Final[dict[str, Any]] = {
    **INSERT_SETTINGS,
    "merge_tree_min_rows_for_concurrent_read": 8_192,
    "merge_tree_min_bytes_for_concurrent_read": 1 << 20,
}
"""A batch is small for ClickHouse: by default one thread reads it. What several read is still one block."""


class DamagedTable(RuntimeError):
    """A table holds some of a range's rows and not others, which no crash can cause."""


class UndecodableEvent(RuntimeError):
    """A record of an event topic that cannot be decoded: its partition stops before it."""

    def __init__(self, place: Place, offset: int, reason: str) -> None:
        self.place, self.offset, self.reason = place, offset, reason
        super().__init__(f"{place[0]}:{place[1]} at offset {offset}: {reason}")


class Sink:
    """One projector's way into the tables. Raises TakenOver, DamagedTable, StoreUnavailable, StoreRefused."""

    def __init__(
        self,
        store: Store,
        positions: Positions,
        standing: dict[Place, Position],
        projections: Sequence[Projection],
        reached: Reached = lambda step: None,
        nearly_done: Callable[[], None] = lambda: None,
    ) -> None:
        """`nearly_done` is called in each batch when little of it is left: the next one may be made ready."""
        self._store, self.positions, self._projections = store, positions, projections
        self._reached, self._nearly_done = reached, nearly_done
        self.standing = dict(standing)
        self.looks = False
        """Whether each table is looked at also at the first attempt: where rows were lost, the tokens of their inserts
        may have outlived them, and an insert with such a token is dropped in silence."""

    def write(self, batch: Batch, again: bool = False) -> None:
        """Writes a batch. `again`: an attempt at the same batch was made before, here or by another process.

        Raises UndecodableEvent, with nothing of the batch in any table: write it anew without that record.
        """
        moved = [self._moved(batch, place) for place in batch.nexts]
        if batch.parts:
            self.positions.pend(batch.ranges, again)
            self._reached("pending")
            self._fill(batch, again or self.looks)
        self.positions.done(moved, idle=not batch.parts)
        self._reached("done")
        self.standing.update((p.place, p) for p in moved)

    def restore(self, archive: Archive, rows: Sequence[Raw]) -> None:
        """Puts records back that the archive had and has lost; read models are not touched."""
        self._insert(archive, self._sorted_out(archive, rows), f"restored:{self.positions.attempt()}")

    def _fill(self, batch: Batch, again: bool) -> None:
        for archive in ARCHIVES:
            if parts := batch.of(archive):
                self._archive(archive, parts, batch.wrapped.get(archive.table), again)
                self._reached(archive.table)
        found = [(one, parts) for one in self._projections if (parts := batch.of(one.source))]
        due = [one.table for one, parts in found if again or _concerns(one, parts)]
        for projection, parts in found:
            if projection.table in due[-1:]:  # takes about as long as to wrap the next batch
                self._nearly_done()
            if projection.table in due:
                self._project(projection, [part.range for part in parts], again)
            self._reached(projection.table)

    def _moved(self, batch: Batch, place: Place) -> Position:
        before = self.standing[place]
        new = sum(part.range.records for part in batch.parts if part.range.place == place)
        return msgspec.structs.replace(before, next=batch.nexts[place], archived=before.archived + new)

    def _archive(
        self, archive: Archive, parts: Sequence[Part], wrapped: Container | None, again: bool
    ) -> None:
        ranges = [part.range for part in parts]
        if again and self._archived(archive, ranges):
            return
        key = token(ranges)
        try:
            self._send(archive, wrapped or wrap_groups(groups_of(parts)), key)
        except StoreRefused as error:
            self._raise_if_taken(error)
            if not error.is_about_data:
                raise
            self._insert(archive, self._sorted_out(archive, rows_of(parts)), key)
        if again and not self._archived(archive, ranges):  # the token outlived its rows: a part was lost
            self._insert(
                archive, self._sorted_out(archive, rows_of(parts)), f"{key}:{self.positions.attempt()}"
            )

    def _archived(self, archive: Archive, ranges: Sequence[Range]) -> bool:
        """Whether the archive has these ranges whole. Raises DamagedTable: it has a part of them."""
        found = {
            (str(topic), int(partition)): int(count)
            for topic, partition, count in self._store.rows(
                f"SELECT topic, partition, count() FROM {archive.table} WHERE {condition(ranges)} "
                "GROUP BY topic, partition"
            )
        }
        if not found:
            return False
        for r in ranges:
            if found.get(r.place, 0) != r.records:
                raise DamagedTable(
                    f"{archive.table} has {found.get(r.place, 0)} of the {r.records} records of {r.topic}:"
                    f"{r.partition} from offset {r.first} to {r.last}"
                )
        return True

    def _insert(self, archive: Archive, rows: Sequence[Raw], key: str, target: str | None = None) -> None:
        self._send(archive, wrap(rows), key, target)

    def _send(self, archive: Archive, container: Container, key: str, target: str | None = None) -> None:
        sql = archive.insert_sql(container, self.positions.fence, target)
        settings: dict[str, Any] = dict(INSERT_SETTINGS)
        if target is None:
            settings["insert_deduplication_token"] = key
        self._store.insert(sql, container.pieces, settings)

    def _sorted_out(self, archive: Archive, rows: Sequence[Raw]) -> list[Raw]:
        """The rows, with those that cannot be decoded marked so.

        Raises UndecodableEvent: it is an event, and history is not to be read past it.
        """
        checked = [_checked(row, archive) for row in rows] if archive is MESSAGES else list(rows)
        return self._tried(archive, checked)

    def _tried(self, archive: Archive, rows: Sequence[Raw]) -> list[Raw]:
        """Halves what the server refuses until the culprits stand alone."""
        try:
            self._insert(archive, rows, "", _TRIAL)
            return list(rows)
        except StoreRefused as error:
            self._raise_if_taken(error)
            if not error.is_about_data:
                raise
            if len(rows) > 1:
                half = len(rows) // 2
                return [*self._tried(archive, rows[:half]), *self._tried(archive, rows[half:])]
            [row] = rows
            if archive is EVENTS:
                where = row.record.topic, row.record.partition
                raise UndecodableEvent(where, row.record.offset, _first_line(error.text)) from error
            return [msgspec.structs.replace(row, error=_first_line(error.text))]

    def _project(self, projection: Projection, ranges: Sequence[Range], again: bool) -> None:
        where = condition(ranges)
        if again and self._projected(projection, where):
            return
        key = token(ranges)
        self._project_once(projection, where, key)
        if again and not self._projected(projection, where):
            self._project_once(projection, where, f"{key}:{self.positions.attempt()}")

    def _project_once(self, projection: Projection, where: str, key: str) -> None:
        sql = f"{projection.insert_sql(where)} WHERE {self.positions.fence}"
        try:
            self._store.command(sql, {**_PROJECT_SETTINGS, "insert_deduplication_token": key})
        except StoreRefused as error:
            self._raise_if_taken(error)
            raise

    def _projected(self, projection: Projection, where: str) -> bool:
        """Whether a read model has the rows of these records. Raises DamagedTable: it has a part of them."""
        [(found,)] = self._store.rows(f"SELECT count() FROM {projection.table} WHERE {where}")
        [(due,)] = self._store.rows(f"SELECT count() FROM ({projection.rows_sql(where)})")
        if int(found) not in (0, int(due)):
            raise DamagedTable(f"{projection.table} has {found} of {due} rows for {where}")
        return int(found) == int(due)

    def _raise_if_taken(self, error: StoreRefused) -> None:
        if TAKEN_OVER in error.text:
            raise TakenOver(TAKEN_OVER) from error


def _concerns(projection: Projection, parts: Sequence[Part]) -> bool:
    """Whether any of these records can have a row in a read model: to ask the server costs more than to look here.

    Of messages nobody knows: whoever writes one can name it otherwise than its schema does.
    """
    if projection.source is MESSAGES:
        return True
    names = registered()
    ids = {group.schema_id for group in groups_of(parts)}
    return any(names[n].name in projection.types for n in ids)


def _checked(row: Raw, archive: Archive) -> Raw:
    """The row, marked when it cannot be decoded here: one by one it is faster than asking the server."""
    if row.error or row.record.value is None:
        return row
    try:
        decode(row.record.value, archive.kind)
    except (BadRecord, UnknownSchema) as error:
        return msgspec.structs.replace(row, error=_first_line(str(error)))
    return row


def _first_line(text: str) -> str:
    lines = text.strip().splitlines()
    return (lines[0] if lines else "unknown error")[:500]

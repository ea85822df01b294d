"""Makes read models anew beside the live ones, and puts them in their place without a gap for readers.

    whoever asks    a table beside the live one, filled from the archive slice by slice; then "filled"
    the projector   between two batches: what was archived meanwhile, and the two tables change places; then "swapped"

Every step is a row of `rebuilds`, every slice one of `rebuild_slices`: after any interruption it goes on where it was.
A slice is one block, and carries a token: it is there whole or not at all, and once. Until the tables have changed
places readers see the old one.
"""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Final

import msgspec
import structlog

from neural_hive.projections.archive import INSERT_SETTINGS, TABLE_SETTINGS
from neural_hive.projections.avro_types import quoted
from neural_hive.projections.comparing import Comparison, compared
from neural_hive.projections.positions import Position, read_standing
from neural_hive.projections.projection import Projection
from neural_hive.projections.ranges import Place
from neural_hive.projections.read_models import definition_of
from neural_hive.projections.store import Store

SLICE_OFFSETS: Final = 100_000  # as many as the projector writes at once
INFIX: Final = "__rebuild_"
_DDL: Final = (
    "CREATE TABLE IF NOT EXISTS rebuilds (id String, name String, definition String, table_id String, "
    "step LowCardinality(String), detail String, at DateTime64(6, 'UTC') DEFAULT now64(6)) ENGINE = MergeTree "
    f"ORDER BY (name, at) SETTINGS {TABLE_SETTINGS}",
    "CREATE TABLE IF NOT EXISTS rebuild_slices (id String, topic String, partition UInt32, first UInt64, "
    "end UInt64, rows UInt64, at DateTime64(3, 'UTC') DEFAULT now64(3)) ENGINE = MergeTree "
    f"ORDER BY (id, topic, partition, first) SETTINGS {TABLE_SETTINGS}",
)
log = structlog.get_logger(__name__)


class Step(StrEnum):
    """How far a rebuild has come."""

    FILLING = "filling"
    FILLED = "filled"  # up to where the archive was when it began; the projector does the rest
    SWAPPED = "swapped"
    GIVEN_UP = "given up"


OPEN: Final = (Step.FILLING, Step.FILLED)


class Rebuild(msgspec.Struct, frozen=True):
    """One read model that is made anew."""

    id: str
    name: str
    definition: str  # see read_models.definition_of
    table_id: str  # ClickHouse's id of the new table, which keeps it under any name
    step: Step
    detail: str  # why it was given up

    @property
    def table(self) -> str:
        """The table beside the live one; after the swap it has the rows of the old one, and goes."""
        return f"{self.name}_versions{INFIX}{self.id}"


class Slice(msgspec.Struct, frozen=True):
    """A range of offsets of one partition: first ≤ offset < end."""

    topic: str
    partition: int
    first: int
    end: int

    @property
    def condition(self) -> str:
        """The WHERE clause of its records."""
        return (
            f"topic = {quoted(self.topic)} AND partition = {self.partition} "
            f"AND offset >= {self.first} AND offset < {self.end}"
        )


class Progress(msgspec.Struct, frozen=True):
    """How much of a table is filled."""

    slices_done: int
    slices: int
    rows: int


def newest(store: Store) -> dict[str, Rebuild]:
    """The latest rebuild of each read model, by its name; empty: there never was one."""
    if not _has_table(store, "rebuilds"):
        return {}
    found = store.rows(
        "SELECT name, argMax(tuple(id, definition, table_id, step, detail), at) FROM rebuilds GROUP BY name"
    )
    return {str(name): _read(str(name), *map(str, columns)) for name, columns in found}


def _read(name: str, id_: str, definition: str, table_id: str, step: str, detail: str) -> Rebuild:
    return Rebuild(id_, name, definition, table_id, Step(step), detail)


def begin(store: Store, projection: Projection) -> Rebuild:
    """Begins to make a read model anew, or goes on with what was interrupted."""
    for ddl in _DDL:
        store.command(ddl)
    definition = definition_of(projection)
    found = newest(store).get(projection.name)
    if found is not None and found.step in OPEN:
        if found.definition == definition and _has_table(store, found.table):
            return found
        give_up(store, found, "its table is gone, or another build had begun it")
    rebuild = Rebuild(uuid.uuid4().hex[:8], projection.name, definition, "", Step.FILLING, "")
    store.command(projection.ddl(rebuild.table))
    rebuild = msgspec.structs.replace(rebuild, table_id=_table_id(store, rebuild.table))
    _tell(store, rebuild)
    return rebuild


def fill(store: Store, projection: Projection, rebuild: Rebuild) -> Iterator[Progress]:
    """Fills the table up to where the archive is now, telling how far it has come after each slice."""
    done = _done(store, rebuild)
    wanted = list(_slices(store, projection, _ends(store, rebuild, done)))
    rows, before = sum(done.values()), len(done)
    for count, part in enumerate(wanted, before + 1):
        rows += _fill(store, projection, rebuild, part)
        yield Progress(count, before + len(wanted), rows)


def hand_over(store: Store, rebuild: Rebuild) -> None:
    """Leaves the rest to the projector: from now on it may put the table in its place at any time."""
    _tell(store, msgspec.structs.replace(rebuild, step=Step.FILLED))


def compare_filled(store: Store, projection: Projection, rebuild: Rebuild) -> Comparison:
    """The live table beside the new one, as far as that is filled. Call before `hand_over`."""
    covered = _covered(_done(store, rebuild))
    return compared(store, projection, f"(SELECT * FROM {rebuild.table} WHERE {covered})", covered)


def give_up(store: Store, rebuild: Rebuild, why: str) -> None:
    """Drops the table beside the live one, which stays as it is."""
    _tell(store, msgspec.structs.replace(rebuild, step=Step.GIVEN_UP, detail=why))
    store.command(f"DROP TABLE IF EXISTS {rebuild.table}")
    log.info("rebuild given up", name=rebuild.name, why=why)


def swap_filled(
    store: Store, projections: Sequence[Projection], positions: Mapping[Place, Position], fence: str
) -> None:
    """Puts every filled table in its place, with what was archived since. Call while no batch is being written.

    `fence`: a condition that throws when this projector may not write any more.
    """
    by_name = {projection.name: projection for projection in projections}
    for rebuild in newest(store).values():
        if rebuild.step is not Step.FILLED:
            continue
        projection = by_name.get(rebuild.name)
        if projection is None or definition_of(projection) != rebuild.definition:
            give_up(store, rebuild, "the projector's build makes this read model otherwise, or not at all")
        elif not _has_table(store, rebuild.table):
            give_up(store, rebuild, "its table is gone")
        else:
            _swap(store, projection, rebuild, positions.values(), fence)


def keep_open(store: Store, projections: Sequence[Projection]) -> None:
    """Drops tables that no open rebuild fills; gives up those that this build would fill otherwise."""
    present = store.rows("SELECT name FROM system.tables WHERE database = currentDatabase()")
    definitions = {projection.name: definition_of(projection) for projection in projections}
    found = [rebuild for rebuild in newest(store).values() if rebuild.step in OPEN]
    for rebuild in found:
        if definitions.get(rebuild.name) != rebuild.definition:
            give_up(store, rebuild, "another build makes this read model otherwise")
    kept = {rebuild.table for rebuild in found}
    for (table,) in present:
        if INFIX in str(table) and table not in kept:
            store.command(f"DROP TABLE IF EXISTS {table}")


def _swap(
    store: Store, projection: Projection, rebuild: Rebuild, positions: Iterable[Position], fence: str
) -> None:
    # An exchange that was made and not told of must not be made again.
    if _table_id(store, projection.table) != rebuild.table_id:
        ends = _ends(store, rebuild, _done(store, rebuild))
        for position in positions:
            since = ends.get(position.place, 0)
            if since < position.next:
                _fill(store, projection, rebuild, Slice(*position.place, since, position.next), fence)
        store.rows(f"SELECT 1 WHERE {fence}")
        store.command(f"EXCHANGE TABLES {rebuild.table} AND {projection.table}")
    _tell(store, msgspec.structs.replace(rebuild, step=Step.SWAPPED))
    store.command(f"DROP TABLE IF EXISTS {rebuild.table}")
    [(rows,)] = store.rows(f"SELECT count() FROM {projection.table}")
    log.info("read model made anew", name=projection.name, rows=int(rows))


def _slices(store: Store, projection: Projection, filled: Mapping[Place, int]) -> Iterator[Slice]:
    """What the positions say that every table must have and this one has not, where the archive has anything that
    concerns it.
    """
    types = ", ".join(map(quoted, projection.types))
    ends = {place: position.next for place, position in read_standing(store).positions.items()}
    for topic, partition, first in store.rows(
        f"SELECT topic, partition, min(offset) FROM {projection.source.table} "
        f"WHERE {projection.source.type_column} IN ({types}) GROUP BY topic, partition ORDER BY topic, partition"
    ):
        place = (str(topic), int(partition))
        end = ends.get(place, 0)
        for at in range(max(int(first), filled.get(place, 0)), end, SLICE_OFFSETS):
            yield Slice(*place, at, min(at + SLICE_OFFSETS, end))


def _fill(store: Store, projection: Projection, rebuild: Rebuild, part: Slice, fence: str = "1") -> int:
    """Inserts the rows of a slice, and notes it; how many they are."""
    token = f"{rebuild.id}:{part.topic}:{part.partition}:{part.first}-{part.end}"
    sql = f"{projection.insert_sql(part.condition, rebuild.table)} WHERE {fence}"
    store.command(sql, {**INSERT_SETTINGS, "insert_deduplication_token": token})
    [(rows,)] = store.rows(f"SELECT count() FROM {rebuild.table} WHERE {part.condition}")
    place = f"{quoted(part.topic)}, {part.partition}, {part.first}, {part.end}"
    store.command(
        "INSERT INTO rebuild_slices (id, topic, partition, first, end, rows) "
        f"VALUES ({quoted(rebuild.id)}, {place}, {int(rows)})"
    )
    return int(rows)


def _done(store: Store, rebuild: Rebuild) -> dict[Slice, int]:
    """The slices that are filled, with their rows."""
    found = store.rows(
        "SELECT DISTINCT topic, partition, first, end, rows FROM rebuild_slices "
        f"WHERE id = {quoted(rebuild.id)} ORDER BY topic, partition, first"
    )
    return {Slice(str(t), int(p), int(first), int(end)): int(rows) for t, p, first, end, rows in found}


def _ends(store: Store, rebuild: Rebuild, done: Iterable[Slice]) -> dict[Place, int]:
    """Where each partition is filled to. A slice that was not noted is seen in the table: slices come in order."""
    ends: dict[Place, int] = {}
    for part in done:
        place = (part.topic, part.partition)
        ends[place] = max(ends.get(place, 0), part.end)
    for topic, partition, last in store.rows(
        f"SELECT topic, partition, max(offset) FROM {rebuild.table} GROUP BY topic, partition"
    ):
        place = (str(topic), int(partition))
        ends[place] = max(ends.get(place, 0), int(last) + 1)
    return ends


def _covered(done: Iterable[Slice]) -> str:
    return " OR ".join(f"({part.condition})" for part in done) or "0"


def _has_table(store: Store, table: str) -> bool:
    [(there,)] = store.rows(f"EXISTS TABLE {table}")
    return bool(int(there))


def _table_id(store: Store, table: str) -> str:
    """ClickHouse's id of a table; empty: there is none of this name."""
    found = store.rows(
        f"SELECT toString(uuid) FROM system.tables WHERE database = currentDatabase() AND name = {quoted(table)}"
    )
    return str(found[0][0]) if found else ""


def _tell(store: Store, rebuild: Rebuild) -> None:
    about = (
        rebuild.id,
        rebuild.name,
        rebuild.definition,
        rebuild.table_id,
        rebuild.step.value,
        rebuild.detail,
    )
    store.command(
        "INSERT INTO rebuilds (id, name, definition, table_id, step, detail) "
        f"VALUES ({', '.join(map(quoted, about))})"
    )

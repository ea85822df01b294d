"""Makes the read models' tables, fills new or changed ones from the archive, and compares them with it.

A table is filled as a shadow and then takes its name in one step, so that a reader sees the old one or the whole
new one. Every function here runs while no batch is being written: at the projector's start, or in replay.
"""

import hashlib
import uuid
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import structlog

from neural_hive.projections.archive import ARCHIVES, INSERT_SETTINGS, TABLE_SETTINGS
from neural_hive.projections.avro_types import quoted
from neural_hive.projections.positions import read_standing
from neural_hive.projections.projection import Projection
from neural_hive.projections.store import Store

KEYS_TOLD_MAX: Final = 20
_DEFINITIONS_DDL: Final = (
    "CREATE TABLE IF NOT EXISTS read_models (name String, definition String, archived UInt64, "
    "filled_at DateTime64(3, 'UTC') DEFAULT now64(3)) ENGINE = MergeTree ORDER BY (name, filled_at) "
    f"SETTINGS {TABLE_SETTINGS}"
)
_MANY_BLOCKS: Final[dict[str, Any]] = {
    **INSERT_SETTINGS,
    "min_insert_block_size_rows": 1_000_000,
    "min_insert_block_size_bytes": 268_435_456,
}
_ROW_HASH: Final = (
    "cityHash64(toString(tuple(*)))"  # of the tuple: a NULL among arguments makes the hash NULL
)

log = structlog.get_logger(__name__)


class Comparison(msgspec.Struct, frozen=True):
    """A read model beside the one that the archive gives."""

    name: str
    rows_expected: int
    rows_found: int
    hashes_equal: bool
    differing_keys: tuple[tuple[str, ...], ...]  # at most KEYS_TOLD_MAX

    @property
    def equal(self) -> bool:
        return self.rows_expected == self.rows_found and self.hashes_equal


def prepare(store: Store, projections: Sequence[Projection]) -> None:
    """Brings the tables and views to what this build declares."""
    for archive in ARCHIVES:
        store.command(archive.ddl)
    store.command(_DEFINITIONS_DDL)
    known = {
        str(name): str(definition)
        for name, definition in store.rows(
            "SELECT name, argMax(definition, filled_at) FROM read_models GROUP BY name"
        )
    }
    present = {
        str(name)
        for (name,) in store.rows("SELECT name FROM system.tables WHERE database = currentDatabase()")
    }
    for leftover in sorted(name for name in present if "__shadow_" in name):
        store.command(f"DROP TABLE {leftover}")
    for projection in projections:
        definition = definition_of(projection)
        if projection.table not in present or known.get(projection.name) != definition:
            rebuild(store, projection)
            store.command(
                "INSERT INTO read_models (name, definition, archived) "
                f"VALUES ({quoted(projection.name)}, {quoted(definition)}, 0)"
            )


def definition_of(projection: Projection) -> str:
    """What tells the tables of one read model apart that two builds make."""
    return hashlib.sha256(projection.definition.encode()).hexdigest()


def rebuild(store: Store, projection: Projection) -> None:
    """Fills the table anew from the archive, and puts it in the place of the old one."""
    shadow = _fill_shadow(store, projection, "1")
    [(there,)] = store.rows(f"EXISTS TABLE {projection.table}")
    if int(there):
        store.command(f"EXCHANGE TABLES {shadow} AND {projection.table}")
        store.command(f"DROP TABLE {shadow}")
    else:
        store.command(f"RENAME TABLE {shadow} TO {projection.table}")
    for view in projection.views():
        store.command(view)
    [(rows,)] = store.rows(f"SELECT count() FROM {projection.table}")
    log.info("read model filled", name=projection.name, rows=int(rows))


def compare(store: Store, projection: Projection) -> Comparison:
    """Recomputes a read model from the archive, up to the positions, and compares row for row."""
    upto = _up_to_positions(store)
    shadow = _fill_shadow(store, projection, upto)
    try:
        return compared(store, projection, shadow, upto)
    finally:
        store.command(f"DROP TABLE IF EXISTS {shadow}")


def compared(store: Store, projection: Projection, made_anew: str, where: str) -> Comparison:
    """The read model beside a table that was made anew from the archive, as far as a condition holds."""
    expected, found = (_summary(store, table, where) for table in (made_anew, projection.table))
    equal = expected == found
    keys = () if equal else _differing(store, projection, made_anew, where)
    return Comparison(projection.name, expected[0], found[0], expected[1:] == found[1:], keys)


def _fill_shadow(store: Store, projection: Projection, where: str) -> str:
    shadow = f"{projection.table}__shadow_{uuid.uuid4().hex[:8]}"
    store.command(projection.ddl(shadow))
    store.command(projection.insert_sql(where, shadow), _MANY_BLOCKS)
    return shadow


def _up_to_positions(store: Store) -> str:
    """The records that every table must have: those before the positions of each partition."""
    done = read_standing(store).positions.values()
    places = (
        f"(topic = {quoted(p.topic)} AND partition = {p.partition} AND offset < {p.next})" for p in done
    )
    return " OR ".join(places) or "0"


def _summary(store: Store, table: str, where: str) -> tuple[int, int, int]:
    """Count and two hashes: equal rows in any order give the same, and a row that is there twice does not."""
    [(count, folded, added)] = store.rows(
        f"SELECT count(), groupBitXor({_ROW_HASH}), sum({_ROW_HASH}) FROM {table} WHERE {where}"
    )
    return int(count), int(folded), int(added)


def _differing(store: Store, projection: Projection, shadow: str, where: str) -> tuple[tuple[str, ...], ...]:
    keys = ", ".join(f"toString(`{c.name}`)" for c in projection.key)
    both = " UNION ALL ".join(
        f"SELECT {keys}, {_ROW_HASH} AS row_hash, {side} AS side FROM {table} WHERE {where}"
        for side, table in ((1, shadow), (-1, projection.table))
    )
    names = ", ".join(f"k{n}" for n in range(len(projection.key)))
    columns = f"{names}, row_hash, side"
    found = store.rows(
        f"WITH rows ({columns}) AS ({both}) SELECT DISTINCT {names} FROM (SELECT {names}, row_hash "
        f"FROM rows GROUP BY {names}, row_hash HAVING sum(side) != 0) ORDER BY {names} LIMIT {KEYS_TOLD_MAX}"
    )
    return tuple(tuple(map(str, row)) for row in found)

"""Makes the read models' tables, and fills new or changed ones from the archive.

A table is filled as a shadow and then takes its name in one step, so that a reader sees the old one or the whole
new one. Every function here runs while no batch is being written: at the projector's start.
"""

import hashlib
import uuid
from collections.abc import Sequence
from typing import Any, Final

import structlog

from neural_hive.projections.archive import ARCHIVES, INSERT_SETTINGS, TABLE_SETTINGS
from neural_hive.projections.avro_types import quoted
from neural_hive.projections.projection import Projection
from neural_hive.projections.store import Store

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
log = structlog.get_logger(__name__)


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
        str(name): str(engine)
        for name, engine in store.rows(
            "SELECT name, engine_full FROM system.tables WHERE database = currentDatabase()"
        )
    }
    for archive in ARCHIVES:
        _settle(store, archive.table, present[archive.table])
    for leftover in sorted(name for name in present if "__shadow_" in name):
        store.command(f"DROP TABLE {leftover}")
    without_rows = [p for p in projections if p.table not in present] if _is_empty(store) else []
    for projection in without_rows:
        _make(store, projection)
    _note(store, without_rows)
    if without_rows:
        log.info("read models made", count=len(without_rows))
    for projection in projections:
        is_known = projection.table in present and known.get(projection.name) == definition_of(projection)
        if not is_known and projection not in without_rows:
            rebuild(store, projection)
            _note(store, [projection])


def _settle(store: Store, table: str, engine: str) -> None:
    """Gives a table that another build made the settings of this one; what it holds stays as it is."""
    if not all(setting in engine for setting in TABLE_SETTINGS.split(", ")):
        store.command(f"ALTER TABLE {table} MODIFY SETTING {TABLE_SETTINGS}")


def _is_empty(store: Store) -> bool:
    """Whether nothing is archived yet."""
    counts = (store.rows(f"SELECT count() FROM {archive.table}") for archive in ARCHIVES)
    return not any(int(count) for [(count,)] in counts)


def _make(store: Store, projection: Projection) -> None:
    """The table, without rows, and the views."""
    for ddl in (projection.ddl(), *projection.views()):
        store.command(ddl)


def _note(store: Store, projections: Sequence[Projection]) -> None:
    """The tables are whole, and as this build declares them."""
    rows = ", ".join(f"({quoted(p.name)}, {quoted(definition_of(p))}, 0)" for p in projections)
    if rows:
        store.command(f"INSERT INTO read_models (name, definition, archived) VALUES {rows}")


def definition_of(projection: Projection) -> str:
    """What tells the tables of one read model apart that two builds make."""
    return hashlib.sha256(projection.definition.encode()).hexdigest()


def rebuild(store: Store, projection: Projection) -> None:
    """Fills the table anew from the archive, and puts it in the place of the old one."""
    shadow = _fill_shadow(store, projection)
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


def _fill_shadow(store: Store, projection: Projection) -> str:
    shadow = f"{projection.table}__shadow_{uuid.uuid4().hex[:8]}"
    store.command(projection.ddl(shadow))
    store.command(projection.insert_sql("1", shadow), _MANY_BLOCKS)
    return shadow

"""The tests' grammar for read models: given(store, *records).then_rows(PROJECTION, {...}, {...})."""

from typing import Any

from neural_hive.connectors.kafka_log import Record
from neural_hive.projections.archive import EVENTS, INSERT_SETTINGS, MESSAGES
from neural_hive.projections.comparing import compared
from neural_hive.projections.container import wrap
from neural_hive.projections.projection import Projection
from neural_hive.projections.read_models import prepare, rebuild
from neural_hive.projections.source import looked_at
from neural_hive.projections.store import Store


class Given:
    """Records in an archive. There is no read model: making all of them takes seconds, and rows follow without."""

    def __init__(self, store: Store, values: tuple[bytes, ...]) -> None:
        self._store = store
        prepare(store, ())
        for archive in (EVENTS, MESSAGES):
            rows = [
                raw for n, v in enumerate(values) if not (raw := looked_at(record_at(n, v), archive)).error
            ]
            container = wrap(rows)
            if rows:
                store.insert(archive.insert_sql(container, "1"), container.pieces, INSERT_SETTINGS)

    def then_rows(self, projection: Projection, *expected: dict[str, Any]) -> None:
        """Exactly these rows follow, looking only at the columns that are named."""
        names = list(expected[0])
        columns = ", ".join(f"`{name}`" for name in names)
        found = self._store.rows(f"SELECT {columns} FROM ({projection.rows_sql('1')}) ORDER BY offset")
        rows = [dict(zip(names, row, strict=True)) for row in found]
        assert rows == list(expected), f"found {rows}"

    def then_nothing(self, projection: Projection) -> None:
        """No row follows."""
        assert self._store.rows(f"SELECT count() FROM ({projection.rows_sql('1')})") == [(0,)]


def filled(store: Store, *projections: Projection) -> None:
    """The tables of read models are made; a verification that makes no table has the same rows before it."""
    for projection in projections:
        rebuild(store, projection)
        found = compared(store, projection, f"({projection.stored_sql('1')})", "1")
        assert found.equal, found


def given(store: Store, *values: bytes) -> Given:
    """A database whose archive holds these records, in this order."""
    return Given(store, values)


def record_at(offset: int, value: bytes) -> Record:
    """A record at an offset of one partition."""
    return Record("topic", 0, offset, 1_795_365_762_000 + offset, b"key", value, ())

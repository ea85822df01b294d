"""The form of a read model: one file declares its columns, and this makes its table, rows and views.

Each event that concerns it becomes one row, which holds only what that event says; the rest is NULL. So the table
only grows: `<name>_versions`. The view `<name>` gives what is true now, the view `<name>_as_of(at = '…')` what was
true then: for each thing, the newest value of each column, and what is computed from these.

*As of T* means, per partition, all before the first record appended after T: append time can step back.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Final

import msgspec

from neural_hive.projections.archive import TABLE_SETTINGS, Archive
from neural_hive.projections.avro_types import quoted

_PLACE: Final = (
    ("topic", "LowCardinality(String)"),
    ("partition", "UInt32"),
    ("offset", "UInt64"),
    ("valid_from", "DateTime64(3, 'UTC')"),
    ("version", "UInt64"),
)
_NOT_NULLABLE: Final = ("Array(", "Map(", "Tuple(")
TIME: Final = "DateTime64(6, 'UTC')"
WORD: Final = "LowCardinality(String)"  # one of few texts, such as a status


class Column(msgspec.Struct, frozen=True):
    """One column: from the payload's fields, or from an expression over the archive's columns."""

    name: str
    type: str = "String"
    paths: tuple[str, ...] = ()
    """Payload fields that it is taken from, dots for nesting; the first that an event has. () = its own name.

    A field that an event's schema version does not have gives NULL, so older versions need nothing.
    """
    sql: str = ""
    told_by: tuple[str, ...] = ()
    """Event types whose word counts when it is NULL or empty too: they take back what an earlier event said."""

    def __post_init__(self) -> None:
        if self.sql and self.paths:
            raise ValueError(f"column {self.name} takes its value from paths or from sql, not from both")

    @property
    def stored_type(self) -> str:
        return f"LowCardinality({self.read_type})" if self.type == WORD else self.read_type

    @property
    def read_type(self) -> str:
        if self.type == WORD:
            return "Nullable(String)"
        return self.type if self.type.startswith(_NOT_NULLABLE) else f"Nullable({self.type})"

    @property
    def fields(self) -> tuple[str, ...]:
        return () if self.sql else self.paths or (self.name,)

    @property
    def expression(self) -> str:
        if self.sql:
            return self.sql
        found = ["".join(("p", *(f".`{part}`" for part in path.split(".")))) for path in self.fields]
        return found[0] if len(found) == 1 else f"coalesce({', '.join(found)})"


class Projection(msgspec.Struct, frozen=True, dict=True):
    """A read model over one of the archive's tables."""

    name: str
    source: Archive
    types: tuple[str, ...]  # the event or message types that concern it
    key: tuple[Column, ...]  # what identifies one thing
    columns: tuple[Column, ...]
    folded: bool = True  # False: every row is a thing of its own, such as a step of a history
    computed: tuple[tuple[str, str], ...] = ()  # columns of the views only: name, expression over the others
    rollups: tuple[tuple[str, str], ...] = ()  # more views: name, SELECT over the view

    @property
    def table(self) -> str:
        return f"{self.name}_versions"

    @property
    def definition(self) -> str:
        """All that decides the table's content: when it changes, the table is filled anew."""
        return "\n".join((self.ddl(), self.rows_sql("1"), *self.views()))

    def ddl(self, table: str | None = None) -> str:
        """CREATE TABLE under its own name or another."""
        lines = ",\n    ".join(f"`{name}` {kind}" for name, kind in self._stored)
        order = ", ".join(f"`{c.name}`" for c in self.key)
        return (
            f"CREATE TABLE IF NOT EXISTS {table or self.table} (\n    {lines}\n) ENGINE = MergeTree "
            f"ORDER BY ({order}, version) SETTINGS {TABLE_SETTINGS}"
        )

    @property
    def _stored(self) -> tuple[tuple[str, str], ...]:
        """The table's columns and their types."""
        keys = ((c.name, c.type) for c in self.key)
        rest = ((c.name, c.stored_type) for c in self.columns)
        return (*keys, *_PLACE, (self.source.type_column, WORD), *rest)

    def rows_sql(self, where: str) -> str:
        """SELECT of the rows that the archive's records under a condition make: the only place that knows."""
        version = "version" if self.source.kind == "event" else "offset"
        keys = [
            f"ifNull({c.expression}, defaultValueOfTypeName({quoted(c.type)})) AS `{c.name}`"
            for c in self.key
        ]
        rest = [f"{c.expression} AS `{c.name}`" for c in self.columns]
        place = ["topic", "partition", "offset", "timestamp AS valid_from", f"{version} AS version"]
        place.append(self.source.type_column)
        types = ", ".join(map(quoted, self.types))
        return (
            f"SELECT {', '.join((*keys, *place, *rest))} FROM ("
            f"SELECT *, untuple(JSONExtract(payload, {quoted(self._payload_type)})) AS p FROM {self.source.table} "
            f"WHERE decode_error = '' AND {self.source.type_column} IN ({types}) AND ({where}))"
        )

    def stored_sql(self, where: str) -> str:
        """SELECT of the same rows as the table holds them once they are inserted: in its columns' types."""
        columns = ", ".join(f"CAST(`{name}`, {quoted(kind)}) AS `{name}`" for name, kind in self._stored)
        return f"SELECT {columns} FROM ({self.rows_sql(where)})"

    def insert_sql(self, where: str, table: str | None = None) -> str:
        """INSERT of the rows that the archive's records under a condition make."""
        return f"INSERT INTO {table or self.table} {self.rows_sql(where)}"

    def views(self) -> tuple[str, ...]:
        """The views that show what is true now, what was true at a time, and what is made of that."""
        made = (
            (self.name, self._shown(self.table)),
            (f"{self.name}_as_of", self.as_of()),
            *self.rollups,
        )
        return tuple(f"CREATE OR REPLACE VIEW {name} AS {sql}" for name, sql in made)

    def as_of(self) -> str:
        """SELECT of what was true at a time: the parameter `at`."""
        return self._shown(f"({self.rows_as_of()})")

    def rows_as_of(self) -> str:
        """SELECT of the table's rows that were there at a time."""
        cuts = (
            "SELECT topic, partition, min(offset) + 1 AS cut "
            f"FROM {self.source.table} WHERE timestamp > {{at:{TIME}}} GROUP BY topic, partition"
        )
        return (
            f"SELECT r.* FROM {self.table} AS r LEFT JOIN ({cuts}) AS c "
            "ON r.topic = c.topic AND r.partition = c.partition WHERE c.cut = 0 OR r.offset + 1 < c.cut"
        )

    def _shown(self, rows: str) -> str:
        rows = self._folded(rows) if self.folded else f"SELECT * FROM {rows}"
        computed = "".join(f", {sql} AS `{name}`" for name, sql in self.computed)
        return f"SELECT *{computed} FROM ({rows})" if computed else rows

    def _folded(self, rows: str) -> str:
        keys = [f"v.`{c.name}` AS `{c.name}`" for c in self.key]
        newest = [f"{self._newest(c)} AS `{c.name}`" for c in self.columns]
        ends = ["max(v.version) AS version", "argMax(v.valid_from, v.version) AS valid_from"]
        by = ", ".join(f"v.`{c.name}`" for c in self.key)
        return f"SELECT {', '.join((*keys, *newest, *ends))} FROM {rows} AS v GROUP BY {by}"

    def _newest(self, column: Column) -> str:
        """The value of the newest event that says something of a column; the others leave it as it was."""
        name = f"v.`{column.name}`"
        has_value = f"notEmpty({name})" if column.type.startswith(_NOT_NULLABLE) else f"isNotNull({name})"
        if column.told_by:
            types = ", ".join(map(quoted, column.told_by))
            counts = f"{has_value} OR v.`{self.source.type_column}` IN ({types})"
            return f"argMaxIf(tuple({name}), v.version, {counts}).1"  # in a tuple: argMax skips a bare NULL
        if column.type.startswith(_NOT_NULLABLE):
            return f"argMaxIf({name}, v.version, {has_value})"
        return f"argMax({name}, v.version)"

    @cached_property
    def _payload_type(self) -> str:
        """What is read from the payload, in one pass over its JSON."""
        tree: dict[str, Any] = {}
        for column in (*self.key, *self.columns):
            for path in column.fields:
                *parents, leaf = path.split(".")
                node = tree
                for parent in parents:
                    node = node.setdefault(parent, {})
                node[leaf] = column.read_type
        return _tuple_type(tree)


def _tuple_type(tree: Mapping[str, Any]) -> str:
    parts = (f"`{k}` {_tuple_type(v) if isinstance(v, Mapping) else v}" for k, v in tree.items())
    return f"Tuple({', '.join(parts)})"


def by_type(values: Mapping[str, str], column: str = "event_type") -> str:
    """An expression that gives a text for each event type, and NULL for those that are not named."""
    types, texts = ", ".join(map(quoted, values)), ", ".join(map(quoted, values.values()))
    return f"transform({column}::String, [{types}], [{texts}]::Array(Nullable(String)), NULL)"

"""The archive: every committed record as it lay in the log, beside what ClickHouse decodes from it.

`events` holds the event topics, `messages` the inputs and dead letters. Both keep the raw record, so that replay
can read them when Kafka no longer has it. A message that cannot be decoded is kept raw, with the reason.
"""

from typing import Any, Final

import msgspec

from neural_hive.projections.avro_types import column_type, json_ready, quoted
from neural_hive.projections.container import GUARD_BYTES, Container
from neural_hive.schemas.catalogue import RecordKind, schema_of
from neural_hive.schemas.envelope import ENVELOPE_SCHEMA, HEADER_SCHEMA

WIDE_PART_BYTES: Final = 128 << 20
TABLE_SETTINGS: Final = (
    "non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1, "
    f"min_bytes_for_wide_part = {WIDE_PART_BYTES}"
)
"""Up to a size a part is one file with all columns: each file is synced by itself, and an insert of 70,000 events was
127 of them."""
INSERT_SETTINGS: Final[dict[str, Any]] = {
    "async_insert": 0,
    "max_insert_threads": 1,
    "min_insert_block_size_rows": 10_000_000,
    "min_insert_block_size_bytes": 4_000_000_000,
    "input_format_avro_null_as_default": 1,
}
"""One insert makes one block, and so one part: it is there whole or not at all."""

_RAW_COLUMNS: Final = (
    ("topic", "LowCardinality(String)"),
    ("partition", "UInt32"),
    ("offset", "UInt64"),
    ("timestamp", "DateTime64(3, 'UTC')"),
    ("key", "Nullable(String)"),
    ("headers", "Array(Tuple(name String, value Nullable(String)))"),
    ("value", "Nullable(String) CODEC(ZSTD(1))"),
    ("schema_id", "UInt32"),
    ("decode_error", "String"),
)
_RAW_SQL: Final = (
    "topic, partition, reinterpretAsUInt64(o) AS offset, "
    "fromUnixTimestamp64Milli(reinterpretAsInt64(t), 'UTC') AS timestamp, "
    "k AS key, h AS headers, v AS value, schema_id, decode_error"
)
_FEW_VALUES: Final = frozenset(
    ("event_type", "aggregate_type", "logic_version", "producer", "source_topic", "message_type")
)
_BLOB: Final = "String CODEC(ZSTD(1))"


class Archive(msgspec.Struct, frozen=True):
    """One of the two archive tables."""

    table: str
    kind: RecordKind
    head: str  # the field of a record that its typed columns come from
    head_schema: dict[str, Any]

    @property
    def head_columns(self) -> tuple[tuple[str, str], ...]:
        return tuple(
            (f["name"], "LowCardinality(String)" if f["name"] in _FEW_VALUES else column_type(f["type"]))
            for f in self.head_schema["fields"]
        )

    @property
    def type_column(self) -> str:
        return f"{self.kind}_type"

    @property
    def ddl(self) -> str:
        """CREATE TABLE, ordered as the log is; one part per insert, since it has no PARTITION BY."""
        columns = (*_RAW_COLUMNS, *self.head_columns, ("payload", _BLOB))
        lines = ",\n    ".join(f"`{name}` {kind}" for name, kind in columns)
        return (
            f"CREATE TABLE IF NOT EXISTS {self.table} (\n    {lines}\n) ENGINE = MergeTree "
            f"ORDER BY (topic, partition, offset) SETTINGS {TABLE_SETTINGS}"
        )

    def insert_sql(self, container: Container, fence: str, target: str | None = None) -> str:
        """INSERT that decodes a container; `fence` is a condition that throws when it must not happen."""
        raw = ", ".join(f"`{name}`" for name, _ in _RAW_COLUMNS)
        columns = ", ".join(f"`{name}`" for name, _ in self.head_columns)
        into = target or f"{self.table} ({raw}, {columns}, payload)"
        guard = f"unhex('{container.guard.hex()}')"
        return (
            f"INSERT INTO {into} SELECT {_RAW_SQL}, untuple(decoded.2), decoded.3 AS payload "
            f"FROM input({quoted(container.structure)}) "
            f"ARRAY JOIN offsets AS o, timestamps AS t, `keys` AS k, headers AS h, `values` AS v, "
            f"arrayResize({self._decoded(container.schema_ids)}, length(offsets)) AS decoded "
            f"WHERE throwIf(decode_error = '' AND decoded.1 != {guard}, 'a datum has not its length') = 0 "
            f"AND {fence} FORMAT Avro"
        )

    def _decoded(self, schema_ids: tuple[int, ...]) -> str:
        """Guard, typed columns and payload of each record of a group: one of these arrays has them all."""
        arrays = [
            f"arrayMap(e -> (e.guard, e.datum.`{self.head}`, {_payload_json(n)}), s{n})" for n in schema_ids
        ]
        if len(arrays) > 1:
            return f"arrayConcat({', '.join(arrays)})"
        none = f"Array(Tuple(FixedString({GUARD_BYTES}), {column_type(self.head_schema)}, String))"
        return arrays[0] if arrays else f"CAST([], {quoted(none)})"


EVENTS: Final = Archive("events", "event", "envelope", ENVELOPE_SCHEMA)
MESSAGES: Final = Archive("messages", "message", "header", HEADER_SCHEMA)
ARCHIVES: Final = (EVENTS, MESSAGES)


def _payload_json(schema_id: int) -> str:
    schema = schema_of(schema_id)["fields"][1]["type"]
    return f"toValidUTF8(toJSONString({json_ready(schema, 'e.datum.payload')}))"

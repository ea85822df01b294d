"""Wraps committed records, byte for byte, into one Avro container that ClickHouse decodes itself.

An Avro record is the concatenation of its fields. So a row is: where the record lay, its raw bytes, one optional
field `s<id>` per schema id of the batch that holds the untouched datum, and a guard. The guard is drawn anew for
each container: a datum that is shorter or longer than it should be would shift what follows it, and then the
guard is not where it must be, and the insert fails as a whole.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import orjson

from neural_hive.connectors.kafka_log import Record
from neural_hive.projections.avro_types import column_type, renamed
from neural_hive.schemas.catalogue import schema_of
from neural_hive.schemas.codec import FRAME_BYTES, avro_bytes, avro_long

GUARD_BYTES: Final = 8
_SYNC_BYTES: Final = 16
_KEPT_MAX: Final = 10_000  # encoded values that are kept because they return
_RAW_FIELDS: Final[list[dict[str, Any]]] = [
    {"name": "topic", "type": "string"},
    {"name": "partition", "type": "int"},
    {"name": "offset", "type": "long"},
    {"name": "timestamp", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "key", "type": ["null", "bytes"]},
    {
        "name": "headers",
        "type": {
            "type": "array",
            "items": {
                "type": "record",
                "name": "KafkaHeader",
                "fields": [{"name": "name", "type": "string"}, {"name": "value", "type": ["null", "bytes"]}],
            },
        },
    },
    {"name": "value", "type": ["null", "bytes"]},
    {"name": "schema_id", "type": "long"},
    {"name": "decode_error", "type": "string"},
]


class Raw(msgspec.Struct, frozen=True):
    """One record for the archive: under which schema it is decoded, or why it is not."""

    record: Record
    schema_id: int  # 0: no schema id could be read
    error: str = ""  # not empty: kept as raw bytes only


class Container(msgspec.Struct, frozen=True):
    """An Avro container, and what is needed to read it."""

    body: bytes
    schema_ids: tuple[int, ...]
    guard: bytes

    @property
    def structure(self) -> str:
        """The columns as ClickHouse's `input` and `file` want them."""
        fixed = (f"{field['name']} {column_type(field['type'])}" for field in _RAW_FIELDS)
        decoded = (f"s{number} {column_type(schema_of(number))}" for number in self.schema_ids)
        return ", ".join((*fixed, *decoded, "guard String"))


def wrap(rows: Sequence[Raw]) -> Container:
    """The container of these rows, in their order."""
    schema_ids = tuple(sorted({row.schema_id for row in rows if not row.error}))
    guard = os.urandom(GUARD_BYTES)
    tail = b"\x10" + guard
    around = {
        number: (b"\0" * at + b"\2", b"\0" * (len(schema_ids) - at - 1) + tail)
        for at, number in enumerate(schema_ids)
    }
    undecoded = b"\0" * len(schema_ids) + tail
    body = b"".join([_row(row, around, undecoded) for row in rows])
    return Container(_container(schema_ids, len(rows), body), schema_ids, guard)


def _row(row: Raw, around: Mapping[int, tuple[bytes, bytes]], undecoded: bytes) -> bytes:
    record, number = row.record, row.schema_id
    value = record.value
    lead = (
        _place(record.topic, record.partition)
        + avro_long(record.offset)
        + _stamp(record.timestamp_ms)
        + (b"\0" if record.key is None else b"\2" + avro_bytes(record.key))
        + (_headers(record.headers) if record.headers else b"\0")
        + (b"\0" if value is None else b"\2" + avro_bytes(value))
        + avro_long(number)
    )
    if row.error or value is None:
        return lead + avro_bytes(row.error.encode()) + undecoded
    before, after = around[number]
    return b"".join((lead, b"\0", before, value[FRAME_BYTES:], after))


_places: dict[tuple[str, int], bytes] = {}
_header_names: dict[str, bytes] = {}
_stamps: dict[int, bytes] = {}


def _place(topic: str, partition: int) -> bytes:
    found = _places.get((topic, partition))
    if found is None:
        found = _places[topic, partition] = avro_bytes(topic.encode()) + avro_long(partition)
    return found


def _stamp(timestamp_ms: int) -> bytes:
    """An append time; the records of one appended batch share it."""
    found = _stamps.get(timestamp_ms)
    if found is None:
        if len(_stamps) > _KEPT_MAX:
            _stamps.clear()
        found = _stamps[timestamp_ms] = avro_long(max(timestamp_ms, 0))
    return found


def _headers(headers: Sequence[tuple[str, bytes | None]]) -> bytes:
    parts = [avro_long(len(headers))]
    for name, value in headers:
        known = _header_names.get(name)
        if known is None:
            if len(_header_names) > _KEPT_MAX:
                _header_names.clear()
            known = _header_names[name] = avro_bytes(name.encode())
        parts.append(known)
        parts.append(b"\0" if value is None else b"\2" + avro_bytes(value))
    parts.append(b"\0")
    return b"".join(parts)


def _container(schema_ids: tuple[int, ...], count: int, body: bytes) -> bytes:
    fields = [
        *_RAW_FIELDS,
        *({"name": f"s{n}", "type": ["null", renamed(schema_of(n), f"_{n}")]} for n in schema_ids),
        {"name": "guard", "type": "bytes"},
    ]
    schema = orjson.dumps({"type": "record", "name": "Row", "fields": fields})
    sync = os.urandom(_SYNC_BYTES)
    head = (
        b"Obj\x01"
        + avro_long(2)
        + avro_bytes(b"avro.schema")
        + avro_bytes(schema)
        + avro_bytes(b"avro.codec")
        + avro_bytes(b"null")
        + b"\0"
        + sync
    )
    return b"".join((head, avro_long(count), avro_long(len(body)), body, sync)) if count else head

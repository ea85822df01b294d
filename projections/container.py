"""Wraps committed records, byte for byte, into one Avro container that ClickHouse decodes itself.

A row of the container is a group: the records of one partition under one schema, column by column. Offsets, append
times, keys, headers and values are arrays; so are the untouched records, in the field `s<id>` of their schema, and
the arrays of all other schemas are empty. So nothing is written for a schema that a record does not have, and
ClickHouse decodes what belongs together in one go.

Behind each record stands a guard, drawn anew for each container: a datum that is shorter or longer than it should be
would shift what follows it, and then the guard is not where it must be, and the insert fails as a whole.
"""

import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
import orjson

from neural_hive.projections.avro_types import column_type, renamed
from neural_hive.projections.groups import Group, Raw, grouped
from neural_hive.schemas.catalogue import schema_of
from neural_hive.schemas.codec import FRAME_BYTES, avro_bytes
from neural_hive.schemas.varint import avro_long

GUARD_BYTES: Final = 8
_SYNC_BYTES: Final = 16
_KEPT_MAX: Final = 10_000  # encoded names that are kept because they return
_BYTES: Final = ["null", "bytes"]
_EIGHT: Final = {"type": "fixed", "name": "EightBytes", "size": 8}  # a whole number, low byte first
_HEADER: Final[dict[str, Any]] = {
    "type": "record",
    "name": "KafkaHeader",
    "fields": [{"name": "name", "type": "string"}, {"name": "value", "type": _BYTES}],
}
_FRAME: Final = {"type": "fixed", "name": "Frame", "size": FRAME_BYTES}
_FIELDS: Final[tuple[tuple[str, Any, str], ...]] = (
    ("topic", "string", "String"),
    ("partition", "int", "Int32"),
    ("schema_id", "long", "Int64"),
    ("decode_error", "string", "String"),
    ("offsets", {"type": "array", "items": _EIGHT}, "Array(FixedString(8))"),
    ("timestamps", {"type": "array", "items": "EightBytes"}, "Array(FixedString(8))"),
    ("keys", {"type": "array", "items": _BYTES}, "Array(Nullable(String))"),
    (
        "headers",
        {"type": "array", "items": {"type": "array", "items": _HEADER}},
        "Array(Array(Tuple(name String, value Nullable(String))))",
    ),
    ("values", {"type": "array", "items": _BYTES}, "Array(Nullable(String))"),
)
_LENGTHS: Final = [avro_long(n) for n in range(1 << 13)]
_PRESENT_LENGTHS: Final = [
    b"\2" + length for length in _LENGTHS
]  # behind the branch of a union that is not null


class Container(msgspec.Struct, frozen=True):
    """An Avro container in pieces, and what is needed to read it."""

    pieces: tuple[bytes, ...]
    schema_ids: tuple[int, ...]
    guard: bytes

    @property
    def body(self) -> bytes:
        """The pieces as one."""
        return b"".join(self.pieces)

    @property
    def structure(self) -> str:
        """The columns as ClickHouse's `input` and `file` want them."""
        fixed = (f"{name} {kind}" for name, _, kind in _FIELDS)
        decoded = (
            f"s{n} Array(Tuple(frame FixedString({FRAME_BYTES}), datum {column_type(schema_of(n))}, "
            f"guard FixedString({GUARD_BYTES})))"
            for n in self.schema_ids
        )
        return ", ".join((*fixed, *decoded))


def wrap(rows: Iterable[Raw]) -> Container:
    """The container of these records."""
    return wrap_groups(grouped(rows))


def wrap_groups(groups: Sequence[Group]) -> Container:
    """The container of these groups."""
    schema_ids = tuple(sorted({group.schema_id for group in groups if not group.error}))
    around = {number: (b"\0" * at, b"\0" * (len(schema_ids) - at)) for at, number in enumerate(schema_ids)}
    guard = os.urandom(GUARD_BYTES)
    rows = [_row(group, around, len(schema_ids), guard) for group in groups]
    sync = os.urandom(_SYNC_BYTES)
    head = _head(schema_ids, sync)
    if not rows:
        return Container((head,), schema_ids, guard)
    block = avro_long(len(rows)) + avro_long(sum(map(len, rows)))
    return Container((head + block, *rows, sync), schema_ids, guard)


def _row(group: Group, around: Mapping[int, tuple[bytes, bytes]], schemas: int, guard: bytes) -> bytes:
    count = avro_long(len(group.offsets))
    whole_numbers = struct.Struct(f"<{len(group.offsets)}q").pack
    parts = [
        avro_bytes(group.topic.encode()),
        avro_long(group.partition),
        avro_long(group.schema_id),
        avro_bytes(group.error.encode()),
        count,
        whole_numbers(*group.offsets),
        b"\0" + count,
        whole_numbers(*[max(ms, 0) for ms in group.timestamps_ms]),
        b"\0" + count,
    ]
    parts += _keys(group.keys)
    parts.append(b"\0" + count)
    _add_headers(group.headers, parts)
    parts.append(b"\0" + count)
    parts += _values(group.values)
    parts.append(b"\0")
    if group.error:
        parts.append(b"\0" * schemas)
    else:
        before, after = around[group.schema_id]
        parts += (before, count, guard.join(group.values), guard, after)  # type: ignore[arg-type]
    return b"".join(parts)


def _keys(keys: Sequence[bytes | None]) -> list[bytes]:
    """Keys return: each is encoded once."""
    known = {key: b"\0" if key is None else b"\2" + avro_bytes(key) for key in set(keys)}
    return [known[key] for key in keys]


def _values(values: Sequence[bytes | None]) -> list[bytes]:
    if None in values:
        return [b"\0" if value is None else b"\2" + avro_bytes(value) for value in values]
    parts = [b""] * (2 * len(values))
    parts[0::2] = [
        _PRESENT_LENGTHS[n] if (n := len(value)) < len(_LENGTHS) else b"\2" + avro_long(n)  # type: ignore[arg-type]
        for value in values
    ]
    parts[1::2] = values  # type: ignore[assignment]
    return parts


_header_names: dict[str, bytes] = {}


def _add_headers(headers: Sequence[Sequence[tuple[str, bytes | None]]], parts: list[bytes]) -> None:
    known, lengths, longest = _header_names.get, _LENGTHS, len(_LENGTHS)
    add = parts.extend
    for found in headers:
        if not found:
            add((b"\0",))
            continue
        add((avro_long(len(found)),))
        for name, value in found:
            encoded = known(name) or _encoded_name(name)
            if value is None:
                add((encoded, b"\0"))
            else:
                size = len(value)
                add((encoded, b"\2", lengths[size] if size < longest else avro_long(size), value))
        add((b"\0",))


def _encoded_name(name: str) -> bytes:
    if len(_header_names) > _KEPT_MAX:
        _header_names.clear()
    encoded = _header_names[name] = avro_bytes(name.encode())
    return encoded


def _head(schema_ids: tuple[int, ...], sync: bytes) -> bytes:
    fields: list[dict[str, Any]] = [{"name": name, "type": kind} for name, kind, _ in _FIELDS]
    frame: Any = _FRAME  # a named type is told in full where it is first met
    for number in schema_ids:
        record = [
            {"name": "frame", "type": frame},
            {"name": "datum", "type": renamed(schema_of(number), f"_{number}")},
            {"name": "guard", "type": "EightBytes"},
        ]
        items = {"type": "record", "name": f"Framed_{number}", "fields": record}
        fields.append({"name": f"s{number}", "type": {"type": "array", "items": items}})
        frame = "Frame"
    schema = orjson.dumps({"type": "record", "name": "Group", "fields": fields})
    return (
        b"Obj\x01"
        + avro_long(2)
        + avro_bytes(b"avro.schema")
        + avro_bytes(schema)
        + avro_bytes(b"avro.codec")
        + avro_bytes(b"null")
        + b"\0"
        + sync
    )

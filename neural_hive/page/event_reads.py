"""The newest events, and those that follow: read from the ends of the partitions, never the whole archive."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from neural_hive.projections.positions import read_standing
from neural_hive.projections.ranges import Place
from neural_hive.schemas.extensions import all_topics
from neural_hive.schemas.topics import Kind
from neural_hive.sdk.tables import Reader
from neural_hive.sdk.views import rows_as

ROWS_MAX: Final = 200
_WINDOWS: Final = (500, 5_000, 50_000, 500_000)  # records of each partition, from its end
_FIELDS: Final = (
    "toString(timestamp), event_type, aggregate_type, aggregate_id, version, topic, partition, offset"
)
_ONE: Final = (
    "SELECT {columns} FROM events WHERE topic = {{topic:String}} AND partition = {{partition:UInt32}} "
    "AND offset = {{offset:UInt64}}"
)


class EventRow(msgspec.Struct, frozen=True):
    """An event in a list."""

    at: str  # append time, UTC
    event_type: str
    aggregate_type: str
    aggregate_id: str
    version: int
    topic: str
    partition: int
    offset: int

    @property
    def place(self) -> str:
        """Where it lies."""
        return f"{self.topic}:{self.partition}:{self.offset}"


class WholeEvent(msgspec.Struct, frozen=True):
    """An event decoded, and its bytes."""

    event_type: str
    aggregate_type: str
    aggregate_id: str
    version: int
    sequence: int
    occurred_at: datetime
    event_id: str
    causation_id: str
    correlation_id: str
    trace_id: str
    producer: str
    logic_version: str
    source_topic: str
    source_partition: int
    source_offset: int
    schema_id: int
    payload: str  # JSON
    value: str  # hex
    hash: str  # SHA-256 of the value, hex
    prev_hash: str


class Filter(msgspec.Struct, frozen=True):
    """Which events; "" is any. `text` stands somewhere in the payload."""

    event_type: str = ""
    aggregate_id: str = ""
    topic: str = ""
    text: str = ""


def ends(reader: Reader, topic: str = "") -> dict[Place, int]:
    """How far each partition of the event topics is archived. Raises ClickHouseError."""
    events = {name for name, known in all_topics().items() if known.kind is Kind.EVENT}
    standing = read_standing(reader).positions
    return {
        place: position.next
        for place, position in standing.items()
        if place[0] in events and topic in ("", place[0])
    }


def newest(reader: Reader, wanted: Filter, count: int = ROWS_MAX) -> list[EventRow]:
    """The newest of some, the last first; so far back as there are 500,000 records of a partition.

    Raises ClickHouseError.
    """
    found: list[EventRow] = []
    until = ends(reader, wanted.topic)
    for window in _WINDOWS:
        begins = {place: max(end - window, 0) for place, end in until.items()}
        found = between(reader, wanted, begins, until, count)
        if len(found) >= count or not any(begins.values()):
            break
    return found


def between(
    reader: Reader, wanted: Filter, begins: Mapping[Place, int], until: Mapping[Place, int], count: int
) -> list[EventRow]:
    """Those of [begins, until) of each partition, the last first. Raises ClickHouseError."""
    ranges = [
        f"(topic = '{topic}' AND partition = {number} AND offset >= {begin} AND offset < {end})"
        for (topic, number), end in until.items()
        if (begin := begins.get((topic, number), 0)) < end
    ]
    if not ranges:
        return []
    params: dict[str, Any] = {"count": count}
    conditions = [f"({' OR '.join(ranges)})"]
    for name in ("event_type", "aggregate_id"):
        if value := getattr(wanted, name):
            conditions.append(f"{name} = {{{name}:String}}")
            params[name] = value
    if wanted.text:
        conditions.append("positionCaseInsensitive(payload, {text:String}) > 0")
        params["text"] = wanted.text
    sql = f"SELECT {_FIELDS} FROM events WHERE {' AND '.join(conditions)} "
    rows = reader.rows(f"{sql} ORDER BY timestamp DESC, sequence DESC LIMIT {{count:UInt32}}", params)
    return list(rows_as(EventRow, rows))


def event_at(reader: Reader, place: str) -> WholeEvent | None:
    """The event at topic:partition:offset; None: there is none. Raises ClickHouseError."""
    topic, _, rest = place.partition(":")
    number, _, offset = rest.partition(":")
    if not (number.isdecimal() and offset.isdecimal() and len(offset) < 19 and len(number) < 10):
        return None
    special = {
        "value": "lower(hex(value))",
        "hash": "lower(hex(SHA256(value)))",
        "prev_hash": "lower(hex(prev_hash))",
    }
    columns = ", ".join(special.get(name, name) for name in WholeEvent.__struct_fields__)
    params = {"topic": topic, "partition": int(number), "offset": int(offset)}
    found = rows_as(WholeEvent, reader.rows(_ONE.format(columns=columns), params))
    return found[0] if found else None

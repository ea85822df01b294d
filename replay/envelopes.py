"""Reads the envelope of an event and leaves the payload alone.

An Avro record is the concatenation of its fields and the envelope is the first one, so its schema reads just the
front of the bytes. The first five envelope fields are the same for all events of one type and writer: they are
compared as bytes and read once. Together 3.6 µs an event instead of 5.7 for the whole.
"""

import io
from typing import Any, Final

import fastavro
import msgspec

from neural_hive.schemas.catalogue import Registered, parsed, registered, schema_of
from neural_hive.schemas.codec import FRAME_BYTES, BadRecord, schema_id
from neural_hive.schemas.quick import QuickReader, quick_reader

_LEAD_FIELDS: Final = ("event_type", "aggregate_type", "schema_version", "logic_version", "producer")


class Lead(msgspec.Struct, frozen=True):
    """The front of an envelope, the same for all events of one type and writer, and the schema that wrote it."""

    schema: Registered
    event_type: str
    aggregate_type: str
    schema_version: int
    logic_version: str
    producer: str
    raw: bytes  # framing and these fields, as they stand in the value


class _Parts(msgspec.Struct):
    schema: Registered
    lead: Any
    rest: Any
    quick: QuickReader  # of the rest
    latest: Lead | None = None


class EnvelopeReader:
    """Reads envelopes; remembers the leads that it has seen."""

    def __init__(self) -> None:
        self._parts: dict[bytes, _Parts] = {}

    def read(self, value: bytes) -> tuple[Lead, dict[str, Any]]:
        """The lead, and the other envelope fields by name. Raises as `located` does."""
        lead, rest, _ = self.located(value)
        return lead, rest

    def located(self, value: bytes) -> tuple[Lead, dict[str, Any], int]:
        """The same, and where the payload begins.

        Raises BadRecord: not an event of this system. UnknownSchema: a newer build wrote it.
        """
        parts = self._parts.get(value[:FRAME_BYTES]) or self._parts_of(value)
        lead = parts.latest
        if lead is None or not value.startswith(lead.raw):
            lead = parts.latest = _lead_of(value, parts)
        try:
            rest, end = parts.quick(value, len(lead.raw))
            if end <= len(value):
                return lead, rest, end
        except (IndexError, ValueError):
            pass  # not as usual: the decoder says what is wrong with it
        stream = io.BytesIO(value)
        stream.seek(len(lead.raw))
        return lead, _read(stream, parts.rest), stream.tell()

    def _parts_of(self, value: bytes) -> _Parts:
        number = schema_id(value)
        row = registered().get(number)
        if row is None:
            parsed(number)  # raises UnknownSchema with its text
        assert row is not None
        if row.kind != "event":
            raise BadRecord(f"{row.name} is a {row.kind}, not an event")
        found = self._parts[value[:FRAME_BYTES]] = _Parts(row, *_split(number))
        return found


def _split(number: int) -> tuple[Any, Any, QuickReader]:
    envelope = schema_of(number)["fields"][0]["type"]
    fields = [{**field, "type": _plain(field["type"])} for field in envelope["fields"]]
    names = tuple(field["name"] for field in fields[: len(_LEAD_FIELDS)])
    if names != _LEAD_FIELDS:
        raise BadRecord(f"the envelope of schema id {number} begins with {names}, expected {_LEAD_FIELDS}")
    lead = {"type": "record", "name": "Lead", "fields": fields[: len(_LEAD_FIELDS)]}
    rest = {"type": "record", "name": "Rest", "fields": fields[len(_LEAD_FIELDS) :]}
    return fastavro.parse_schema(lead), fastavro.parse_schema(rest), quick_reader(rest)


def _plain(schema: Any) -> Any:
    return schema["type"] if isinstance(schema, dict) and "logicalType" in schema else schema


def _lead_of(value: bytes, parts: _Parts) -> Lead:
    stream = io.BytesIO(value)
    stream.seek(FRAME_BYTES)
    fields = _read(stream, parts.lead)
    return Lead(parts.schema, **fields, raw=value[: stream.tell()])


def _read(stream: io.BytesIO, schema: Any) -> dict[str, Any]:
    try:
        fields: dict[str, Any] = fastavro.schemaless_reader(stream, schema, None)
    except Exception as error:  # fastavro raises IndexError, EOFError, struct.error … on hostile bytes
        raise BadRecord(f"the envelope cannot be read: {type(error).__name__}: {error}") from error
    return fields

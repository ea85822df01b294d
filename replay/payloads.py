"""Reads the payload of an event whose envelope was read already: half of the time of reading all of it again."""

import io
from functools import cache
from typing import Any

import fastavro
import msgspec

from neural_hive.schemas.catalogue import parsed_payload, registered, schema_of
from neural_hive.schemas.codec import BadRecord
from neural_hive.schemas.strict import NotADatum, Program, check, compiled
from neural_hive.schemas.topics import MESSAGE_BYTES_MAX, TOPICS


class _Reader(msgspec.Struct, frozen=True):
    """What reading the payloads of one schema id takes, made once."""

    name: str
    program: Program
    parsed: Any
    bytes_max: int


@cache
def _reader(number: int) -> _Reader:
    row, payload = registered()[number], schema_of(number)["fields"][1]["type"]
    limits = (TOPICS[name].bytes_max if name in TOPICS else MESSAGE_BYTES_MAX for name in row.topics)
    return _Reader(row.name, compiled(payload), parsed_payload(number), max(limits))


def payload_of(value: bytes, number: int, start: int) -> dict[str, Any]:
    """The payload that begins at `start` in an event of a schema id, checked as the codec does. Raises BadRecord."""
    reader = _reader(number)
    if len(value) > reader.bytes_max:
        raise BadRecord(f"{reader.name} has {len(value)} bytes, more than the {reader.bytes_max} allowed")
    stream = io.BytesIO(value)
    stream.seek(start)
    try:
        check(reader.program, value, start)
        payload: dict[str, Any] = fastavro.schemaless_reader(stream, reader.parsed, None)
    except NotADatum as error:
        raise BadRecord(f"{reader.name} cannot be read: {error}") from error
    except Exception as error:  # text that is not UTF-8; fastavro does not say what else it may raise
        raise BadRecord(f"{reader.name} cannot be read: {type(error).__name__}: {error}") from error
    if stream.tell() != len(value):
        raise BadRecord(f"{reader.name} is read differently by its check and its decoder")
    return payload

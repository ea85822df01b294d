"""The schemas that the wire knows: every version of every record, each under a fixed id.

The sources are payload records: `events/<Type>.avsc` and `messages/<Type>.avsc`, with shared types in
`types/`. `freeze.py` composes them with the envelope or header, and keeps each version for ever as
`registered/<id>.avsc`. Only registered schemas are read and written; a source that differs from its last
version is not yet in force. Other systems keep theirs in folders of the same form, named in the variable
NEURAL_HIVE_SCHEMAS (as in PATH).
"""

import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

import fastavro
import msgspec
import orjson

from neural_hive.schemas.envelope import NAMESPACE

RecordKind = Literal["event", "message"]
_OWN: Final = Path(__file__).parent
FOLDERS_VARIABLE: Final = "NEURAL_HIVE_SCHEMAS"


class UnknownSchema(LookupError):
    """A schema id or record name that this build does not know; a newer build wrote it."""


class BadSchemas(ValueError):
    """A folder of schemas cannot be used; the text names it, and says what to do."""


class Registered(msgspec.Struct, frozen=True):
    """One version of one record, as it stands in `ids.json`."""

    id: int
    name: str  # the record's name without the namespace, e.g. TicketCompleted
    kind: RecordKind
    version: int  # 1, 2, 3 … of this record
    topics: tuple[str, ...]  # where it may be written: its subjects are <topic>-neural_hive.<name>
    sha256: str  # hex digest of the file registered/<id>.avsc, which never changes

    @property
    def full_name(self) -> str:
        return f"{NAMESPACE}.{self.name}"

    @property
    def subjects(self) -> tuple[str, ...]:
        return tuple(f"{topic}-{self.full_name}" for topic in self.topics)


def folders() -> tuple[Path, ...]:
    """Where schemas are kept: this package's folder, then those of the variable NEURAL_HIVE_SCHEMAS."""
    more = os.environ.get(FOLDERS_VARIABLE, "")
    return (_OWN, *(Path(folder) for folder in more.split(os.pathsep) if folder))


@cache
def _located() -> dict[int, tuple[Registered, Path]]:
    found: dict[int, tuple[Registered, Path]] = {}
    for folder in folders():
        for row in _rows(folder):
            if row.id in found:
                raise BadSchemas(f"schema id {row.id} stands in {folder} and in {found[row.id][1]}")
            found[row.id] = (row, folder)
    return found


def _rows(folder: Path) -> list[Registered]:
    try:
        return msgspec.json.decode((folder / "ids.json").read_bytes(), type=list[Registered])
    except FileNotFoundError as error:
        raise BadSchemas(
            f"{folder} has no ids.json; run python -m neural_hive.schemas.freeze --folder {folder}, "
            f"or take it out of {FOLDERS_VARIABLE}"
        ) from error


@cache
def registered() -> dict[int, Registered]:
    """All registered versions by schema id."""
    return {number: row for number, (row, _) in _located().items()}


@cache
def current(name: str) -> Registered:
    """The newest registered version of a record.

    Raises UnknownSchema: no such record is registered; run `python -m neural_hive.schemas.freeze`.
    """
    versions = [row for row in registered().values() if row.name == name]
    if not versions:
        raise UnknownSchema(
            f"no schema is registered for {name}; add its .avsc and run python -m neural_hive.schemas.freeze"
        )
    return max(versions, key=lambda row: row.version)


def writable(name: str, until: Iterable[int] = ()) -> Registered | None:
    """The newest version of a record that may be written; None: none may be, yet.

    Each id of `until` stands for the folder that it is registered in: this build reads newer schemas of it, and does
    not write them. Raises UnknownSchema: there is no such id, or no such record.
    """
    limits: dict[Path, int] = {}
    for number in until:
        schema_of(number)  # raises UnknownSchema
        limits[_located()[number][1]] = number
    newest = current(name)
    limit = limits.get(_located()[newest.id][1], newest.id)
    versions = (row for row in registered().values() if row.name == name and row.id <= limit)
    return max(versions, key=lambda row: row.version, default=None)


@cache
def schema_of(schema_id: int) -> dict[str, Any]:
    """The whole Avro schema under an id, as JSON.

    Raises UnknownSchema: the id is not in this build's `ids.json`.
    """
    if schema_id not in _located():
        raise UnknownSchema(f"schema id {schema_id} is not known to this build")
    folder = _located()[schema_id][1]
    schema: dict[str, Any] = orjson.loads((folder / "registered" / f"{schema_id}.avsc").read_bytes())
    return schema


@cache
def parsed(schema_id: int) -> Any:
    """The schema under an id, ready for fastavro."""
    return fastavro.parse_schema(without_logical_types(schema_of(schema_id)))


@cache
def parsed_payload(schema_id: int) -> Any:
    """The payload's part of the schema under an id, ready for fastavro.

    Named types that the envelope declares are not used by payloads, so the part stands on its own.
    """
    return fastavro.parse_schema(without_logical_types(schema_of(schema_id)["fields"][1]["type"]))


def without_logical_types(schema: Any) -> Any:
    """The schema without logical types: times stay integers in Python; they are for other readers."""
    if isinstance(schema, dict):
        return {key: without_logical_types(value) for key, value in schema.items() if key != "logicalType"}
    if isinstance(schema, list):
        return [without_logical_types(branch) for branch in schema]
    return schema

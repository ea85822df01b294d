"""Fills a schema registry with this build's schemas."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import orjson
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient, SchemaRegistryError

from neural_hive.connectors.schema_subjects import Record, Version, canonical, config_record, same
from neural_hive.schemas import catalogue
from neural_hive.schemas.catalogue import Registered
from neural_hive.schemas.shape import full_name

LEVEL: Final = "FULL_TRANSITIVE"
_NOT_FOUND: Final = 404
_SHOWN_MAX: Final = 100


class RegistryUnusable(RuntimeError):
    """The registry does not answer, or not as one; the text says what to do."""


class RegistryConflict(RuntimeError):
    """The registry says something else than this build about a schema; the text names both."""


def own_records() -> Iterator[Record]:
    """What register_all leaves in an empty registry."""
    versions: Counter[str] = Counter()
    for row in _rows():
        for subject in row.subjects:
            versions[subject] += 1
            yield Version(subject, versions[subject], row.id, canonical(_text(row))).record()
    yield from (config_record(subject, LEVEL) for subject in sorted(versions))


def register_all(url: str, client_config: Mapping[str, Any] | None = None) -> list[str]:
    """Registers every schema of the catalogue under its fixed id; gives the subjects that were changed.

    `client_config`: SchemaRegistryClient's other settings (TLS, authorisation). May be repeated at any time.
    Raises RegistryConflict: an id is taken by another schema, or the schema has another id; nothing of that
    record was changed. RegistryUnusable: it refuses or cannot be reached.
    """
    try:
        return _register_all(url, client_config or {})
    except RegistryConflict:
        raise
    except SchemaRegistryError as error:
        raise RegistryUnusable(f"the schema registry at {url} takes no schemas: {error}") from error
    except Exception as error:  # whatever its HTTP library raises
        raise RegistryUnusable(
            f"no schema registry answers at {url} ({error}). Start it, mend the setting schema_registry_url, or leave "
            "that out: then one is started here"
        ) from error


def _register_all(url: str, client_config: Mapping[str, Any]) -> list[str]:
    with SchemaRegistryClient({"url": url, **client_config}) as client:
        known = set(client.get_subjects())
        changed: dict[str, None] = {}
        for row in _rows():
            for subject in row.subjects:
                if not _registered(client, row, subject, known):
                    _import(client, row, subject, known)
                    changed[subject] = None
        for subject in sorted({subject for row in _rows() for subject in row.subjects}):
            _settle(client, subject)
        return list(changed)


def _rows() -> list[Registered]:
    return sorted(catalogue.registered().values(), key=lambda row: (row.name, row.version))


def _text(row: Registered) -> str:
    return orjson.dumps(catalogue.schema_of(row.id)).decode()


def _registered(client: SchemaRegistryClient, row: Registered, subject: str, known: set[str]) -> bool:
    if subject not in known:
        return False
    try:
        found = client.lookup_schema(subject, Schema(_text(row), "AVRO"))
    except SchemaRegistryError as error:
        if error.http_status_code == _NOT_FOUND:
            return False
        raise
    if found.schema_id != row.id:
        raise RegistryConflict(
            f"subject {subject} has {row.name} version {row.version} under schema id {found.schema_id}; "
            f"this build writes it under id {row.id}. Use a registry of its own for this system"
        )
    return True


def _import(client: SchemaRegistryClient, row: Registered, subject: str, known: set[str]) -> None:
    _refuse_taken_id(client, row)
    schema = Schema(_text(row), "AVRO")
    if subject in known and not client.test_compatibility_all_versions(subject, schema):
        raise RegistryConflict(
            f"{row.name} version {row.version} (id {row.id}) does not fit the versions that subject {subject} "
            "has in the registry; somebody else registers schemas there"
        )
    client.update_mode(subject, "IMPORT", force=True)
    try:
        # The client has no call that takes an id; its REST client has its TLS, authorisation and retries.
        body = {**schema.to_dict(), "id": row.id}
        client._rest_client.post(f"subjects/{subject}/versions", body=body)
    finally:
        client.delete_mode(subject)
    known.add(subject)


def _refuse_taken_id(client: SchemaRegistryClient, row: Registered) -> None:
    try:
        taken = client._rest_client.get(f"schemas/ids/{row.id}")["schema"]
    except SchemaRegistryError as error:
        if error.http_status_code == _NOT_FOUND:
            return
        raise
    if not same(taken, _text(row)):
        raise RegistryConflict(
            f"schema id {row.id} is taken in the registry by {_name_of(taken)}; this build writes "
            f"{row.full_name} version {row.version} under it. Use a registry of its own for this system"
        )


def _name_of(text: str) -> str:
    try:
        schema = orjson.loads(text)
    except orjson.JSONDecodeError:  # Protobuf
        schema = None
    return full_name(schema) if isinstance(schema, dict) and "name" in schema else text[:_SHOWN_MAX]


def _settle(client: SchemaRegistryClient, subject: str) -> None:
    """The subject's level, and no import mode left by a start that was killed."""
    if _own(client.get_compatibility, subject) != LEVEL:
        client.set_compatibility(subject, LEVEL)
    if _own(client.get_mode, subject) == "IMPORT":
        client.delete_mode(subject)


def _own(ask: Callable[[str], str], subject: str) -> str:
    """What a subject has set for itself, "" if nothing."""
    try:
        return ask(subject)
    except SchemaRegistryError as error:
        if error.http_status_code == _NOT_FOUND:
            return ""
        raise

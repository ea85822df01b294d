"""The schema registry: serving one on a single machine, and filling any with this build's schemas."""

import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

import orjson
import uvicorn
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient, SchemaRegistryError

from neural_hive.connectors.schema_log import TOPIC, SchemaLog, WriterFenced
from neural_hive.connectors.schema_registry_server import Registry, application
from neural_hive.connectors.schema_subjects import Record, Version, canonical, config_record, same
from neural_hive.schemas import catalogue
from neural_hive.schemas.catalogue import Registered, UnknownSchema
from neural_hive.schemas.shape import full_name, unsafe_problems

LEVEL: Final = "FULL_TRANSITIVE"
_NOT_FOUND: Final = 404
_NO_SUCH: Final = frozenset({400, 404, 422})  # how registries say that an id is none of theirs
_ID_MAX: Final = 2**31 - 1
_SHOWN_MAX: Final = 100


class RegistryUnusable(RuntimeError):
    """The registry does not answer, or not as one; the text says what to do."""


class RegistryConflict(RuntimeError):
    """The registry says something else than this build about a schema; the text names both."""


def run(
    bootstrap: str,
    port: int,
    host: str = "127.0.0.1",
    *,
    kafka: Mapping[str, Any] | None = None,
    topic: str = TOPIC,
    fill: bool = False,
) -> None:
    """Serves the registry until SIGTERM or SIGINT. `kafka`: librdkafka's other settings (TLS, SASL).

    `fill`: an empty one has this build's schemas from the beginning.

    Raises WriterFenced: another registry has taken the topic over. SchemaTopicWrong, KafkaException: at start.
    """
    log = SchemaLog({**(kafka or {}), "bootstrap.servers": bootstrap}, topic)
    if fill and next(log.records(), None) is None:
        log.append(list(_own_records()))  # by requests they would take 6 s
    fenced: list[bool] = []

    def stop() -> None:
        fenced.append(True)
        server.should_exit = True

    app = application(Registry(log, stop))
    server = uvicorn.Server(
        uvicorn.Config(app, host, port, log_config=None, access_log=False, timeout_graceful_shutdown=5)
    )
    _end_normally_when_stopped()
    server.run()
    if fenced:
        raise WriterFenced(f"another schema registry writes to topic {topic} now; this one has stopped")


def _own_records() -> Iterator[Record]:
    """What register_all leaves in an empty registry."""
    versions: Counter[str] = Counter()
    for row in _rows():
        for subject in row.subjects:
            versions[subject] += 1
            yield Version(subject, versions[subject], row.id, canonical(_text(row))).record()
    yield from (config_record(subject, LEVEL) for subject in sorted(versions))


def _end_normally_when_stopped() -> None:
    """The server raises the signal that stopped it once more, for the handlers before its own: none would kill."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(number, lambda *_: None)


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


class ForeignSchemas:
    """Schemas that other producers registered, by id: for foreign inputs, never for this system's own events."""

    def __init__(
        self, url: str, client_config: Mapping[str, Any] | None = None, kept_max: int = 1_000
    ) -> None:
        self._client = SchemaRegistryClient({"url": url, **(client_config or {})})
        self.schema = lru_cache(kept_max)(self._fetched)

    def _fetched(self, schema_id: int) -> dict[str, Any]:
        """The whole Avro schema. Raises UnknownSchema: the registry has none, or one that cannot be read here.

        SchemaRegistryError and the errors of its HTTP client: the registry was not asked, and may have it.
        """
        if not 0 < schema_id <= _ID_MAX:
            raise UnknownSchema(f"schema id {schema_id} is none that a registry gives")
        try:
            answer = self._client.get_schema(schema_id)
        except SchemaRegistryError as error:
            if error.http_status_code in _NO_SUCH:
                raise UnknownSchema(f"schema id {schema_id} is not in the registry either") from error
            raise
        if answer.schema_type not in (None, "AVRO"):
            raise UnknownSchema(f"schema id {schema_id} is of type {answer.schema_type}, not AVRO")
        return _readable(schema_id, answer.schema_str or "")


def _readable(schema_id: int, text: str) -> dict[str, Any]:
    try:
        schema = orjson.loads(text)
    except orjson.JSONDecodeError as error:  # some registries do not tell the type of a schema
        raise UnknownSchema(f"schema id {schema_id} is no Avro schema: {error}") from error
    if unsafe := unsafe_problems(schema):
        raise UnknownSchema(f"schema id {schema_id} cannot be read here: {'; '.join(unsafe)}")
    return dict(schema)

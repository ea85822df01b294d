"""Schemas that others registered.

The registry's client is loaded when the first one is asked for: it brings a quarter of a second of modules along, and
most processes never see a foreign schema.
"""

from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Any, Final

import orjson

from neural_hive.schemas.catalogue import UnknownSchema
from neural_hive.schemas.shape import unsafe_problems

_NO_SUCH: Final = frozenset({400, 404, 422})  # how registries say that an id is none of theirs
_ID_MAX: Final = 2**31 - 1


class ForeignSchemas:
    """Schemas that other producers registered, by id: for foreign inputs, never for this system's own events."""

    def __init__(
        self, url: str, client_config: Mapping[str, Any] | None = None, kept_max: int = 1_000
    ) -> None:
        self._config = {"url": url, **(client_config or {})}
        self.schema = lru_cache(kept_max)(self._fetched)

    @cached_property
    def _client(self) -> Any:
        from confluent_kafka.schema_registry import SchemaRegistryClient

        return SchemaRegistryClient(self._config)

    def _fetched(self, schema_id: int) -> dict[str, Any]:
        """The whole Avro schema. Raises UnknownSchema: the registry has none, or one that cannot be read here.

        SchemaRegistryError and the errors of its HTTP client: the registry was not asked, and may have it.
        """
        if not 0 < schema_id <= _ID_MAX:
            raise UnknownSchema(f"schema id {schema_id} is none that a registry gives")
        from confluent_kafka.schema_registry import SchemaRegistryError

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

"""Reads what others wrote, such as inputs: with this build's schemas, else with those that they registered."""

import time
from collections.abc import Callable
from typing import Any

from neural_hive.schemas.catalogue import RecordKind, UnknownSchema
from neural_hive.schemas.codec import Decoded, ForeignReader, decode, schema_id

KEPT_MAX = 1_000
ASK_AGAIN_S = 30.0  # a schema may be registered after its first record was refused

Fetch = Callable[[int], dict[str, Any]]  # the schema under an id; raises UnknownSchema if there is none


class RegistryAway(RuntimeError):
    """The registry cannot be asked: that is not the record's fault."""


class MessageReader:
    """Decodes messages, or events for who only looks on; one for each process.

    `fetch` None: only this build's schemas.
    """

    def __init__(self, fetch: Fetch | None = None, kind: RecordKind = "message") -> None:
        self._fetch, self._kind = fetch, kind
        self._readers: dict[int, ForeignReader] = {}
        self._refused: dict[int, tuple[float, str]] = {}

    def __call__(self, value: bytes) -> Decoded:
        """One record. Raises BadRecord, UnknownSchema; RegistryAway: try again later."""
        try:
            return decode(value, self._kind)
        except UnknownSchema:
            if self._fetch is None:
                raise
            return self._reader(self._fetch, schema_id(value)).decode(value)

    def _reader(self, fetch: Fetch, number: int) -> ForeignReader:
        known = self._readers.get(number)
        if known is not None:
            return known
        at, why = self._refused.get(number, (0.0, ""))
        if why and time.monotonic() - at < ASK_AGAIN_S:
            raise UnknownSchema(why)
        try:
            reader = _reader_of(number, _looked_up(fetch, number), self._kind)
        except UnknownSchema as error:
            _make_room(self._refused)
            self._refused[number] = (time.monotonic(), str(error))
            raise
        _make_room(self._readers)
        self._readers[number] = reader
        return reader


def _looked_up(fetch: Fetch, number: int) -> dict[str, Any]:
    try:
        return fetch(number)
    except UnknownSchema:
        raise
    except Exception as error:
        raise RegistryAway(f"schema id {number} cannot be looked up: {error}") from error


def _reader_of(number: int, schema: dict[str, Any], kind: RecordKind) -> ForeignReader:
    """Raises UnknownSchema: whatever is wrong with a schema that is there will be wrong with it tomorrow."""
    try:
        return ForeignReader(schema, kind)
    except UnknownSchema:
        raise
    except Exception as error:
        raise UnknownSchema(f"schema id {number} cannot be used: {type(error).__name__}: {error}") from error


def _make_room(kept: dict[int, Any]) -> None:
    while len(kept) >= KEPT_MAX:
        del kept[next(iter(kept))]

"""A request as ClickHouse's HTTP interface takes it apart: who asks, fields, body."""

import email.parser
import email.policy
from base64 import b64decode
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import suppress
from email.message import EmailMessage
from typing import NamedTuple

import msgspec
from starlette.requests import ClientDisconnect, Request

from neural_hive.connectors.clickhouse_connection import EngineError
from neural_hive.connectors.clickhouse_encoding import CODINGS, Decoder
from neural_hive.connectors.clickhouse_lanes import Lane, Lanes
from neural_hive.connectors.reader_rules import check_settings

FORM_BYTES_MAX = 1 << 20
_NOT_SETTINGS = frozenset(
    [
        "query",
        "database",
        "default_format",
        "user",
        "password",
        "quota_key",
        "query_id",
        "session_id",
        "session_timeout",
        "session_check",
        "stacktrace",
        "role",
        "compress",
        "decompress",
        "wait_end_of_query",
        "buffer_size",
        "client_protocol_version",
        "close_session",
        "log_comment",
    ]
)


class Credentials(NamedTuple):
    """Who asks, as he says himself."""

    user: str
    password: str


class Account(msgspec.Struct, frozen=True):
    """Who may ask. Readers pass the gate and have locked settings. `password` is that of the system's own users."""

    lane: Lane
    password: str | None
    reads_only: bool
    settings: Mapping[str, str]
    lanes: Lanes | None = None
    """One lane for each `quota_key`: set for who asks for others."""


class Asked(msgspec.Struct, frozen=True):
    """One request, taken apart. `mark` finds its statement in the engine; the query id is the client's to choose."""

    user: str
    account: Account
    fields: Mapping[str, str]
    query_id: str
    mark: str
    coding: str | None
    get: bool

    @property
    def params(self) -> dict[str, str]:
        """Query parameters, still as text."""
        return {name[6:]: value for name, value in self.fields.items() if name.startswith("param_")}

    @property
    def settings(self) -> dict[str, str]:
        """Settings in the URL. Raises SqlError (164, READONLY) for those that a reader may not choose."""
        asked = {
            name: value
            for name, value in self.fields.items()
            if name not in _NOT_SETTINGS and not name.startswith("param_")
        }
        if self.account.reads_only:
            check_settings(asked, self.account.settings)
        return asked

    @property
    def lane(self) -> Lane:
        """Where the statement waits for its turn."""
        key = self.fields.get("quota_key", "")
        return self.account.lanes.of(key) if key and self.account.lanes else self.account.lane


class RequestBody:
    """A request's body without its Content-Encoding, piece by piece, within a size limit."""

    def __init__(self, request: Request, limit_bytes: int) -> None:
        self._request = request
        self._limit_bytes = limit_bytes
        self._decoder: Decoder | None = None

    async def drain(self) -> None:
        """Takes what is left of the body, within the limit: who still sends does not read the answer."""
        size_bytes = 0
        # Starlette refuses to read a body twice.
        with suppress(RuntimeError, ClientDisconnect):
            async for piece in self._request.stream():
                size_bytes += len(piece)
                if size_bytes > self._limit_bytes:
                    return

    async def pieces(self) -> AsyncIterator[bytes]:
        self._decoder = _decoder(self._request.headers.get("content-encoding", "").lower())
        size_bytes = 0
        async for piece in self._request.stream():
            for plain in self._decode(piece):
                size_bytes += len(plain)
                if size_bytes > self._limit_bytes:
                    raise EngineError.own(
                        307, "TOO_MANY_BYTES", f"The request is larger than {self._limit_bytes} bytes"
                    )
                yield plain
        if self._decoder:
            self._checked(self._decoder.end)

    def _decode(self, piece: bytes) -> Iterator[bytes]:
        if self._decoder is None:
            yield piece
            return
        try:
            yield from self._decoder.feed(piece)
        except ValueError as error:
            raise EngineError.own(117, "INCORRECT_DATA", f"Cannot read the request: {error}") from None

    def _checked(self, end: Callable[[], None]) -> None:
        try:
            end()
        except ValueError as error:
            raise EngineError.own(117, "INCORRECT_DATA", f"Cannot read the request: {error}") from None


def _decoder(coding: str) -> Decoder | None:
    if coding in ("", "identity"):
        return None
    if coding not in CODINGS:
        reason = f"Content-Encoding {coding} is not known here: use {', '.join(CODINGS)}"
        raise EngineError.own(48, "NOT_IMPLEMENTED", reason)
    return Decoder(coding)


def session_timeout_s(fields: Mapping[str, str]) -> float:
    """How long the session of the request may be idle."""
    text = fields.get("session_timeout", "60")
    if not text.isascii() or not text.isdigit() or int(text) > 3600:
        raise EngineError.own(
            374, "INVALID_SESSION_TIMEOUT", f"Invalid session timeout: '{text}' (0 to 3600 s)"
        )
    return float(text)


def credentials(request: Request, fields: Mapping[str, str]) -> Credentials:
    """Who asks: by headers of ClickHouse, basic auth, or the URL, one of them. Raises EngineError (516)."""
    headers = request.headers
    scheme, _, encoded = headers.get("authorization", "").partition(" ")
    own = "x-clickhouse-user" in headers or "x-clickhouse-key" in headers
    if own + bool(scheme) + ("user" in fields or "password" in fields) > 1:
        reason = (
            "Invalid authentication: X-ClickHouse headers, basic auth, user and password in the URL: use one"
        )
        raise EngineError.own(516, "AUTHENTICATION_FAILED", reason)
    if own:
        return Credentials(headers.get("x-clickhouse-user") or "default", headers.get("x-clickhouse-key", ""))
    if not scheme:
        return Credentials(fields.get("user") or "default", fields.get("password", ""))
    if scheme.lower() != "basic":
        reason = f"Invalid authentication: '{scheme[:32]}' HTTP Authorization scheme is not supported"
        raise EngineError.own(516, "AUTHENTICATION_FAILED", reason)
    try:
        user, _, password = b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        raise EngineError.own(
            516, "AUTHENTICATION_FAILED", "Invalid authentication: damaged credentials"
        ) from None
    return Credentials(user or "default", password)


def with_quota_key(request: Request, fields: Mapping[str, str]) -> dict[str, str]:
    """The fields, with the quota key if it came as a header. Raises EngineError (36): it came twice."""
    key = request.headers.get("x-clickhouse-quota", "")
    if key and "quota_key" in fields:
        raise EngineError.own(
            36, "BAD_ARGUMENTS", "The quota key is a header or a field of the URL, not both"
        )
    return {**fields, "quota_key": key} if key else dict(fields)


async def form_fields(body: RequestBody, content_type: str) -> dict[str, str]:
    """Fields of a multipart form: `query`, `param_*`, settings. Files would be external tables."""
    content = bytearray()
    async for piece in body.pieces():
        content += piece
        if len(content) > FORM_BYTES_MAX:
            raise EngineError.own(307, "TOO_MANY_BYTES", f"A form may have {FORM_BYTES_MAX} bytes")
    parser = email.parser.BytesParser(EmailMessage, policy=email.policy.HTTP)
    message = parser.parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + bytes(content))
    fields = {}
    for part in message.iter_parts():
        if part.get_filename():
            raise EngineError.own(
                48, "NOT_IMPLEMENTED", "External tables are not known here: insert into a table first"
            )
        payload = part.get_payload(decode=True)
        name = part.get_param("name", header="content-disposition")
        if isinstance(name, str) and isinstance(payload, bytes):
            fields[name] = payload.decode("utf-8", "surrogateescape")
    return fields

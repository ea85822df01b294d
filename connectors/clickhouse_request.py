"""A request as ClickHouse's HTTP interface takes it apart: who asks, fields, body."""

import email.parser
import email.policy
import secrets
from base64 import b64decode
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import suppress
from email.message import EmailMessage

import msgspec
from starlette.requests import ClientDisconnect, Request

from neural_hive.connectors.clickhouse_connection import EngineError
from neural_hive.connectors.clickhouse_encoding import CODINGS, Decoder
from neural_hive.connectors.clickhouse_lanes import Lane

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
# What a reader may set: how the answer looks, not what it may cost.
_READERS_SETTINGS = (
    "output_format_",
    "format_",
    "date_time_",
    "enable_http_compression",
    "http_",
    "send_progress_in_http_headers",
    "cancel_http_readonly_queries_on_client_close",
    "join_use_nulls",
    "session_timezone",
    "max_result_rows",
    "max_threads",
)


class Account(msgspec.Struct, frozen=True):
    """Who may ask: password None means none is asked. Readers pass the gate and have locked settings."""

    lane: Lane
    password: str | None
    reads_only: bool
    settings: Mapping[str, str]


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
        """Settings in the URL. Raises EngineError (164, READONLY) for those that a reader may not choose."""
        asked = {
            name: value
            for name, value in self.fields.items()
            if name not in _NOT_SETTINGS and not name.startswith("param_")
        }
        if self.account.reads_only:
            refused = next((name for name in asked if not name.startswith(_READERS_SETTINGS)), None)
            if refused:
                raise EngineError.own(164, "READONLY", f"Cannot modify '{refused}' setting in readonly mode")
        return asked


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


def authenticate(
    request: Request, fields: Mapping[str, str], accounts: Mapping[str, Account]
) -> tuple[str, Account]:
    """The user and his account. Raises EngineError (516, AUTHENTICATION_FAILED)."""
    user, password = _credentials(request, fields)
    account = accounts.get(user)
    expected = account.password if account else secrets.token_hex()
    if account is None or (
        expected is not None and not secrets.compare_digest(password.encode(), expected.encode())
    ):
        reason = f"{user}: Authentication failed: password is incorrect, or there is no user with such name"
        raise EngineError.own(516, "AUTHENTICATION_FAILED", reason)
    return user, account


def session_timeout_s(fields: Mapping[str, str]) -> float:
    """How long the session of the request may be idle."""
    text = fields.get("session_timeout", "60")
    if not text.isascii() or not text.isdigit() or int(text) > 3600:
        raise EngineError.own(
            374, "INVALID_SESSION_TIMEOUT", f"Invalid session timeout: '{text}' (0 to 3600 s)"
        )
    return float(text)


def _credentials(request: Request, fields: Mapping[str, str]) -> tuple[str, str]:
    headers = request.headers
    if "x-clickhouse-user" in headers or "x-clickhouse-key" in headers:
        return headers.get("x-clickhouse-user", "default"), headers.get("x-clickhouse-key", "")
    scheme, _, encoded = headers.get("authorization", "").partition(" ")
    if not scheme:
        return fields.get("user", "default"), fields.get("password", "")
    if scheme.lower() != "basic":
        reason = f"Invalid authentication: '{scheme}' HTTP Authorization scheme is not supported"
        raise EngineError.own(516, "AUTHENTICATION_FAILED", reason)
    try:
        user, _, password = b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        raise EngineError.own(
            516, "AUTHENTICATION_FAILED", "Invalid authentication: damaged credentials"
        ) from None
    return user, password


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

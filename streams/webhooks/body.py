"""What a webhook tells: an event as the log has it, as JSON."""

import base64
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from neural_hive.connectors.record import Record
from neural_hive.schemas.codec import decode
from neural_hive.schemas.envelope import Envelope

CUT: Final = "the event has more bytes than a webhook may have: ask for it by its id"


class NoEvent(Exception):
    """There is nothing to tell: what stands in the log cannot be read; the text says why."""


class Told(msgspec.Struct, frozen=True):
    """A webhook's body, and the trace that it belongs to."""

    body: bytes
    traceparent: str


def told(record: Record, bytes_max: int) -> Told:
    """The body that tells an event; without its content, if it would be larger. Raises NoEvent."""
    try:
        decoded = decode(record.value or b"", "event")
    except (ValueError, LookupError) as error:
        raise NoEvent(f"{record.topic}:{record.partition}:{record.offset}: {error}") from error
    head = decoded.head
    assert isinstance(head, Envelope)
    at = datetime.fromtimestamp(head.occurred_at / 1_000_000, UTC)
    said: dict[str, Any] = {
        "type": head.event_type,
        "timestamp": at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "data": decoded.payload,
        "event_id": head.event_id,
        "aggregate": {"type": head.aggregate_type, "id": head.aggregate_id, "version": head.version},
        "correlation_id": head.correlation_id,
        "causation_id": head.causation_id,
        "trace_id": head.trace_id,
    }
    body = msgspec.json.encode(said, enc_hook=_text_of)
    if len(body) > bytes_max:
        ids = {name: value for name, value in decoded.payload.items() if name.endswith("_id")}
        body = msgspec.json.encode({**said, "data": ids, "cut": CUT}, enc_hook=_text_of)
    return Told(body, f"00-{head.trace_id}-{head.span_id}-01")


def _text_of(value: Any) -> Any:
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    raise NotImplementedError(f"nothing that Avro gives: {type(value).__name__}")

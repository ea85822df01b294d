"""What every event and every message carries beside its payload.

An *event* is what happened: written by the one processor that owns its aggregate, never changed.
A *message* is what somebody wants or reports (a plan, a command, a result): anyone with the right may publish it.
"""

import msgspec

NAMESPACE = "neural_hive"
HASH_BYTES = 32
NO_HASH = bytes(HASH_BYTES)  # prev_hash of an aggregate's first event


class Envelope(msgspec.Struct, frozen=True):
    """Who, what, when and why of one event.

    The first five fields are the same for all events of one type and writer: they lead, so that an encoder
    can keep them as ready bytes.
    """

    event_type: str  # name of the event's record, e.g. TicketCompleted
    aggregate_type: str  # e.g. ticket
    schema_version: int  # 1, 2, 3 … of this event type's schema
    logic_version: str  # hash of the modules that decided it
    producer: str  # the processor that wrote it
    event_id: str  # UUIDv5 of (message_id, aggregate_id, index): a repeat has the same id
    aggregate_id: str
    version: int  # 1, 2, 3 … within the aggregate, without gap
    occurred_at: int  # event time, µs since 1970 UTC
    correlation_id: str  # the workflow or request that all of it belongs to
    causation_id: str  # message_id or event_id that caused it
    trace_id: str  # W3C trace context, 32 hex digits
    span_id: str  # 16 hex digits
    sequence: int  # 1, 2, 3 … within the writer's partition, over all its event topics, without gap
    source_topic: str  # where the cause was read
    source_partition: int
    source_offset: int
    prev_hash: bytes  # SHA-256 of the aggregate's previous event (its whole value), zeros for the first


class Header(msgspec.Struct, frozen=True):
    """Who, what, when and why of one message."""

    message_id: str  # a repeat of the same message has the same id
    message_type: str  # name of the message's record, e.g. ReportResult
    occurred_at: int  # when it happened at the sender, µs since 1970 UTC
    routing_id: str  # decides the partition: the workflow's id for all of Flow C
    correlation_id: str
    causation_id: str  # message_id or event_id that caused it, "" if nothing did
    trace_id: str  # W3C trace context, 32 hex digits
    span_id: str  # 16 hex digits
    producer: str


def _record(name: str, doc: str, fields: list[dict[str, object]]) -> dict[str, object]:
    return {"type": "record", "name": name, "namespace": NAMESPACE, "doc": doc, "fields": fields}


def _field(name: str) -> dict[str, object]:
    if name.endswith("_at"):
        return {"name": name, "type": {"type": "long", "logicalType": "timestamp-micros"}}
    if name in ("schema_version", "source_partition"):
        return {"name": name, "type": "int"}
    if name in ("version", "sequence", "source_offset"):
        return {"name": name, "type": "long"}
    if name == "prev_hash":
        return {"name": name, "type": "bytes"}
    return {"name": name, "type": "string"}


ENVELOPE_SCHEMA = _record(
    "EventEnvelope", "Who, what, when and why of one event.", [_field(n) for n in Envelope.__struct_fields__]
)
HEADER_SCHEMA = _record(
    "MessageHeader", "Who, what, when and why of one message.", [_field(n) for n in Header.__struct_fields__]
)

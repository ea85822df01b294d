"""From a record to its handler: decode, check the route, find the handler; and what becomes of what fails."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from neural_hive.aggregates.identity import derived_id
from neural_hive.schemas.catalogue import UnknownSchema
from neural_hive.schemas.codec import BadRecord, Decoded, decode, encode_message
from neural_hive.schemas.envelope import Envelope, Header
from neural_hive.schemas.personal import PlainPersonalData, check_encrypted
from neural_hive.schemas.topics import MESSAGE_BYTES_MAX, partition_of
from neural_hive.streams.kernel.fold import Route
from neural_hive.streams.kernel.state import Timer
from neural_hive.streams.kernel.system import Addressed, Happened, System
from neural_hive.streams.kernel.unit import ORIGIN_HEADER, Cause, Output, cause_digest

DEAD_LETTERS = "dead.letters"
KEPT_HERE = " (kept here: "  # how a dead letter's reason begins to say what is cut
ID_CHARACTERS_MAX = 200
REASON_CHARACTERS_MAX = 2_000
KEY_BYTES_MAX = 64 * 1024  # of a dead letter, and what its headers may take: its topic has room for no more
HEADERS_MAX = 1_000
FORWARDED_HEADERS_BYTES_MAX = 32 * 1024  # a topic's limit leaves 64 KB around the largest value
_UNTOLD = ". What the record holds is not repeated here"
_TRACE_DIGITS = 32
_LAST_US = 253_402_300_799_000_000  # of the year 9999
_HEX_DIGITS = frozenset("0123456789abcdef")
_cached_partition_of = lru_cache(maxsize=100_000)(partition_of)


class Mail(msgspec.Struct, frozen=True):
    """A record that is understood: who handles it, and what its events will carry."""

    cause: Cause
    message: Any
    handler: Callable[[Any, Any], None]


class Misrouted(Exception):
    """The record belongs to another partition: it is forwarded once, never processed in place."""

    def __init__(self, topic: str, routing_id: str) -> None:
        self.topic, self.routing_id = topic, routing_id
        super().__init__(f"routing id {routing_id} belongs to another partition")


def open_mail(
    system: System,
    read: Callable[[bytes], Decoded],
    record: Any,
    partition: int,
    partitions_of: dict[str, int],
) -> Mail:
    """The record's message, with its handler.

    Raises BadRecord, UnknownSchema: it cannot be read; PlainPersonalData: it must not be; Misrouted: it belongs to
    another partition; RegistryAway.
    """
    if refused := getattr(record, "refused", ""):  # only what came by a fetch has it
        raise BadRecord(refused)
    source = system.inputs.get(record.topic)
    if source is not None and source.raw is not None:
        return _open_raw(record, source.raw)
    if source is not None and source.events is not None:
        return _open_event(record, source.events)
    decoded = read(record.value or b"")
    header = decoded.head
    assert isinstance(header, Header)
    check_header(header)
    check_encrypted(decoded.schema.name, decoded.payload)
    if source is not None and source.addressed is not None:
        return Mail(_cause(record, header), Addressed(record, header.routing_id), source.addressed)
    _check_route(system, record, header.routing_id, partition, partitions_of)
    known = system.handler_of(record.topic, header.message_type)
    if known is None:
        raise BadRecord(f"{system.name} does not take {header.message_type} on {record.topic}")
    try:
        message = msgspec.convert(decoded.payload, known.message)
    except msgspec.ValidationError as error:
        raise BadRecord(f"{header.message_type}: {error}") from error
    if (route_id := getattr(message, known.route)) != header.routing_id:
        raise BadRecord(
            f"the routing id must be the {known.route} of {header.message_type}, {route_id[:ID_CHARACTERS_MAX]!r}, "
            f"and is {header.routing_id!r}"
        )
    return Mail(_cause(record, header), message, known.handle)


def _cause(record: Any, header: Header) -> Cause:
    digest = cause_digest(header.message_id)
    trace_id = header.trace_id if _is_trace(header.trace_id) else digest.hex()
    return Cause(
        header.message_id,
        digest,
        Route(header.routing_id, header.correlation_id or header.routing_id, trace_id),
        record.timestamp * 1000,
        record.topic,
        record.partition,
        record.offset,
        header.occurred_at,
        header.span_id if trace_id is header.trace_id else "",
    )


def _open_raw(record: Any, handler: Callable[[Any, Any], None]) -> Mail:
    """A foreign record: its place is its id, its key the route."""
    message_id = f"{record.topic}:{record.partition}:{record.offset}"
    routing_id = (record.key or b"").decode(errors="replace")
    digest = cause_digest(message_id)
    route = Route(routing_id, routing_id, digest.hex())
    cause = Cause(
        message_id, digest, route, record.timestamp * 1000, record.topic, record.partition, record.offset
    )
    return Mail(cause, record, handler)


def _open_event(record: Any, handler: Callable[[Any, Any], None]) -> Mail:
    """An event of another system: it is the cause, and its key the route."""
    decoded = decode(record.value or b"", "event")
    head, routing_id = decoded.head, (record.key or b"").decode(errors="replace")
    assert isinstance(head, Envelope)
    cause = Cause(
        head.event_id,
        cause_digest(head.event_id),
        Route(routing_id, head.correlation_id, head.trace_id),
        record.timestamp * 1000,
        record.topic,
        record.partition,
        record.offset,
        head.occurred_at,
        head.span_id,
    )
    return Mail(cause, Happened(record, routing_id, head, decoded.payload), handler)


def check_header(header: Header) -> None:
    """Raises BadRecord: ids that could not be kept."""
    for name in ("message_id", "routing_id"):
        value = getattr(header, name)
        if not value or len(value) > ID_CHARACTERS_MAX:
            raise BadRecord(f"{name} must have 1 to {ID_CHARACTERS_MAX} characters, found {len(value)}")
    if len(header.correlation_id) > ID_CHARACTERS_MAX:
        raise BadRecord(f"correlation_id must have at most {ID_CHARACTERS_MAX} characters")


def _check_route(
    system: System, record: Any, routing_id: str, partition: int, partitions_of: dict[str, int]
) -> None:
    right = _cached_partition_of(routing_id.encode(), partitions_of[record.topic])
    if right == partition:
        return
    if any(name == ORIGIN_HEADER for name, _ in record.headers):
        raise BadRecord(
            f"routing id {routing_id} belongs to partition {right}, and the record was forwarded once already"
        )
    if system.repartition is None or record.topic == system.repartition:
        raise BadRecord(
            f"routing id {routing_id} belongs to partition {right}, not {partition}: partition by murmur2 of it"
        )
    check_forwarding(record)
    raise Misrouted(system.repartition, routing_id)


def check_forwarding(record: Any) -> None:
    """Raises BadRecord: the topic that a record is forwarded to has no room for its headers."""
    headers_bytes = sum(len(name.encode()) + len(value or b"") for name, value in record.headers)
    if headers_bytes > FORWARDED_HEADERS_BYTES_MAX:
        raise BadRecord(
            f"it came to the wrong partition and cannot be forwarded: its headers take {headers_bytes:,} bytes, more "
            f"than {FORWARDED_HEADERS_BYTES_MAX:,}"
        )


def dead_letter(
    record: Any, error: Exception, processor: str, partitions_of: dict[str, int], mail: Mail | None
) -> Output:
    """The record with its bytes, its place and the reason, for people to look at and to send again.

    A record may be larger than any topic allows, for the broker weighs it as it was compressed: then it is cut, and
    the reason says so. One with personal data in the clear is not repeated at all: dead letters stay for ever. It must
    never fail, or the record could not be passed.
    """
    place = f"{record.topic}:{record.partition}:{record.offset}"
    message_id = derived_id(place, processor, "dead-letter")
    is_told = not isinstance(error, PlainPersonalData)
    key, headers, cut = (
        _kept(record) if is_told else (record.key[:KEY_BYTES_MAX] if record.key else None, [], _UNTOLD)
    )
    routing_id = mail.cause.route.routing_id if mail else (key or b"").decode(errors="replace")
    header = Header(
        message_id=message_id,
        message_type="DeadLetter",
        occurred_at=record.timestamp * 1000,
        routing_id=routing_id[:ID_CHARACTERS_MAX],
        correlation_id=mail.cause.route.correlation_id[:ID_CHARACTERS_MAX] if mail else "",
        causation_id=mail.cause.message_id if mail else "",
        trace_id=mail.cause.route.trace_id if mail else cause_digest(message_id).hex(),
        span_id=message_id.replace("-", "")[:16],
        producer=processor,
    )
    payload = {
        "source_topic": record.topic,
        "source_partition": record.partition,
        "source_offset": record.offset,
        "source_timestamp_ms": record.timestamp,
        "key": key,
        "value": (record.value or b"")[:MESSAGE_BYTES_MAX] if is_told else b"",
        "headers": headers,
        "reason": _reason(error) + cut,
        "error_type": type(error).__name__,
        "processor": processor,
        "aggregate_id": "",
        "is_cut": bool(cut),
    }
    partition = record.partition % partitions_of[DEAD_LETTERS]
    return Output(DEAD_LETTERS, partition, key or b"", encode_message(header, payload), [], None)


def timer_letter(
    timer: Timer, cause: Cause, error: Exception, processor: str, partitions_of: dict[str, int]
) -> Output:
    """What tells of a timer whose handler failed. There is no record: the reason says which timer, and the time is
    when it was due. Its id is the same whenever the same timer of the same state fails again.
    """
    message_id = derived_id(cause.message_id, processor, "dead-letter")
    route, key = cause.route, cause.route.routing_id.encode()
    header = Header(
        message_id=message_id,
        message_type="DeadLetter",
        occurred_at=timer.due,
        routing_id=route.routing_id,
        correlation_id=route.correlation_id,
        causation_id=cause.message_id,
        trace_id=route.trace_id,
        span_id=message_id.replace("-", "")[:16],
        producer=processor,
    )
    what = f"timer {timer.name} of {timer.aggregate} {timer.aggregate_id}, due {_written(timer.due)}"
    payload = {
        "source_topic": "",
        "source_partition": cause.partition,
        "source_offset": 0,
        "source_timestamp_ms": timer.due // 1_000,
        "key": key,
        "value": b"",
        "headers": [],
        "reason": f"{what}: {_reason(error)}",
        "error_type": type(error).__name__,
        "processor": processor,
        "aggregate_id": timer.aggregate_id,
    }
    partition = cause.partition % partitions_of[DEAD_LETTERS]
    return Output(DEAD_LETTERS, partition, key, encode_message(header, payload), [], None)


def _written(us: int) -> str:
    return datetime.fromtimestamp(min(max(us, 0), _LAST_US) / 1e6, UTC).isoformat(timespec="milliseconds")


def _reason(error: Exception) -> str:
    return str(error)[:REASON_CHARACTERS_MAX].encode(errors="replace").decode()


def _kept(record: Any) -> tuple[bytes | None, list[dict[str, Any]], str]:
    """What a dead letter has room for: the key, the headers, and words about what is cut, if anything is."""
    cuts: list[str] = []
    headers: list[dict[str, Any]] = []
    key, room = record.key, KEY_BYTES_MAX
    if len(key or b"") > KEY_BYTES_MAX:
        cuts.append(f"of {len(key):,} bytes of key {KEY_BYTES_MAX:,}")
        key = key[:KEY_BYTES_MAX]
    for name, value in record.headers:
        room -= len(name.encode()) + len(value or b"")
        if room < 0 or len(headers) == HEADERS_MAX:
            break
        headers.append({"name": name, "value": value or b""})
    if len(headers) < len(record.headers):
        cuts.append(f"of {len(record.headers):,} headers {len(headers):,}")
    if len(record.value or b"") > MESSAGE_BYTES_MAX:
        cuts.append(f"of {len(record.value):,} bytes {MESSAGE_BYTES_MAX:,}")
    return key, headers, f"{KEPT_HERE}{', '.join(cuts)})" if cuts else ""


def _is_trace(trace_id: str) -> bool:
    return len(trace_id) == _TRACE_DIGITS and _HEX_DIGITS.issuperset(trace_id)


__all__ = ["BadRecord", "Mail", "Misrouted", "UnknownSchema", "dead_letter", "open_mail", "timer_letter"]

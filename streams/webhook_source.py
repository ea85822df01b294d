"""What a webhook tells: the event as the log has it, read at its place, as JSON."""

import base64
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from neural_hive.connectors.kafka_log import CommittedLog, Config, LostLog, Record
from neural_hive.schemas.codec import decode
from neural_hive.schemas.envelope import Envelope

AHEAD: Final = 500  # records that are read with one: deliveries follow in about the log's order
KEPT_BYTES_MAX: Final = 32 * 1024 * 1024
CUT: Final = "the event has more bytes than a webhook may have: ask for it by its id"


class NoEvent(Exception):
    """There is nothing to tell: the event is gone from the log, or cannot be read; the text says why."""


class Source:
    """Events by their places; for one thread."""

    def __init__(self, config: Config, stall_s: float = 30.0) -> None:
        self._config, self._stall_s = config, stall_s
        self._kept: OrderedDict[tuple[str, int, int], Record] = OrderedDict()
        self._kept_bytes = 0

    def record(self, topic: str, partition: int, offset: int) -> Record:
        """One record. Raises NoEvent; UnreadableLog, StalledLog: it can be read later."""
        place = (topic, partition, offset)
        if place not in self._kept:
            try:
                self._read(topic, partition, offset)
            except LostLog as error:
                raise NoEvent(str(error)) from error
        found = self._kept.get(place)
        if found is None:
            raise NoEvent(f"there is no committed record at {topic}:{partition}:{offset}")
        return found

    def _read(self, topic: str, partition: int, offset: int) -> None:
        log = CommittedLog(self._config, topic, partition, offset, None, self._stall_s)
        for count, record in enumerate(log):
            self._keep(record)
            if count + 1 >= AHEAD or record.offset >= offset + AHEAD:
                return

    def _keep(self, record: Record) -> None:
        place = (record.topic, record.partition, record.offset)
        if place not in self._kept:
            self._kept_bytes += len(record.value or b"")
        self._kept[place] = record
        while self._kept_bytes > KEPT_BYTES_MAX and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._kept_bytes -= len(oldest.value or b"")


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

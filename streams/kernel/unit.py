"""The work on one batch: handlers decide, events are made and folded, and all of it waits for one transaction."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b, sha256
from typing import Any, Protocol, TypeVar

import msgspec

from neural_hive.aggregates.aggregate import Aggregate, Command, Event, event_of
from neural_hive.aggregates.identity import derived_id
from neural_hive.connectors.record import Record
from neural_hive.schemas.codec import (
    EventEncoder,
    HeldBack,
    avro_bytes,
    decode,
    encode_message,
    event_context,
    event_source,
)
from neural_hive.schemas.envelope import NO_HASH, Header
from neural_hive.schemas.personal import check_encrypted
from neural_hive.schemas.topics import partition_of
from neural_hive.schemas.varint import avro_long
from neural_hive.streams.kernel.fold import Fold, Route
from neural_hive.streams.kernel.state import CAUSE_BYTES, Row, counter_key, row_key
from neural_hive.streams.kernel.sums import Sum, Sums
from neural_hive.streams.kernel.system import Measured, Observed, RecordPlace

S = TypeVar("S")
EVENT_TYPE_HEADER = "event_type"
_NO_CAUSE = blake2b(digest_size=CAUSE_BYTES)
ORIGIN_HEADER = "origin"  # topic:partition:offset of a forwarded record

_partition_of = lru_cache(maxsize=20_000)(partition_of)  # of who is sent to again and again

LookUp = Callable[[str, int, int], Record | None]  # of a topic, a partition, an offset; raises RecordAway


class RecordAway(RuntimeError):
    """A record that a decision is made from cannot be read for now: that is not the deciding record's fault."""


def looks_nowhere(topic: str, partition: int, offset: int) -> Record | None:
    """See LookUp, for who has no log to look into. Raises RecordAway."""
    raise RecordAway(f"there is no log here to find {topic}:{partition}:{offset} in")


class Output(msgspec.Struct, frozen=True, gc=False):
    """One record to be produced in the batch's transaction."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]
    hash: bytes | None  # of an event, for the position; None for what carries no sequence


class Cause(msgspec.Struct, frozen=True, gc=False):
    """The record or timer that is being handled."""

    message_id: str
    digest: bytes  # see cause_digest
    route: Route
    now: int  # append time of the record, due time of the timer, µs
    topic: str  # "" for a timer
    partition: int
    offset: int
    sent_at: int = 0  # µs, as the record's sender says; 0 for a timer
    span_id: str = (
        ""  # of the message, as its sender says; of a timer, of its trace's beginning; empty: it has none
    )


class Traces(Protocol):
    """Who notes what belongs to which trace."""

    def begin(self, cause: Cause, outputs: int) -> None:
        """A cause is about to be handled, with so many outputs before its own."""
        ...

    def sum_up(self, outputs: int) -> None:
        """All causes are handled: what is put out behind so many outputs are sums, and belongs to no single one."""
        ...

    def committed(self, outputs: list[Output]) -> None:
        """All outputs are in the log."""
        ...


def cause_digest(message_id: str) -> bytes:
    """What an aggregate remembers of a message, to know it again."""
    digest = _NO_CAUSE.copy()  # to set one up costs more than to copy it
    digest.update(message_id.encode())
    return digest.digest()


class Work:
    """Implements `Unit` for one record after the other, and collects what their transaction will hold."""

    def __init__(
        self,
        fold: Fold,
        partition: int,
        encoders: dict[str, EventEncoder],
        views: Mapping[str, Any],
        partitions_of: dict[str, int],
        producer: str,
        sequence: int,
        observing: bool = False,
        look_up: LookUp = looks_nowhere,
        trace: Traces | None = None,
    ) -> None:
        self.fold, self.trace = fold, trace
        self.memory = fold.memory
        self.partition = partition
        self.sequence = sequence
        self.outputs: list[Output] = []
        self._output_bytes = 0  # of records that were refused later too
        self._loaded_before_bytes = fold.loaded_bytes
        self.records = 0
        self.repeats = 0
        self.letters = 0
        self.events = 0
        self.observed: list[Observed] = []
        self.measured: list[Measured] = []
        self._observing = observing
        self._last_at, self._last_at_avro = 0, avro_long(0)  # many events have one time
        self._encoders = encoders
        self._views = views
        self._partitions_of = partitions_of
        self._producer = producer
        self._look_up = look_up
        self._repeated: dict[bytes, bool] = {}  # aggregates touched by this cause: had they seen it before?
        self._indexes: dict[str, int] = {}  # events of this cause so far, by aggregate id
        self._sent: dict[str, int] = {}
        self._sums = Sums()
        self._begun: Cause | None = None

    def begin(self, cause: Cause) -> None:
        """Starts one record: what was done before it stands."""
        self.fold.keep()
        self._sums.keep(self._begun)
        self._begun = cause
        self._mark = (len(self.outputs), self.sequence, self.events, len(self.observed), len(self.measured))
        if self.trace is not None:
            self.trace.begin(cause, len(self.outputs))
        self._digest = cause.digest
        self._own = cause.route
        self._trace = self._own.trace_id.encode()
        self._speak_of(cause)
        self._repeated.clear()
        self._indexes.clear()
        self._sent.clear()
        self.now, self.sent_at = cause.now, cause.sent_at
        self.message_id = cause.message_id

    def _speak_of(self, cause: Cause) -> None:
        self._cause = cause
        self._context = b""  # most records of some systems lead to no event

    def refuse(self) -> None:
        """Takes back all that the record did."""
        self.fold.undo()
        self._sums.take_back()
        outputs, self.sequence, self.events, observed, measured = self._mark
        del self.outputs[outputs:], self.observed[observed:], self.measured[measured:]

    def refuse_with(self, letter: Output) -> None:
        """Adds the dead letter of what was refused."""
        self._put(letter)
        self.letters += 1

    def _put(self, output: Output) -> None:
        self.outputs.append(output)
        self._output_bytes += len(output.key or b"") + len(output.value or b"")

    @property
    def place(self) -> RecordPlace:
        """See Unit.place."""
        return RecordPlace(self._cause.topic, self._cause.partition, self._cause.offset)

    @property
    def held_bytes(self) -> int:
        """About what waits in memory for the transaction's end: what is written, and the rows that were loaded."""
        return self._output_bytes + self.fold.loaded_bytes - self._loaded_before_bytes

    @property
    def held_outputs(self) -> int:
        """How many records the transaction will have, at least."""
        return len(self.outputs) + len(self._sums)

    def load(self, aggregate: Aggregate[S], aggregate_id: str) -> S | None:
        """See Unit.load."""
        row = self.fold.row(aggregate, row_key(aggregate.name, aggregate_id))
        return row.state if row is not None else None

    def count(self, key: str) -> int:
        """See Unit.count."""
        return self.fold.count(counter_key(key))

    def first(self, queue: str, count: int = 1, start: str = "") -> list[str]:
        """See Unit.first."""
        return self.fold.first(queue, count, start)

    def turn_to(self, routing_id: str) -> None:
        """See Unit.turn_to. Another one's events are correlated by its own id; the trace stays the cause's."""
        if routing_id == self._cause.route.routing_id:
            return
        own = self._own
        route = own if routing_id == own.routing_id else Route(routing_id, routing_id, own.trace_id)
        self._speak_of(msgspec.structs.replace(self._cause, route=route))

    def measure(self, name: str, subject: str, seconds: float) -> None:
        """See Unit.measure."""
        if self._observing:
            self.measured.append(Measured(name, subject, seconds))

    def view(self, name: str) -> Any:
        """See Unit.view."""
        return self._views[name]

    def execute(self, aggregate: Aggregate[Any], aggregate_id: str, command: Command) -> list[Event]:
        """See Unit.execute."""
        key = row_key(aggregate.name, aggregate_id)
        row = self.fold.row(aggregate, key)
        repeated = self._repeated.get(key)
        if repeated is None:
            repeated = self._repeated[key] = row is not None and self._digest in row.recent
            self.repeats += repeated
        if repeated:
            return []
        events: list[Event] = aggregate.decide(row.state if row is not None else None, command)
        for event in events:
            row = self._append(aggregate, aggregate_id, key, row, event)
        return events

    def _append(
        self, aggregate: Aggregate[Any], aggregate_id: str, key: bytes, row: Row[Any] | None, event: Event
    ) -> Row[Any]:
        version, last_at, prev_hash = (
            (row.version + 1, row.occurred_at, row.hash) if row is not None else (1, 0, NO_HASH)
        )
        cause, index = self._cause, self._indexes.get(aggregate_id, 0)
        self._indexes[aggregate_id] = index + 1
        event_type = type(event).__name__
        event_id = derived_id(cause.message_id, aggregate_id, str(index)).encode()
        span_id = event_id[:8] + event_id[9:13] + event_id[14:18]
        occurred_at = max(last_at, cause.now)
        if occurred_at != self._last_at:
            self._last_at, self._last_at_avro = occurred_at, avro_long(occurred_at)
        if not self._context:
            self._prepare(cause)
        encoder = self._encoders.get(event_type)
        if encoder is None:
            raise HeldBack(f"{event_type} is not written yet")
        payload = msgspec.to_builtins(event, builtin_types=(bytes,))
        check_encrypted(event_type, payload, wanders=True)
        self.sequence += 1
        value = encoder.encode(
            event_id,
            avro_bytes(aggregate_id.encode()),
            version,
            self._last_at_avro,
            self._context,
            span_id,
            self.sequence,
            self._source,
            prev_hash,
            payload,
        )
        if encoder.is_older:  # the state is the fold of what is written
            event = event_of(aggregate, event_type, decode(value, "event").payload)
        digest = sha256(value).digest()
        headers = self._headers(encoder.name, span_id)
        self._put(Output(aggregate.topic, self.partition, self._key, value, headers, digest))
        self.events += 1
        changed = self.fold.apply(
            aggregate, aggregate_id, key, row, event, version, occurred_at, digest, self._digest, cause.route
        )
        if self._observing:
            before = row.state if row is not None else None
            self.observed.append(
                Observed(aggregate.name, aggregate_id, event, before, changed.state, cause.now)
            )
        return changed

    def _prepare(self, cause: Cause) -> None:
        """What all events of a cause share."""
        route = cause.route
        self._context = event_context(route.correlation_id, cause.message_id, route.trace_id)
        self._key = route.routing_id.encode()
        self._source = event_source(cause.topic, cause.partition) + avro_long(cause.offset)

    def record(self, topic: str, partition: int, offset: int) -> Record | None:
        """See Unit.record."""
        found = self._look_up(topic, partition, offset)
        return None if found is None or found.timestamp_ms * 1_000 > self.now else found

    def put_back(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes,
        headers: Sequence[tuple[str, bytes]],
    ) -> None:
        """See Unit.put_back."""
        count = self._partitions_of[topic]
        if not 0 <= partition < count:  # nobody would ever take it, and the transaction never end
            raise LookupError(f"{topic} has no partition {partition}, but {count}")
        self._put(Output(topic, partition, key, value, list(headers), None))
        self._output_bytes += sum(len(name) + len(content) for name, content in headers)

    def forward(self, topic: str, record: Any, routing_id: str) -> None:
        """See Unit.forward. Its message id stays the same, and a header says where it came from."""
        place = f"{record.topic}:{record.partition}:{record.offset}"
        headers = [*record.headers, (ORIGIN_HEADER, place.encode())]
        key = routing_id.encode()
        partition = partition_of(key, self._partitions_of[topic])
        self._put(Output(topic, partition, key, record.value, headers, None))
        self._output_bytes += sum(len(value or b"") for _, value in headers)

    def _headers(self, record_type: bytes, span_id: bytes) -> list[tuple[str, bytes]]:
        traceparent = b"00-%b-%b-01" % (self._trace, span_id)
        return [("traceparent", traceparent), (EVENT_TYPE_HEADER, record_type)]

    def send(self, topic: str, message_type: str, routing_id: str, payload: dict[str, Any]) -> None:
        """See Unit.send."""
        index = self._sent.get(topic, 0)
        self._sent[topic] = index + 1
        message_id = derived_id(self._cause.message_id, topic, str(index))
        self._send(self._cause, message_id, topic, message_type, routing_id, payload)

    def sum_up(self, kind: Sum, key: tuple[Any, ...], more: Any) -> None:
        """See Unit.sum_up."""
        self._sums.put(kind, key, more)

    def tell_sums(self) -> None:
        """Adds the messages of all sums. Call it when no record follows in this transaction.

        Each is caused by the record that was added last: no other sum of its key has that one.
        """
        self._sums.keep(self._begun)
        if not self._sums:
            return
        if self.trace is not None:
            self.trace.sum_up(len(self.outputs))
        for told in self._sums.told():
            kind, key, cause = told.kind, told.key, told.cause
            message_id = derived_id(cause.message_id, kind.topic, kind.message_type, *map(str, key))
            trace_id = message_id.replace("-", "")  # its own: it is about events of many traces
            self._trace = trace_id.encode()
            payload = kind.payload(key, told.total)
            route = msgspec.structs.replace(cause.route, trace_id=trace_id)
            cause = msgspec.structs.replace(cause, route=route)
            self._send(cause, message_id, kind.topic, kind.message_type, kind.route(key), payload)

    def _send(
        self,
        cause: Cause,
        message_id: str,
        topic: str,
        message_type: str,
        routing_id: str,
        payload: dict[str, Any],
    ) -> None:
        span_id = message_id[:8] + message_id[9:13] + message_id[14:18]
        header = Header(
            message_id,
            message_type,
            cause.now,
            routing_id,
            cause.route.correlation_id,
            cause.message_id,
            cause.route.trace_id,
            span_id,
            self._producer,
        )
        key = routing_id.encode()
        partition = _partition_of(key, self._partitions_of[topic])
        value = encode_message(header, payload)
        self._put(
            Output(topic, partition, key, value, self._headers(message_type.encode(), span_id.encode()), None)
        )

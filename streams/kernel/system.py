"""What a system says of itself: its inputs, its aggregates, and a handler for each kind of message.

orchestrator = System("orchestrator", aggregates=(WORKFLOW, TICKET), decides=(__name__,))

@orchestrator.on("execution.results", ReportResult)
def record_result(unit: Unit, report: ReportResult) -> None:
    unit.execute(TICKET, report.ticket_id, RecordResult(...))
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from neural_hive.aggregates.aggregate import Aggregate, Command, Event
from neural_hive.aggregates.partition import partition_aggregate
from neural_hive.connectors.record import Record
from neural_hive.schemas.envelope import Envelope
from neural_hive.streams.kernel.broadcast import View
from neural_hive.streams.kernel.sums import Sum

S = TypeVar("S")
M = TypeVar("M")


class RecordPlace(msgspec.Struct, frozen=True, gc=False):
    """Where a record stands; the topic is empty if there is none."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}:{self.partition}:{self.offset}"


class Unit(Protocol):
    """What a handler may do with one message: all of it takes effect in one transaction, or none."""

    now: int
    """Append time of the record (of a timer: its due time), µs. The only clock of a handler."""

    message_id: str

    sent_at: int
    """When the sender says that it sent the message, µs; 0 for a timer. To be measured, never to decide by."""

    memory: dict[str, Any]
    """What handlers have found out about this state and need not look up again; empty whenever a transaction may not
    have come about. It may save work and must change no decision: keep only what no refusal of a record takes back.
    """

    @property
    def place(self) -> RecordPlace:
        """Where the message stands; of a timer: nowhere."""
        ...

    def load(self, aggregate: Aggregate[S], aggregate_id: str) -> S | None:
        """The aggregate's state, with all that this batch has changed already."""
        ...

    def execute(self, aggregate: Aggregate[Any], aggregate_id: str, command: Command) -> list[Event]:
        """Decide, and append the events that follow.

        A message that this aggregate has seen before yields nothing. Raises Rejected: see `decide`.
        """
        ...

    def count(self, key: str) -> int:
        """The value of a counter that events move (see Aggregate.counters); 0 if it was never moved."""
        ...

    def first(self, queue: str, count: int = 1, start: str = "") -> list[str]:
        """The ids of the first aggregates that stand in a queue (see Aggregate.queues), at places from `start` on;
        fewer, if there are no more.
        """
        ...

    def measure(self, name: str, subject: str, seconds: float) -> None:
        """Tells the system's observers how long something took, once the transaction is committed."""
        ...

    def turn_to(self, routing_id: str) -> None:
        """What follows is about another one's aggregates: events carry this routing id, not the message's.

        It must belong to the partition, as all whose aggregates can be loaded do.
        """
        ...

    def view(self, name: str) -> Any:
        """The Snapshot of a broadcast view as it stood when the transaction began."""
        ...

    def record(self, topic: str, partition: int, offset: int) -> Record | None:
        """The record at a place of one of the topics that the system looks into (see System.looks_into); None: there
        was none yet when this one was appended. So who decides again later finds the same.

        Raises RecordAway: it cannot be read for now, and the handler is called again later; let it pass.
        """
        ...

    def put_back(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes,
        headers: Sequence[tuple[str, bytes]],
    ) -> None:
        """A record that this system did not make, byte for byte, to the end of a partition, in the same transaction.

        It must be one that the topic takes: what is too large for it would stop this partition. Raises LookupError:
        the topic has no such partition.
        """
        ...

    def forward(self, topic: str, record: Any, routing_id: str) -> None:
        """The record as it is, to the partition of another topic that its routing id belongs to."""
        ...

    def send(self, topic: str, message_type: str, routing_id: str, payload: dict[str, Any]) -> None:
        """A message to another system, in the same transaction; its id follows from this one's."""
        ...

    def sum_up(self, kind: Sum, key: tuple[Any, ...], more: Any) -> None:
        """Adds to a message to another system that is told once, at the transaction's end, for all records that have
        added to it under this key. Where one begins and ends is chance: see sums.py.
        """
        ...


class Handler(msgspec.Struct, frozen=True):
    """Who takes one type of message."""

    message: type[Any]
    handle: Callable[[Any, Any], None]
    route: str  # the field of the message that its routing id must equal


class Input(msgspec.Struct, frozen=True):
    """A topic that a system reads, and what it does with each type of message on it."""

    topic: str
    handlers: dict[str, Handler]
    raw: Callable[[Any, Any], None] | None = None  # takes every record as it is: foreign topics
    addressed: Callable[[Any, "Addressed"], None] | None = None  # takes messages of every type: routers
    events: Callable[[Any, "Happened"], None] | None = None  # takes every event: those of another system

    @property
    def is_foreign(self) -> bool:
        """Whether its records are no messages: most of them ask for no answer."""
        return self.raw is not None or self.events is not None


class Addressed(msgspec.Struct, frozen=True):
    """A record that holds a message, and to whom it belongs."""

    record: Any
    routing_id: str


class Happened(msgspec.Struct, frozen=True):
    """An event of another system, as that one has written it."""

    record: Any
    routing_id: str
    envelope: Envelope
    payload: dict[str, Any]


class Observed(msgspec.Struct, frozen=True):
    """An event that the log has now, and what it changed."""

    aggregate: str
    aggregate_id: str
    event: Event
    before: Any  # None: it is the first
    after: Any
    at: int  # append time of its cause, µs


class Measured(msgspec.Struct, frozen=True):
    """How long something took, as a handler said (see Unit.measure)."""

    name: str
    subject: str
    seconds: float


class Committed(msgspec.Struct, frozen=True):
    """What one transaction of a partition has added to the log."""

    partition: int
    events: tuple[Observed, ...]
    measured: tuple[Measured, ...]


class Standing(Protocol):
    """The state of a partition that has just opened, to be looked at while one is told of it, and not later."""

    def load(self, aggregate: Aggregate[S], aggregate_id: str) -> S | None:
        """An aggregate's state."""
        ...

    def timers(self) -> Iterator[tuple[str, str, str]]:
        """What the states are waiting for, the earliest due first: aggregate, aggregate id, name of the timer."""
        ...

    def ids(self, aggregate: str) -> Iterator[str]:
        """The ids of all aggregates of one kind, in order."""
        ...

    def first(self, queue: str, count: int) -> list[str]:
        """See Unit.first."""
        ...


class System(msgspec.Struct):
    """One system: one Faust app, one partition count for all its inputs and event topics."""

    name: str
    aggregates: tuple[Aggregate[Any], ...]
    decides: tuple[str, ...]
    """Names of the modules whose code decides; with all that they import of ours they make `logic_version`."""
    repartition: str | None = None
    """The topic, read beside the inputs, that takes records that came to the wrong partition."""
    views: dict[str, View[Any]] = msgspec.field(default_factory=dict)
    """Topics that every worker reads whole, by the name that handlers ask for."""
    awaited: tuple[str, ...] = ()
    """Views that a partition's new owner must have read as far as any owner before: for who has begun something by what
    one of them said. The partition does not open before, so a topic that cannot be read holds the system up."""
    inputs: dict[str, Input] = msgspec.field(default_factory=dict)
    timers: dict[tuple[str, str], Callable[[Any, str], None]] = msgspec.field(default_factory=dict)
    observers: list[Callable[[Committed], None]] = msgspec.field(default_factory=list)
    """Who is told what was committed: for metrics and telemetry. At most once each, from the partitions' threads, and
    never again in recovery or replay; what an observer raises is logged and changes nothing."""
    opened: list[Callable[[int, Standing], None]] = msgspec.field(default_factory=list)
    """Who is told that a partition works now, and how it stands: what observers are told of it follows on that. After
    any doubt about a transaction it is told again."""
    closed: list[Callable[[int], None]] = msgspec.field(default_factory=list)
    """Who is told that a partition works no longer here."""

    looks_into: tuple[str, ...] = ()
    """Topics, kept for ever, of which handlers may ask for a record by its place (see Unit.record)."""

    gather_s: float = 0.0
    """How long inputs may come together before they are worked on, when there are many: for who sums them up."""

    routed: frozenset[str] = frozenset()
    """Inputs that a router reads, since their partition count is not the system's."""

    @property
    def all_aggregates(self) -> tuple[Aggregate[Any], ...]:
        """The system's aggregates, and the one that speaks of its partitions."""
        if not self.aggregates:
            return ()
        return (*self.aggregates, partition_aggregate(self.aggregates[0].topic))

    @property
    def event_topics(self) -> list[str]:
        """The topics of its events."""
        return sorted({aggregate.topic for aggregate in self.aggregates})

    @property
    def topics(self) -> tuple[str, ...]:
        """All topics that the system's partitions read."""
        own = (topic for topic in self.inputs if topic not in self.routed)
        return (*own, *([self.repartition] if self.repartition else []))

    def handler_of(self, topic: str, message_type: str) -> Handler | None:
        """Who takes a type of message on a topic; the repartition topic carries those of all."""
        sources = self.inputs.values() if topic == self.repartition else (self.inputs[topic],)
        for source in sources:
            if message_type in source.handlers:
                return source.handlers[message_type]
        return None

    def on(
        self, topic: str, message: type[M], route: str
    ) -> Callable[[Callable[[Any, M], None]], Callable[[Any, M], None]]:
        """Declares the handler of one type of message on one topic.

        `route` names the field that the message's routing id must equal: or it would be in the wrong partition
        for the aggregate that it speaks of.
        """

        def declare(handler: Callable[[Any, M], None]) -> Callable[[Any, M], None]:
            declared = Handler(message, handler, route)
            self.inputs.setdefault(topic, Input(topic, {})).handlers[message.__name__] = declared
            return handler

        return declare

    def on_raw(self, topic: str) -> Callable[[Callable[[Any, Any], None]], Callable[[Any, Any], None]]:
        """Declares the handler of a foreign topic: it takes records as they are, and their key is the route."""

        def declare(handler: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
            self.inputs[topic] = Input(topic, {}, handler)
            return handler

        return declare

    def on_events(
        self, topic: str
    ) -> Callable[[Callable[[Any, Happened], None]], Callable[[Any, Happened], None]]:
        """Declares who hears of the events of another system, on a topic with this system's partition count.

        What follows is caused by the event, and keeps its trace and its route.
        """

        def declare(handler: Callable[[Any, Happened], None]) -> Callable[[Any, Happened], None]:
            self.inputs[topic] = Input(topic, {}, events=handler)
            return handler

        return declare

    def on_addressed(
        self, topic: str
    ) -> Callable[[Callable[[Any, Addressed], None]], Callable[[Any, Addressed], None]]:
        """Declares who takes every message of a topic, of whatever type and wherever it lies."""

        def declare(handler: Callable[[Any, Addressed], None]) -> Callable[[Any, Addressed], None]:
            self.inputs[topic] = Input(topic, {}, addressed=handler)
            return handler

        return declare

    def on_timer(
        self, aggregate: Aggregate[Any], name: str
    ) -> Callable[[Callable[[Any, str], None]], Callable[[Any, str], None]]:
        """Declares what happens when a timer of an aggregate is due: handler(unit, aggregate_id)."""

        def declare(handler: Callable[[Any, str], None]) -> Callable[[Any, str], None]:
            self.timers[aggregate.name, name] = handler
            return handler

        return declare

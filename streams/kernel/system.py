"""What a system says of itself: its inputs, its aggregates, and a handler for each kind of message.

orchestrator = System("orchestrator", aggregates=(WORKFLOW, TICKET), decides=(__name__,))

@orchestrator.on("execution.results", ReportResult)
def record_result(unit: Unit, report: ReportResult) -> None:
    unit.execute(TICKET, report.ticket_id, RecordResult(...))
"""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import msgspec

from neural_hive.aggregates.aggregate import Aggregate, Command, Event

S = TypeVar("S")
M = TypeVar("M")


class Unit(Protocol):
    """What a handler may do with one message: all of it takes effect in one transaction, or none."""

    now: int
    """Append time of the record (of a timer: its due time), µs. The only clock of a handler."""

    message_id: str

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

    def view(self, name: str) -> Any:
        """A broadcast view as it stood when the batch began."""
        ...

    def send(self, topic: str, message_type: str, routing_id: str, payload: dict[str, Any]) -> None:
        """A message to another system, in the same transaction; its id follows from this one's."""
        ...


class Input(msgspec.Struct, frozen=True):
    """A topic that a system reads, and what it does with each type of message on it."""

    topic: str
    handlers: dict[str, tuple[type[Any], Callable[[Any, Any], None]]]
    raw: Callable[[Any, Any], None] | None = None  # takes every record as it is: foreign topics


class System(msgspec.Struct):
    """One system: one Faust app, one partition count for all its inputs and event topics."""

    name: str
    aggregates: tuple[Aggregate[Any], ...]
    decides: tuple[str, ...]
    """Names of the modules whose code decides; with all that they import of ours they make `logic_version`."""
    repartition: str | None = None
    """The topic, read beside the inputs, that takes records that came to the wrong partition."""
    inputs: dict[str, Input] = msgspec.field(default_factory=dict)
    timers: dict[tuple[str, str], Callable[[Any, str], None]] = msgspec.field(default_factory=dict)

    @property
    def topics(self) -> tuple[str, ...]:
        """All topics that the system reads."""
        return (*self.inputs, *([self.repartition] if self.repartition else []))

    def handler_of(
        self, topic: str, message_type: str
    ) -> tuple[type[Any], Callable[[Any, Any], None]] | None:
        """Who takes a type of message on a topic; the repartition topic carries those of all."""
        sources = self.inputs.values() if topic == self.repartition else (self.inputs[topic],)
        for source in sources:
            if message_type in source.handlers:
                return source.handlers[message_type]
        return None

    def on(
        self, topic: str, message: type[M]
    ) -> Callable[[Callable[[Any, M], None]], Callable[[Any, M], None]]:
        """Declares the handler of one type of message on one topic."""

        def declare(handler: Callable[[Any, M], None]) -> Callable[[Any, M], None]:
            self.inputs.setdefault(topic, Input(topic, {})).handlers[message.__name__] = (message, handler)
            return handler

        return declare

    def on_raw(self, topic: str) -> Callable[[Callable[[Any, Any], None]], Callable[[Any, Any], None]]:
        """Declares the handler of a foreign topic: it takes records as they are, and their key is the route."""

        def declare(handler: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
            self.inputs[topic] = Input(topic, {}, handler)
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

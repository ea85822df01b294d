"""Publishes plans and commands, and gives a token for each: what its answer is waited for by."""

import time
import uuid
from collections.abc import Sequence
from functools import partial
from typing import Any, Final, get_args
from urllib.parse import quote, unquote

import msgspec
from confluent_kafka import KafkaException

from neural_hive.aggregates.decision import DecisionConsolidated, content_hash
from neural_hive.aggregates.identity import derived_id
from neural_hive.aggregates.metric_window import TOPIC as METRIC_WINDOWS
from neural_hive.aggregates.metric_window import MetricWindow
from neural_hive.connectors.personal import Personal
from neural_hive.connectors.publisher import Place, Publisher
from neural_hive.following import Unreachable, unreachable
from neural_hive.schemas.topics import MESSAGE_BYTES_MAX
from neural_hive.sdk.breaker import Breaker
from neural_hive.streams.operations import messages as operations
from neural_hive.streams.orchestrator.messages import (
    AdjustQos,
    CancelWorkflow,
    CompleteTicket,
    PauseWorkflow,
    ResumeWorkflow,
    RetryTicket,
)

PLANS: Final = "plans.consensus"
COMMANDS: Final = "orchestration.commands"
DELIVERY_TIMEOUT_S: Final = 30.0
_CALL_TIMEOUT_S: Final = 10.0
_FLUSH_S: Final = 0.1
_TOKEN_PARTS: Final = 6
_PLAIN: Final = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")  # of an id in a token, as it is

Command = CancelWorkflow | PauseWorkflow | ResumeWorkflow | AdjustQos | RetryTicket | CompleteTicket
COMMAND_TYPES: Final[dict[str, type[Command]]] = {kind.__name__: kind for kind in get_args(Command)}


class BadToken(ValueError):
    """A text that is no token."""


class Token(msgspec.Struct, frozen=True):
    """Where a message stands in the log. As a text it can be given to others: `str`, `Token.parse`."""

    message_id: str
    topic: str
    partition: int
    offset: int
    appended_at: int  # by the broker's clock, µs since 1970 UTC
    routing_id: str  # the workflow's id, or that of whatever else the message is about

    def __str__(self) -> str:
        routing_id = quote(self.routing_id, safe=_PLAIN)  # it may stand in a header, which is ASCII
        return (
            f"{self.topic}:{self.partition}:{self.offset}:{self.appended_at}:{self.message_id}:{routing_id}"
        )

    @classmethod
    def parse(cls, text: str) -> "Token":
        """The token that a text stands for. Raises BadToken."""
        parts = text.split(":", _TOKEN_PARTS - 1)
        if len(parts) != _TOKEN_PARTS or not all(part.isdecimal() for part in parts[1:4]):
            raise BadToken(f"{text[:80]!r} is no token: it must be what publishing gave")
        topic, partition, offset, appended_at, message_id, routing_id = parts
        return cls(message_id, topic, int(partition), int(offset), int(appended_at), unquote(routing_id))


class _Message(msgspec.Struct, frozen=True):
    message_id: str
    routing_id: str
    content: msgspec.Struct


class Sender:
    """One connection for all that is published; may be used from many threads.

    Kafka's client tries again with growing waits, for up to DELIVERY_TIMEOUT_S. All methods raise Unreachable: it was
    not delivered; CircuitOpen: nor tried, since Kafka has not answered lately; TooLarge, BadRecord: it never can be;
    SubjectKeysUnusable. `personal` encrypts who asks; without it nothing is sent that says so.
    """

    def __init__(
        self,
        kafka: dict[str, Any],
        name: str = "neural-hive publish",
        breaker: Breaker | None = None,
        personal: Personal | None = None,
    ) -> None:
        self._kafka, self._personal = kafka, personal
        self._breaker = breaker or Breaker(f"Kafka at {kafka['bootstrap.servers']}")
        self._publisher = Publisher(kafka, name, int(DELIVERY_TIMEOUT_S * 1_000), personal)

    def plan(self, decision: DecisionConsolidated) -> Token:
        """Publishes a decision; the same one again has the same message id, and is carried out once."""
        decision = self._hidden(decision)  # its id must not be a hash of a name either
        message_id = derived_id(decision.decision_id, content_hash(decision))
        return self.send(PLANS, decision, message_id, decision.decision_id)

    def command(self, command: Command) -> Token:
        """Publishes what somebody wants of a workflow."""
        return self.send(COMMANDS, command, str(uuid.uuid4()), command.workflow_id)

    def redrive(self, wanted: operations.RedriveDeadLetter) -> Token:
        """Publishes that somebody wants a dead letter's record to be written again."""
        return self.send(operations.COMMANDS, wanted, str(uuid.uuid4()), wanted.dead_letter)

    def refused_call(self, note: operations.NoteRefusedCall) -> Token:
        """Publishes that an API has refused calls which are alike."""
        return self.send(operations.COMMANDS, note, str(uuid.uuid4()), note.api)

    def windows(self, windows: Sequence[MetricWindow]) -> list[Token]:
        """Publishes metric windows, all at once; the same one again has the same message id, and counts once."""
        wanted = [_Message(window.message_id, window.service, window) for window in windows]
        return self._send(METRIC_WINDOWS, wanted)

    def message(self, topic: str, routing_id: str, content: msgspec.Struct) -> Token:
        """Publishes what somebody wants of another system; the message is named as its class."""
        return self.send(topic, content, str(uuid.uuid4()), routing_id)

    def _hidden(self, decision: DecisionConsolidated) -> DecisionConsolidated:
        if self._personal is None or not decision.requested_by:
            return decision
        hidden = self._personal.hidden("DecisionConsolidated", {"requested_by": decision.requested_by})
        return msgspec.structs.replace(decision, **hidden)

    def send(self, topic: str, content: msgspec.Struct, message_id: str, routing_id: str) -> Token:
        """Publishes a message of any type, which is the content's name. Repeats are known by the message's id."""
        return self._send(topic, [_Message(message_id, routing_id, content)])[0]

    def _send(self, topic: str, messages: Sequence[_Message]) -> list[Token]:
        with self._breaker.call(Unreachable):
            places = self._deliver(topic, messages)
        return [
            Token(m.message_id, place.topic, place.partition, place.offset, place.appended_at, m.routing_id)
            for m, place in zip(messages, places, strict=True)
        ]

    def _deliver(self, topic: str, messages: Sequence[_Message]) -> list[Place]:
        for message in messages[:1]:
            try:
                self._publisher.partition(topic, message.routing_id, _CALL_TIMEOUT_S)
            except KafkaException as error:
                raise unreachable(self._kafka, error) from error
        problems: list[str] = []
        places: dict[int, Place] = {}
        for number, message in enumerate(messages):
            message_type = type(message.content).__name__
            header = self._publisher.header(message_type, message.message_id, message.routing_id)
            payload = msgspec.to_builtins(message.content)
            self._publisher.publish(
                topic, header, payload, problems.append, partial(places.__setitem__, number)
            )
        until = time.monotonic() + DELIVERY_TIMEOUT_S + 5
        while len(problems) < len(messages) and time.monotonic() < until:  # each is told "" when all is well
            self._publisher.flush(_FLUSH_S)  # others' messages may take longer than ours
        if len(places) < len(messages):
            reason = next(filter(None, problems), "no acknowledgement in time")
            names = " and ".join(sorted({type(message.content).__name__ for message in messages}))
            so_many = f"{len(messages) - len(places):,} of {len(messages):,} " if len(messages) > 1 else ""
            raise Unreachable(
                f"{so_many}{names} {'were' if so_many else 'was'} not delivered: {reason}; "
                f"the topic takes {MESSAGE_BYTES_MAX:,} bytes"
            )
        return [places[number] for number in range(len(messages))]

"""Writes small logs as a processor would, right or wrong in one place, to see what `verify` says of them."""

import uuid
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import msgspec
from confluent_kafka import Consumer, Producer, TopicPartition

from neural_hive.aggregates.identity import derived_id
from neural_hive.connectors.kafka_log import end_offsets
from neural_hive.replay.verify import Target
from neural_hive.schemas.catalogue import current
from neural_hive.schemas.codec import decode, encode_event, encode_message
from neural_hive.schemas.envelope import NO_HASH, Envelope, Header
from neural_hive.schemas.topics import Kind, partition_of

T0 = 1_795_000_000_000_000
TRACE = "a" * 32


class Written(msgspec.Struct):
    """One record that is about to be produced."""

    topic: str
    partition: int
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]

    def edited(self, **fields: Any) -> "Written":
        """The same event with other envelope fields (and so another hash)."""
        event = decode(self.value, "event")
        envelope = msgspec.structs.replace(event.head, **fields)
        assert isinstance(envelope, Envelope)
        return msgspec.structs.replace(self, value=encode_event(envelope, event.payload))


class Log:
    """A writer of one input topic and two event topics; every workflow gives one input with several events."""

    def __init__(self, bootstrap: str, topics: tuple[str, str, str, str], partitions: int) -> None:
        self.config = {"bootstrap.servers": bootstrap}
        self.inputs, self.tickets, self.workflows, self.letters = topics
        self.partitions = partitions
        self.name = f"writer-{uuid.uuid4().hex[:8]}"
        self.kinds: dict[str, Kind] = {}
        self.target = Target(self.name, (self.tickets, self.workflows), (self.inputs,), self.letters)
        self._sequences = [0] * partitions
        self._chains: dict[str, tuple[int, bytes]] = {}
        self._producer = Producer(
            {
                **self.config,
                "transactional.id": self.name,
                "compression.type": "lz4",
                "retry.backoff.ms": 1,
                "retry.backoff.max.ms": 5,
                "queue.buffering.max.messages": 1_000_000,
            }
        )
        self._producer.init_transactions(30)
        self._group = Consumer({**self.config, "group.id": self.name})
        self._offsets = [0] * partitions
        self._plain = Producer({**self.config, "linger.ms": 1})

    def close(self) -> None:
        self._group.close()

    def message(self, workflow_id: str, message_id: str | None = None) -> tuple[str, int, int]:
        """Publishes one input; gives its id and where it lies."""
        message_id = message_id or str(uuid.uuid4())
        header = Header(
            message_id, "CancelWorkflow", T0, workflow_id, workflow_id, "", TRACE, "b" * 16, "test"
        )
        payload = {"workflow_id": workflow_id, "reason": "", "requested_by": ""}
        key = workflow_id.encode()
        partition = partition_of(key, self.partitions)
        self._plain.produce(self.inputs, encode_message(header, payload), key, partition)
        self._plain.flush()
        offset = end_offsets(self.config, [(self.inputs, partition)])[self.inputs, partition] - 1
        return message_id, partition, offset

    def event(
        self,
        kind: str,
        aggregate_id: str,
        workflow_id: str,
        cause: tuple[str, int, int],
        index: int = 0,
    ) -> Written:
        """The next event of an aggregate, right in all."""
        message_id, partition, offset = cause
        self._sequences[partition] += 1
        version, previous = self._chains.get(aggregate_id, (0, NO_HASH))
        event_type, topic, payload = (
            (
                "TicketReady",
                self.tickets,
                {"ticket_id": aggregate_id, "workflow_id": workflow_id, "ready_at": T0},
            )
            if kind == "ticket"
            else (
                "WorkflowCompleted",
                self.workflows,
                {"workflow_id": workflow_id, "completed_count": 1, "duration_ms": 5},
            )
        )
        event_id = derived_id(message_id, aggregate_id, str(index))
        span_id = event_id.replace("-", "")[:16]
        envelope = Envelope(
            event_type,
            kind,
            current(event_type).version,
            "c" * 16,
            self.name,
            event_id,
            aggregate_id,
            version + 1,
            T0 + version,
            workflow_id,
            message_id,
            TRACE,
            span_id,
            self._sequences[partition],
            self.inputs,
            partition,
            offset,
            previous,
        )
        value = encode_event(envelope, payload)
        self._chains[aggregate_id] = (version + 1, sha256(value).digest())
        headers = [
            ("traceparent", f"00-{TRACE}-{span_id}-01".encode()),
            ("event_type", event_type.encode()),
        ]
        return Written(topic, partition, workflow_id.encode(), value, headers)

    def commit(
        self, written: list[Written], offsets: dict[int, int] | None = None, abort: bool = False
    ) -> None:
        """One transaction: events, and the input offsets (partition → next)."""
        self._producer.begin_transaction()
        for w in written:
            self._producer.produce(w.topic, w.value, w.key, w.partition, headers=w.headers)
        if abort:
            self._producer.flush()
            self._producer.abort_transaction(30)
            return
        tps = [TopicPartition(self.inputs, p, n) for p, n in (offsets or {}).items()]
        if tps:
            self._producer.send_offsets_to_transaction(tps, self._group.consumer_group_metadata(), 30)
        self._producer.commit_transaction(30)

    def unit(self, workflow_id: str, cause: tuple[str, int, int]) -> list[Written]:
        """What one input causes: two events of a ticket, one of its workflow."""
        ticket_id = derived_id(workflow_id, "ticket")
        return [
            self.event("ticket", ticket_id, workflow_id, cause, 0),
            self.event("ticket", ticket_id, workflow_id, cause, 1),
            self.event("workflow", workflow_id, workflow_id, cause),
        ]

    def write(
        self, workflows: int, rounds: int = 2, tamper: Callable[[list[Written]], list[Written]] | None = None
    ) -> None:
        """`rounds` inputs for each workflow, a transaction each, aborted ones between.

        `tamper` changes what all transactions of the workflows' partition 0 would have written, as one list.
        """
        pending: list[tuple[list[Written], dict[int, int]]] = []
        for _ in range(rounds):
            for number in range(workflows):
                cause = self.message(f"workflow-{number}")
                pending.append((self.unit(f"workflow-{number}", cause), {cause[1]: cause[2] + 1}))
        if tamper is None:
            for events, offsets in pending:
                self.commit(events, abort=True)
                self.commit(events, offsets)
            return
        everything = tamper([event for events, _ in pending for event in events])
        self.commit(everything, {p: n for _, offsets in pending for p, n in offsets.items()})

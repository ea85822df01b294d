"""Dispatches to real workers, and what they report, on the real broker."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer

from neural_hive.connectors.artifacts import ArtifactStore
from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.connectors.process_attempt import Limits
from neural_hive.connectors.process_executor import ProcessExecutor
from neural_hive.schemas.codec import Decoded, decode, encode_event
from neural_hive.schemas.envelope import NO_HASH, Envelope
from neural_hive.schemas.topics import partition_of
from neural_hive.streams.worker.begun import Begun
from neural_hive.streams.worker.worker import Options, Worker
from tests.conftest import TopicFactory, note_undelivered

PARTITIONS = 4


def envelope(event_type: str, ticket_id: str, workflow_id: str) -> Envelope:
    """An envelope as the orchestrator would write it."""
    return Envelope(
        event_type, "ticket", 1, "logic", "test", str(uuid.uuid4()), ticket_id, 1, time.time_ns() // 1_000,
        workflow_id, "", "0" * 31 + "1", "0" * 15 + "1", 1, "plans.consensus", 0, 0, NO_HASH,
    )  # fmt: skip


class Log:
    """The two topics of one test: writes ticket events, reads reports."""

    def __init__(self, bootstrap: str, tickets: str, results: str) -> None:
        self.kafka = {"bootstrap.servers": bootstrap}
        self.tickets, self.results = tickets, results
        self._producer = Producer(self.kafka)
        self._reader = Consumer({**self.kafka, "group.id": results, "auto.offset.reset": "earliest"})
        self._reader.subscribe([results])
        self.reports: list[Decoded] = []

    def dispatch(self, agent_id: str, *command: str, **changes: Any) -> str:
        """Dispatches one ticket; returns its id."""
        ticket_id = changes.pop("ticket_id", None) or str(uuid.uuid4())
        payload = {
            "ticket_id": ticket_id,
            "workflow_id": f"workflow of {ticket_id}",
            "plan_id": "plan",
            "task_id": "task",
            "task_type": "EXECUTE",
            "attempt": 1,
            "allocated_agent_id": agent_id,
            "command": list(command),
            "timeout_ms": 60_000,
            "deadline_at": time.time_ns() // 1_000 + 3_600_000_000,
            "security_level": "INTERNAL",
            "dispatched_at": time.time_ns() // 1_000,
            **changes,
        }
        self.event("TicketDispatched", payload)
        return ticket_id

    def event(self, event_type: str, payload: dict[str, Any]) -> None:
        """Writes one ticket event."""
        workflow_id = payload["workflow_id"]
        self._producer.produce(
            self.tickets,
            value=encode_event(envelope(event_type, payload["ticket_id"], workflow_id), payload),
            key=workflow_id,
            partition=partition_of(workflow_id.encode(), PARTITIONS),
            on_delivery=note_undelivered,
        )
        assert self._producer.flush(30) == 0

    def result(self, ticket_id: str, count: int = 1) -> Decoded:
        """The newest ReportResult of a ticket, once there are `count`."""
        until = time.monotonic() + 60
        while len(found := self.of(ticket_id, "ReportResult")) < count:
            assert time.monotonic() < until, f"no result {count} of {ticket_id}; reports: {self.reports}"
            self.read(0.2)
        return found[-1]

    def of(self, ticket_id: str, message_type: str) -> list[Decoded]:
        """What was read so far."""
        return [
            report
            for report in self.reports
            if report.schema.name == message_type and report.payload["ticket_id"] == ticket_id
        ]

    def read(self, timeout_s: float) -> None:
        """Reads what has come meanwhile."""
        message = self._reader.poll(timeout_s)
        while message is not None:
            if not message.error():
                key, value = message.key(), message.value()
                assert message.partition() == partition_of(key, PARTITIONS)
                self.reports.append(decode(value, "message"))
            message = self._reader.poll(0)

    def committed(self, agent_id: str) -> int:
        """The sum of the offsets that a worker has committed."""
        from confluent_kafka import TopicPartition

        reader = Consumer({**self.kafka, "group.id": f"worker.{agent_id}"})
        places = reader.committed([TopicPartition(self.tickets, n) for n in range(PARTITIONS)], timeout=30)
        reader.close()
        return sum(max(place.offset, 0) for place in places)

    def close(self) -> None:
        """Leaves the broker alone."""
        self._reader.close()


@pytest.fixture
def log(kafka: EmbeddedKafka, topic_factory: TopicFactory) -> Iterator[Log]:
    log = Log(kafka.bootstrap, topic_factory("tickets", PARTITIONS), topic_factory("results", PARTITIONS))
    yield log
    log.close()


class Running:
    """A worker in a thread of this process."""

    def __init__(self, log: Log, folder: Path, options: Options) -> None:
        store = ArtifactStore(folder / "store")
        executor = ProcessExecutor(folder / "attempts", store, Limits(grace_s=0.5))
        self._worker = Worker(options, log.kafka, executor, begun=Begun(folder / "begun"))
        self._stopping = threading.Event()
        self._ready = threading.Event()
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._live)
        self._thread.start()

    def _live(self) -> None:
        try:
            self._worker.run(self._stopping, self._ready.set)
        except BaseException as error:
            self.failure = error

    def wait_ready(self) -> None:
        assert self._ready.wait(60), f"the worker is not ready: {self.failure}"

    def join(self, timeout_s: float = 60) -> None:
        """Waits until the worker has ended by itself."""
        self._thread.join(timeout_s)
        assert not self._thread.is_alive()

    def stop(self) -> None:
        """Tells the worker to stop, and waits for it."""
        self._stopping.set()
        self.join()


StartWorker = Callable[..., Running]


@pytest.fixture
def start_worker(log: Log, tmp_path: Path) -> Iterator[StartWorker]:
    started: list[Running] = []

    def start(agent_id: str, **changes: Any) -> Running:
        options = Options(
            **{
                "agent_id": agent_id,
                "task_types": frozenset({"EXECUTE", "BUILD"}),
                "grace_s": 0.5,
                "tickets": log.tickets,
                "results": log.results,
                **changes,
            }
        )
        running = Running(log, tmp_path / agent_id, options)
        started.append(running)
        return running

    yield start
    for running in started:
        running.stop()

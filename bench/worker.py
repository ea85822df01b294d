"""A worker whose work is nothing: it answers each dispatch at once, through Kafka, as an agent's program would.

One thread reads the tickets of all partitions and writes the reports: what is measured is the orchestrator.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, Final

from confluent_kafka import Consumer, TopicPartition

from neural_hive.aggregates.identity import derived_id
from neural_hive.connectors.publisher import Publisher
from neural_hive.schemas.codec import Decoded, decode
from neural_hive.schemas.envelope import Envelope
from neural_hive.sdk.agent import AgentClient, AgentConfig

TICKETS: Final = "execution.tickets"
WORKFLOWS: Final = "orchestration.workflows"
RESULTS: Final = "execution.results"
AGENT: Final = "bench"
CAPACITY: Final = 10_000
TASK_TYPES: Final = ("BUILD", "TEST", "VALIDATE", "DEPLOY", "EXECUTE")
_ENDS: Final = frozenset({"WorkflowCompleted", "WorkflowFailed", "WorkflowCancelled", "PlanRejected"})
_CHUNK: Final = 1_000
_POLL_S: Final = 0.1


class NoWork:
    """The worker, and who hears of each dispatch and each workflow's end (`told(name, workflow_id)`)."""

    def __init__(self, kafka: dict[str, Any], partitions: int, told: Callable[[str, str], None]) -> None:
        self._told = told
        self._publisher = Publisher(kafka, f"agent/{AGENT}")
        config = AgentConfig(AGENT, task_types=TASK_TYPES, capacity=CAPACITY)
        self._agent = AgentClient(config, kafka)
        self._consumer = Consumer(
            {
                **kafka,
                "group.id": "bench.worker",  # a name only: nothing is joined or committed
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 10,
            }
        )
        places = [
            TopicPartition(topic, number, 0) for topic in (TICKETS, WORKFLOWS) for number in range(partitions)
        ]
        self._consumer.assign(places)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="no-work", daemon=True)

    def __enter__(self) -> "NoWork":
        self._agent.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        self._consumer.close()
        self._agent.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            # One first: `consume` waits for a whole chunk until its time is over, and that would be measured.
            first = self._consumer.poll(_POLL_S)
            for message in (first, *self._consumer.consume(_CHUNK, 0.0)) if first is not None else ():
                if message.error() is None and message.value():
                    self._heard(message)
            self._publisher.poll()

    def _heard(self, message: Any) -> None:
        name = dict(message.headers() or ()).get("event_type", b"").decode()
        if name == "TicketDispatched":
            event = decode(message.value(), "event")
            self._told(name, event.payload["workflow_id"])
            self._report(event)
        elif name in _ENDS:
            self._told(name, message.key().decode())

    def _report(self, event: Decoded) -> None:
        assert isinstance(event.head, Envelope)
        dispatch, now = event.payload, time.time_ns() // 1_000
        ids = {name: dispatch[name] for name in ("workflow_id", "ticket_id", "attempt")}
        whole = {**ids, "agent_id": AGENT}
        self._publish(event.head, "ReportStart", "start", {**whole, "started_at": now})
        result = {"outcome": "COMPLETED", "started_at": now, "completed_at": now, "exit_code": 0}
        self._publish(
            event.head,
            "ReportResult",
            "result",
            {**whole, **result, "outputs": {}, "artifacts": [], "error": ""},
        )

    def _publish(self, cause: Envelope, message_type: str, step: str, payload: dict[str, Any]) -> None:
        message_id = derived_id(payload["ticket_id"], str(payload["attempt"]), step)
        header = self._publisher.header(
            message_type,
            message_id,
            payload["workflow_id"],
            correlation_id=cause.correlation_id,
            causation_id=cause.event_id,
            trace_id=cause.trace_id,
        )
        self._publisher.publish(RESULTS, header, payload, _check)


def _check(problem: str) -> None:
    if problem:
        raise RuntimeError(problem)

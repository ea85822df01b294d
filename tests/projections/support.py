"""A log of the test's own, and a projector that follows it."""

import hashlib
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Producer

from neural_hive.projections.catalogue import PROJECTIONS
from neural_hive.projections.http_store import HttpStore
from neural_hive.projections.projection import Projection
from neural_hive.projections.projector import Projector, persist
from neural_hive.schemas.codec import encode_event, encode_message
from neural_hive.schemas.envelope import NO_HASH, Envelope, Header
from neural_hive.schemas.topics import Kind
from tests.fixtures_clickhouse import ClickHouseServer

AT = 1_795_365_762_000_000  # µs since 1970 UTC
WAIT_S = 90


def envelope(event_type: str, aggregate_id: str, version: int, schema_version: int = 1) -> Envelope:
    return Envelope(
        event_type=event_type,
        aggregate_type="ticket",
        schema_version=schema_version,
        logic_version="test",
        producer="test",
        event_id=str(uuid.uuid4()),
        aggregate_id=aggregate_id,
        version=version,
        occurred_at=AT + version * 1_000_000,
        correlation_id="workflow-1",
        causation_id="message-1",
        trace_id="0" * 32,
        span_id="0" * 16,
        sequence=version,
        source_topic="plans.consensus",
        source_partition=0,
        source_offset=0,
        prev_hash=NO_HASH,
    )


def created(ticket: str, task: str = "build", plan: str = "plan-1") -> bytes:
    payload = {
        "ticket_id": ticket,
        "workflow_id": "workflow-1",
        "plan_id": plan,
        "task": {"task_id": task, "task_type": "BUILD", "timeout_ms": 1_000, "security_level": "INTERNAL"},
        "dependencies": [],
        "dependents": [],
        "priority": "NORMAL",
        "risk_band": "medium",
        "priority_score": 0.5,
        "deadline_at": AT + 1,
        "delivery_mode": "AT_LEAST_ONCE",
        "consistency": "STRONG",
        "durability": "PERSISTENT",
        "created_at": AT,
    }
    return encode_event(envelope("TicketCreated", ticket, 1), payload)


def ready(ticket: str, version: int = 1) -> bytes:
    payload = {"ticket_id": ticket, "workflow_id": "workflow-1", "ready_at": AT}
    return encode_event(envelope("TicketReady", ticket, version), payload)


def started(ticket: str, version: int = 2, agent: str = "agent-1") -> bytes:
    payload = {
        "ticket_id": ticket,
        "workflow_id": "workflow-1",
        "attempt": 1,
        "agent_id": agent,
        "started_at": AT + 5,
    }
    return encode_event(envelope("TicketStarted", ticket, version), payload)


def completed(ticket: str, version: int = 3, **changed: Any) -> bytes:
    payload = {
        "ticket_id": ticket,
        "workflow_id": "workflow-1",
        "attempt": 1,
        "agent_id": "agent-1",
        "started_at": AT + 5,
        "completed_at": AT + 9,
        "exit_code": 0,
        "outputs": {"size": "3"},
        "artifacts": [{"name": "a", "uri": "file:///a", "sha256": "00", "size_bytes": 7}],
        **changed,
    }
    return encode_event(envelope("TicketCompleted", ticket, version), payload)


def failed(ticket: str, version: int = 3, **changed: Any) -> bytes:
    payload = {
        "ticket_id": ticket,
        "workflow_id": "workflow-1",
        "attempt": 1,
        "agent_id": "agent-1",
        "started_at": AT + 5,
        "completed_at": AT + 9,
        "exit_code": 2,
        "outputs": {},
        "artifacts": [],
        "error": "exit code 2",
        **changed,
    }
    return encode_event(envelope("TicketFailed", ticket, version), payload)


def report_start(ticket: str) -> bytes:
    header = Header(
        message_id=str(uuid.uuid4()),
        message_type="ReportStart",
        occurred_at=AT,
        routing_id="workflow-1",
        correlation_id="workflow-1",
        causation_id="",
        trace_id="0" * 32,
        span_id="0" * 16,
        producer="test",
    )
    payload = {
        "workflow_id": "workflow-1",
        "ticket_id": ticket,
        "attempt": 1,
        "agent_id": "agent-1",
        "started_at": AT,
    }
    return encode_message(header, payload)


def dead_letter(value: bytes) -> bytes:
    header = Header(
        message_id=str(uuid.uuid4()),
        message_type="DeadLetter",
        occurred_at=AT,
        routing_id="",
        correlation_id="",
        causation_id="",
        trace_id="",
        span_id="",
        producer="test",
    )
    payload = {
        "source_topic": "plans.consensus",
        "source_partition": 1,
        "source_offset": 17,
        "source_timestamp_ms": AT // 1000,
        "key": b"\xff",
        "value": value,
        "headers": [],
        "reason": "no such task",
        "error_type": "BadRecord",
        "processor": "orchestrator",
        "aggregate_id": "",
    }
    return encode_message(header, payload)


class Log:
    """An event topic and an input topic of the test's own."""

    def __init__(self, bootstrap: str, events: str, inputs: str) -> None:
        self.events, self.inputs = events, inputs
        self.config = {"bootstrap.servers": bootstrap, "log_level": 2}
        self.kinds = {events: Kind.EVENT, inputs: Kind.INPUT}
        self._producer = Producer(
            {
                **self.config,
                "transactional.id": f"writer-{uuid.uuid4().hex[:8]}",
                "retry.backoff.ms": 1,
                "queue.buffering.max.messages": 1_000_000,
                "queue.buffering.max.kbytes": 1_000_000,
            }
        )
        self._producer.init_transactions(60)

    def write(
        self, topic: str, values: Sequence[bytes | None], partition: int = 0, commit: bool = True
    ) -> None:
        """The values in one transaction, which leaves a marker behind."""
        self._producer.begin_transaction()
        for value in values:
            self._producer.produce(
                topic,
                value,
                key=b"workflow-1",
                partition=partition,
                headers=[("event_type", b"x"), ("nothing", None)],
            )
        self._producer.flush(60)
        if commit:
            self._producer.commit_transaction(60)
        else:
            self._producer.abort_transaction(60)


class Follower:
    """A projector in a thread, and what it has written."""

    def __init__(
        self,
        log: Log,
        server: ClickHouseServer,
        database: str,
        projections: Sequence[Projection] = PROJECTIONS,
        reached: Callable[[str], None] = lambda step: None,
    ) -> None:
        self.store = HttpStore(server.host, server.port, server.user, server.password, database)
        self.stopping = threading.Event()
        assert persist(self.store.create_database, self.stopping)
        self.is_ready = False
        self.failure: BaseException | None = None
        self._projector = Projector(
            self.store, log.config, log.kinds, self.stopping, projections, self._told, reached, linger_s=0.05
        )
        self._thread = threading.Thread(target=self._run)

    def _told(self, is_ready: bool) -> None:
        self.is_ready = is_ready

    def _run(self) -> None:
        try:
            self._projector.run()
        except BaseException as error:  # looked at by the test
            self.failure = error

    def one(self, sql: str) -> Any:
        """The first value of a query."""
        return self.store.rows(sql)[0][0]

    def wait(self, happened: Callable[[], bool], what: str) -> None:
        """Until it has happened, or the projector has failed."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            if self.failure is not None:
                raise AssertionError(f"the projector failed before {what}") from self.failure
            if happened():
                return
            time.sleep(0.02)
        raise AssertionError(f"not within {WAIT_S} s: {what}")

    def wait_rows(self, table: str, count: int) -> None:
        """Until a table has that many rows."""
        self.wait(lambda: self._count(table) >= count, f"{count} rows in {table}, has {self._count(table)}")
        assert self._count(table) == count

    def _count(self, table: str) -> int:
        [(there,)] = self.store.rows(f"EXISTS TABLE {table}")
        return int(self.one(f"SELECT count() FROM {table}")) if there else 0

    def wait_end(self) -> BaseException:
        """Until it has ended by itself; why."""
        self._thread.join(WAIT_S)
        assert self.failure is not None, "the projector has not ended"
        return self.failure

    @contextmanager
    def running(self) -> Iterator["Follower"]:
        self._thread.start()
        try:
            yield self
        finally:
            self.stopping.set()
            self._thread.join(WAIT_S)
            assert not self._thread.is_alive()

    def digest(self, table: str) -> str:
        """What a table holds, whatever the order of its rows."""
        rows = self.store.rows(f"SELECT toString(tuple(*)) AS r FROM {table} ORDER BY r")
        return hashlib.sha256(repr(rows).encode()).hexdigest()

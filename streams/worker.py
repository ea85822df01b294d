"""The worker: takes the tickets dispatched to its agent, executes them, reports what happened.

    execution.tickets  → TicketDispatched of our agent   → run the command
                       → TicketCancelled, TicketTimedOut → end the command, report nothing
    execution.results  ← ReportStart, then ReportResult

A ticket is unfinished until its result is delivered. The committed offset never passes an unfinished ticket, so
after a crash it runs again; its result has the same message id, so that a repeat counts once. On start the log is
read to its end before anything runs: what others know to be over is not run again.
"""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import structlog
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from neural_hive.aggregates.identity import derived_id
from neural_hive.connectors.folder_lock import locked
from neural_hive.connectors.process_attempt import File
from neural_hive.connectors.process_executor import Cancellation, Order, Report
from neural_hive.connectors.publisher import Publisher, TooLarge
from neural_hive.schemas.catalogue import registered
from neural_hive.schemas.codec import BadRecord, decode, schema_id
from neural_hive.schemas.envelope import Envelope

TICKETS: Final = "execution.tickets"
RESULTS: Final = "execution.results"
_ENDINGS: Final = ("TicketCompleted", "TicketFailed", "TicketTimedOut", "TicketCancelled")
_COMMIT_EVERY_S: Final = 1.0

log = structlog.get_logger()


class WorkerStopped(Exception):  # noqa: N818  (what happened to it)
    """The worker cannot go on; the text says why and what to do."""


class Executor(Protocol):
    """What runs a ticket's command."""

    def run(self, order: Order, cancellation: Cancellation) -> Report: ...
    def close(self) -> None: ...


class Options(msgspec.Struct, frozen=True):
    """Who the worker is, and how much it takes on."""

    agent_id: str
    folder: Path
    task_types: frozenset[str]
    concurrency: int = 4
    waiting_max: int = 2_000  # tickets taken and not finished; above, partitions are paused
    grace_s: float = 10.0  # how long running tickets may go on when the worker is told to stop


class Dispatch(msgspec.Struct, frozen=True):
    """What the worker reads of a TicketDispatched."""

    ticket_id: str
    workflow_id: str
    task_id: str
    task_type: str
    attempt: int
    allocated_agent_id: str
    command: tuple[str, ...]
    parameters: dict[str, str]
    environment: dict[str, str]
    timeout_ms: int
    deadline_at: int
    inputs: tuple[File, ...]


Key = tuple[str, int]  # ticket id, attempt


class Work(msgspec.Struct):
    """One ticket's attempt, from its dispatch until its result is delivered or unwanted."""

    dispatch: Dispatch
    cause: Envelope
    cancellation: Cancellation = msgspec.field(default_factory=Cancellation)

    @property
    def key(self) -> Key:
        return self.dispatch.ticket_id, self.dispatch.attempt


class Partition(msgspec.Struct):
    """How far one partition has been read, and what of it is unfinished."""

    next_offset: int | None = None
    caught_up: bool = False
    unfinished: dict[int, Key] = {}  # offset → ticket, in the log's order

    def committable(self) -> int | None:
        """Below this offset everything is finished."""
        return next(iter(self.unfinished), self.next_offset)


class Worker:
    """One agent's worker; `run` is its life."""

    def __init__(self, options: Options, kafka: dict[str, Any], executor: Executor) -> None:
        self._options = options
        self._executor = executor
        self._publisher = Publisher(kafka, f"worker/{options.agent_id}")
        self._consumer = Consumer(
            {
                **kafka,
                "group.id": f"worker.{options.agent_id}",
                "group.instance.id": options.agent_id,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "session.timeout.ms": 10_000,
                "heartbeat.interval.ms": 3_000,
            }
        )
        self._partitions: dict[int, Partition] = {}
        self._committed: dict[int, int] = {}
        self._work: dict[Key, Work] = {}
        self._over: queue.SimpleQueue[Key] = queue.SimpleQueue()
        self._failure: BaseException | None = None
        self._stopping = False
        self._paused = False
        self._pool = ThreadPoolExecutor(options.concurrency, thread_name_prefix="ticket")

    def run(self, stopping: threading.Event, ready: Callable[[], None]) -> None:
        """Works until told to stop. Raises WorkerStopped: it cannot go on."""
        told = False
        commit_at = 0.0
        self._consumer.subscribe([TICKETS], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)
        try:
            while not stopping.is_set():
                self._take(self._consumer.poll(0.1))
                self._publisher.poll()
                self._settle()
                if time.monotonic() >= commit_at:
                    self._commit(asynchronous=True)
                    commit_at = time.monotonic() + _COMMIT_EVERY_S
                if not told and self._partitions:
                    ready()
                    told = True
        finally:
            self._stop()

    def _take(self, message: Message | None) -> None:
        """One record, or what Kafka says instead of one."""
        if message is None:
            return
        error = message.error()
        partition = self._partitions.get(message.partition())
        if error and error.code() != KafkaError._PARTITION_EOF:
            self._weigh(error)
        elif partition is None:
            return  # revoked meanwhile
        elif error:
            partition.next_offset = message.offset()
            self._caught_up(partition)
        else:
            partition.next_offset = message.offset() + 1
            self._read(partition, message)

    def _weigh(self, error: KafkaError) -> None:
        if error.code() == KafkaError.FENCED_INSTANCE_ID:
            raise WorkerStopped(
                f"another worker runs as agent {self._options.agent_id}: give each worker an agent id of its own"
            )
        if error.fatal():
            raise WorkerStopped(f"Kafka refuses to go on: {error.str()}")
        log.warning("kafka_error", error=error.str())  # passing: the client tries again by itself

    def _read(self, partition: Partition, message: Message) -> None:
        value = message.value() or b""
        try:
            row = registered().get(schema_id(value))
            if row and row.name != "TicketDispatched" and row.name not in _ENDINGS:
                return
            event = decode(value, "event")
        except BadRecord as error:
            log.error("bad_event", partition=message.partition(), offset=message.offset(), error=str(error))
            return
        assert isinstance(event.head, Envelope)
        if event.schema.name == "TicketDispatched":
            if event.payload["allocated_agent_id"] == self._options.agent_id:
                work = Work(msgspec.convert(event.payload, Dispatch), event.head)
                self._accept(partition, message.offset(), work)
        else:
            self._ended(event.schema.name, event.payload)

    def _accept(self, partition: Partition, offset: int, work: Work) -> None:
        known = work.key in self._work
        partition.unfinished[offset] = work.key
        self._work.setdefault(work.key, work)
        if partition.caught_up and not known:
            self._pool.submit(self._attempt, work)
        if len(self._work) >= self._options.waiting_max and not self._paused:
            self._caught_up(partition)
            self._consumer.pause(self._consumer.assignment())
            self._paused = True

    def _caught_up(self, partition: Partition) -> None:
        """The log's end as it was at the start is reached: what is still wanted begins."""
        if not partition.caught_up:
            partition.caught_up = True
            for key in dict.fromkeys(partition.unfinished.values()):
                if key in self._work:
                    self._pool.submit(self._attempt, self._work[key])

    def _ended(self, event_type: str, payload: dict[str, Any]) -> None:
        """The log says that a ticket is over: whatever of it waits or runs here is no longer wanted."""
        attempt = payload.get("attempt")
        for key in [key for key in self._keys_of(payload["ticket_id"]) if attempt in (None, key[1])]:
            log.info("ticket_over", ticket_id=key[0], attempt=key[1], event_type=event_type)
            self._work[key].cancellation.ask()
            self._over.put(key)

    def _keys_of(self, ticket_id: str) -> Iterator[Key]:
        return (key for key in self._work if key[0] == ticket_id)

    def _attempt(self, work: Work) -> None:
        """Runs one ticket and reports it; in a thread of the pool."""
        if self._stopping or work.cancellation.asked:
            return
        try:
            report = self._refusal(work.dispatch) or self._run(work)
            if not work.cancellation.asked:
                self._publish_result(work, report)
        except BaseException as error:
            self._failure = error

    def _refusal(self, dispatch: Dispatch) -> Report | None:
        """Why a ticket cannot even be tried here, if so."""
        now = _now()
        if dispatch.task_type not in self._options.task_types:
            can = ", ".join(sorted(self._options.task_types))
            reason = f"agent {self._options.agent_id} cannot run {dispatch.task_type} tickets; it can run {can}"
            return Report("FAILED", now, now, error=reason)
        if not dispatch.command:
            return Report("FAILED", now, now, error="the ticket has no command to run")
        if 0 < dispatch.deadline_at <= now:
            return Report("TIMED_OUT", now, now, error="the deadline had passed before the ticket could start")
        return None

    def _run(self, work: Work) -> Report:
        dispatch = work.dispatch
        self._publish(
            work,
            "ReportStart",
            {"started_at": _now()},
            lambda undelivered: self._note_undelivered("ReportStart", undelivered),
        )
        time_limit_s = dispatch.timeout_ms / 1_000
        if dispatch.deadline_at > 0:
            time_limit_s = min(time_limit_s, (dispatch.deadline_at - _now()) / 1_000_000)
        order = Order(
            folder_name=f"{dispatch.ticket_id}.{dispatch.attempt}",
            command=dispatch.command,
            environment={
                **dispatch.environment,
                "NEURAL_HIVE_WORKFLOW_ID": dispatch.workflow_id,
                "NEURAL_HIVE_TICKET_ID": dispatch.ticket_id,
                "NEURAL_HIVE_TASK_ID": dispatch.task_id,
                "NEURAL_HIVE_ATTEMPT": str(dispatch.attempt),
            },
            parameters=dispatch.parameters,
            inputs=dispatch.inputs,
            time_limit_s=time_limit_s,
        )
        return self._executor.run(order, work.cancellation)

    def _publish_result(self, work: Work, report: Report) -> None:
        log.info("ticket_ended", ticket_id=work.key[0], attempt=work.key[1], outcome=report.ended)

        def delivered(undelivered: str) -> None:
            self._note_undelivered("ReportResult", undelivered)
            if not undelivered:
                self._over.put(work.key)

        try:
            self._publish(work, "ReportResult", _result(report), delivered)
        except (TooLarge, BadRecord) as error:
            unfit = Report("FAILED", report.started_at, report.completed_at, report.exit_code, error=str(error))
            self._publish(work, "ReportResult", _result(unfit), delivered)

    def _publish(
        self, work: Work, message_type: str, payload: dict[str, Any], delivered: Callable[[str], None]
    ) -> None:
        dispatch = work.dispatch
        step = "start" if message_type == "ReportStart" else "result"
        header = self._publisher.header(
            message_type,
            derived_id(dispatch.ticket_id, str(dispatch.attempt), step),
            dispatch.workflow_id,
            correlation_id=work.cause.correlation_id,
            causation_id=work.cause.event_id,
            trace_id=work.cause.trace_id,
        )
        whole = {
            "workflow_id": dispatch.workflow_id,
            "ticket_id": dispatch.ticket_id,
            "attempt": dispatch.attempt,
            "agent_id": self._options.agent_id,
            **payload,
        }
        self._publisher.publish(RESULTS, header, whole, delivered)

    def _note_undelivered(self, message_type: str, reason: str) -> None:
        if reason:
            self._failure = WorkerStopped(f"{message_type} could not be delivered: {reason}")

    def _settle(self) -> None:
        """Takes note of what is over, and takes on more when there is room."""
        if self._failure:
            raise self._failure
        with contextlib.suppress(queue.Empty):
            while True:
                self._forget(self._over.get_nowait())
        if self._paused and len(self._work) <= self._options.waiting_max // 2:
            self._consumer.resume(self._consumer.assignment())
            self._paused = False

    def _forget(self, key: Key) -> None:
        if self._work.pop(key, None):
            for partition in self._partitions.values():
                for offset in [o for o, unfinished in partition.unfinished.items() if unfinished == key]:
                    del partition.unfinished[offset]

    def _commit(self, asynchronous: bool) -> None:
        offsets = {n: p.committable() for n, p in self._partitions.items()}
        moved = {n: o for n, o in offsets.items() if o is not None and self._committed.get(n) != o}
        if moved:
            wanted = [TopicPartition(TICKETS, number, offset) for number, offset in moved.items()]
            self._consumer.commit(offsets=wanted, asynchronous=asynchronous)
            self._committed.update(moved)

    def _assigned(self, _: Consumer, assigned: list[TopicPartition]) -> None:
        log.info("partitions_assigned", partitions=[p.partition for p in assigned])
        self._partitions = {p.partition: Partition() for p in assigned}
        self._committed.clear()
        self._paused = False

    def _revoked(self, _: Consumer, __: list[TopicPartition]) -> None:
        with contextlib.suppress(Exception):  # whoever has them next starts at an older offset: no harm
            self._commit(asynchronous=False)
        self._partitions.clear()

    def _lost(self, _: Consumer, __: list[TopicPartition]) -> None:
        self._partitions.clear()

    def _stop(self) -> None:
        """Lets running tickets end for a while; the others will be run again by the next start."""
        self._stopping = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        waiting = threading.Timer(self._options.grace_s, self._cancel_all)
        waiting.start()
        self._pool.shutdown(wait=True)
        waiting.cancel()
        self._publisher.flush(5.0)
        with contextlib.suppress(queue.Empty):
            while True:
                self._forget(self._over.get_nowait())
        with contextlib.suppress(Exception):  # Kafka may be gone; then more is run again
            self._commit(asynchronous=False)
        self._consumer.close()
        self._executor.close()

    def _cancel_all(self) -> None:
        for work in list(self._work.values()):
            work.cancellation.ask()


def _result(report: Report) -> dict[str, Any]:
    return {
        "outcome": report.ended,
        "started_at": report.started_at,
        "completed_at": report.completed_at,
        "exit_code": report.exit_code,
        "outputs": report.outputs,
        "artifacts": [msgspec.structs.asdict(file) for file in report.artifacts],
        "error": report.error,
    }


def _now() -> int:
    return time.time_ns() // 1_000

"""The worker: takes the tickets dispatched to its agent, executes them, reports what happened.

    execution.tickets  → TicketDispatched of our agent     → run the command
                       → TicketCancelled, TicketTimedOut … → end the command, report nothing
    execution.results  ← ReportStart, then ReportResult

A ticket is unfinished until its result is delivered. The committed offset never passes an unfinished ticket, so
after a crash it runs again; its result has the same message id, so that a repeat counts once. On start the log
is read to its end before anything runs: what the log knows to be over is not run again. A ticket that may be
delivered at most once never runs again, nor does one whose end was noted (`worker_begun.py`). None begins before Kafka
has the word of its start (`worker_starts.py`).
"""

import contextlib
import fcntl
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

from neural_hive.connectors.artifacts import ArtifactStore
from neural_hive.connectors.process_executor import Cancellation, Order, ProcessExecutor, Report
from neural_hive.connectors.publisher import KAFKA_LOG, Publisher
from neural_hive.connectors.tracing import doing
from neural_hive.schemas.codec import BadRecord
from neural_hive.streams import worker_metrics
from neural_hive.streams.worker_begun import Begun, told_again
from neural_hive.streams.worker_events import STARTED, Reader, Said, Unreadable
from neural_hive.streams.worker_ledger import Key, Ledger, Work
from neural_hive.streams.worker_orders import Prepare, prepare
from neural_hive.streams.worker_reports import Reports
from neural_hive.streams.worker_starts import Starts

_COMMIT_EVERY_S: Final = 1.0
_DELIVERIES_WAIT_S: Final = 0.1

log = structlog.get_logger()


class WorkerStopped(Exception):
    """The worker cannot go on; the text says why and what to do."""


class WorkerSettings(Protocol):
    """What a worker needs of the settings."""

    @property
    def data(self) -> Path:
        """The data folder: attempts run below it, artifacts are kept in it."""
        ...

    @property
    def agent_id(self) -> str:
        """The agent whose tickets are executed."""
        ...

    @property
    def worker_concurrency(self) -> int:
        """How many tickets run at once."""
        ...

    @property
    def worker_task_types(self) -> tuple[str, ...]:
        """The types of tickets that it takes; others are refused."""
        ...

    def kafka_config(self) -> dict[str, Any]:
        """librdkafka's settings of the connection."""
        ...


def run(settings: WorkerSettings, stopping: threading.Event, ready: Callable[[], None]) -> None:
    """Works until told to stop, with the executor of local processes. Raises WorkerStopped: it cannot go on."""
    folder = settings.data / "worker" / settings.agent_id
    with held(folder):
        store = ArtifactStore(settings.data / "artifacts")
        executor = ProcessExecutor(folder / "attempts", store)
        task_types = frozenset[str](settings.worker_task_types)
        options = Options(settings.agent_id, task_types, settings.worker_concurrency)
        begun = Begun(folder / "begun")
        Worker(options, settings.kafka_config(), executor, begun=begun).run(stopping, ready)


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Holds a worker's folder for this process. Raises WorkerStopped: another one has it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise WorkerStopped(
                f"another worker works in {folder}: give each one an agent id of its own"
            ) from error
        yield


class Executor(Protocol):
    """What runs a ticket's command."""

    def run(self, order: Order, cancellation: Cancellation) -> Report:
        """Runs it to its end, and never raises for what the task does."""
        ...

    def close(self) -> None:
        """Leaves nothing behind."""
        ...


class Options(msgspec.Struct, frozen=True):
    """Who the worker is, and how much it takes on."""

    agent_id: str
    task_types: frozenset[str]
    concurrency: int = 4
    unfinished_max: int = 2_000  # at this many tickets it stops reading; at half, it reads on
    grace_s: float = 10.0  # how long running tickets may go on when the worker is told to stop
    tickets: str = "execution.tickets"
    results: str = "execution.results"


class Worker:
    """One agent's worker; `run` is its life, and it has only one."""

    def __init__(
        self,
        options: Options,
        kafka: dict[str, Any],
        executor: Executor,
        prepare: Prepare = prepare,
        *,
        begun: Begun,
    ) -> None:
        """`prepare` makes the orders that the executor runs; `begun` outlives this process."""
        self._options = options
        self._begun = begun
        self._read_event = Reader(options.agent_id)
        self._executor = executor
        self._prepare = prepare
        self._publisher = Publisher(kafka, f"worker/{options.agent_id}")
        self._reports = Reports(self._publisher, options.results, options.agent_id)
        self._starts = Starts(begun, self._reports, self._note_delivery)
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
                "on_commit": self._note_commit,
            },
            logger=KAFKA_LOG,
        )
        self._ledger = Ledger[Work]()
        self._committed: dict[int, int] = {}
        self._over: queue.SimpleQueue[Key] = queue.SimpleQueue()
        self._failure: BaseException | None = None
        self._stopping = False
        self._paused = False
        self._assigned = False
        self._pool = ThreadPoolExecutor(options.concurrency, thread_name_prefix="ticket")
        self._deliveries = threading.Thread(target=self._hear, name="deliveries", daemon=True)
        self._all_is_said = threading.Event()

    def run(self, stopping: threading.Event, ready: Callable[[], None]) -> None:
        """Works until told to stop. Raises WorkerStopped: it cannot go on."""
        told = False
        commit_at = 0.0
        self._consumer.subscribe(
            [self._options.tickets], on_assign=self._assign, on_revoke=self._revoke, on_lost=self._lose
        )
        self._deliveries.start()
        try:
            while not stopping.is_set():
                self._take(self._consumer.poll(0.1))
                self._settle()
                if time.monotonic() >= commit_at:
                    self._commit(asynchronous=True)
                    commit_at = time.monotonic() + _COMMIT_EVERY_S
                if self._assigned and not told:
                    ready()
                    told = True
        finally:
            self._stop()

    def _hear(self) -> None:
        """Hears of each delivery when it happens: attempts wait for theirs. A thread of its own."""
        try:
            while not self._all_is_said.is_set():
                self._publisher.poll(_DELIVERIES_WAIT_S)
        except BaseException as error:
            self._failure = error

    def _take(self, message: Message | None) -> None:
        """One record, or what Kafka says instead of one."""
        if message is None:
            return
        error, number, offset = message.error(), message.partition(), message.offset()
        if error and error.code() != KafkaError._PARTITION_EOF:
            self._weigh(error)
        elif not self._ledger.has(number):
            return  # revoked meanwhile
        elif error:
            self._ledger.read_to(number, offset)
            self._ledger.caught_up(number)
            self._start(number)
        else:
            self._ledger.read_to(number, offset + 1)
            self._read(number, offset, message.value() or b"")

    def _weigh(self, error: KafkaError) -> None:
        text = error.str()
        if "fenced" in text:  # the client wraps the broker's code into its own _FATAL, and keeps the words
            agent = self._options.agent_id
            raise WorkerStopped(f"another worker runs as agent {agent}: give each one an agent id of its own")
        if error.fatal() or error.code() == KafkaError._FATAL:
            raise WorkerStopped(f"Kafka refuses to go on: {text}")
        log.warning("kafka_error", error=text)  # passing: the client tries again by itself

    def _read(self, number: int, offset: int, value: bytes) -> None:
        try:
            found = self._read_event(value, self._ledger.unfinished)
        except BadRecord as error:
            log.error("bad_event", partition=number, offset=offset, error=str(error))
            return
        except Unreadable as error:
            raise WorkerStopped(
                f"{self._options.tickets}, partition {number}, offset {offset}: {error}"
            ) from error
        match found:
            case Work():
                self._ledger.take(number, offset, found)
                self._start(number)
                if len(self._ledger) >= self._options.unfinished_max:
                    self._pause()
            case Said(event_type=event_type) if event_type == STARTED:
                for work in self._ledger.of_ticket(found.ticket_id, found.attempt):
                    work.started_at = 0 if work.begun else found.started_at
            case Said():
                self._end(found)

    def _start(self, number: int) -> None:
        for work in self._ledger.to_start(number):
            self._pool.submit(self._attempt, work)

    def _end(self, said: Said) -> None:
        """The log says that a ticket is over: whatever of it waits or runs here is no longer wanted."""
        for work in self._ledger.of_ticket(said.ticket_id, said.attempt):
            if said.event_type not in ("TicketCompleted", "TicketFailed"):  # those are our own words
                log.info(
                    "ticket_over", ticket_id=work.key[0], attempt=work.key[1], event_type=said.event_type
                )
            work.cancellation.ask()
            self._ledger.finish(work.key)

    def _pause(self) -> None:
        if not self._paused:
            self._ledger.all_caught_up()
            for place in self._consumer.assignment():
                self._start(place.partition)
            self._consumer.pause(self._consumer.assignment())
            self._paused = True

    def _attempt(self, work: Work) -> None:
        """Runs one ticket and reports it; in a thread of the pool."""
        if self._stopping or work.cancellation.asked:
            return

        def delivered(undelivered: str) -> None:
            self._note_delivery(undelivered)
            if not undelivered:
                self._over.put(work.key)

        told_of = {"neural_hive.ticket_id": work.key[0], "neural_hive.attempt": work.key[1]}
        cause = work.cause
        try:
            with doing(f"execute {work.dispatch.task_type}", cause.trace_id, cause.span_id, told_of) as told:
                report = self._report_of(work)
                told["neural_hive.outcome"] = report.ended
                if report.ended != "COMPLETED":
                    told["error"] = report.ended
                if not work.cancellation.asked:
                    self._reports.result(work, report, delivered)
        except BaseException as error:
            self._failure = error

    def _report_of(self, work: Work) -> Report:
        """Runs the ticket, if it can be run here, and has not been already."""
        earlier = self._begun.earlier(work)
        if earlier and (told := told_again(work, earlier)):
            return self._unrun(work, told)
        dispatch = work.dispatch
        if earlier:
            so_far = {"begun_at": earlier.begun_at, "is_announced": earlier.is_announced}
            dispatch = msgspec.structs.replace(dispatch, **so_far)
        prepared = self._prepare(dispatch, self._options.agent_id, self._options.task_types)
        if isinstance(prepared, Report):
            return self._unrun(work, prepared)
        assert prepared.order.lease is not None
        with worker_metrics.announcing(dispatch.task_type, prepared.executor):
            unbegun = self._starts.begin(work, dispatch, prepared.order.lease)
        if unbegun:
            return self._unrun(work, unbegun)
        worker_metrics.began(dispatch, prepared.executor, work.cause.occurred_at)
        with worker_metrics.running(dispatch.task_type, prepared.executor):
            report = self._executor.run(prepared.order, work.cancellation)
        worker_metrics.ended(dispatch.task_type, prepared.executor, report, prepared.order.time_limit_s)
        if not work.cancellation.asked:
            self._begun.ended(work, report)
        return report

    def _unrun(self, work: Work, report: Report) -> Report:
        """What is said of an attempt that is not run."""
        worker_metrics.ended(work.dispatch.task_type, worker_metrics.REFUSED, report)
        return report

    def _note_delivery(self, undelivered: str) -> None:
        if undelivered:
            self._failure = WorkerStopped(f"a report could not be delivered: {undelivered}")

    def _settle(self) -> None:
        """Takes note of what is over, and reads on when there is room."""
        if self._failure:
            raise self._failure
        self._finish_delivered()
        if self._paused and len(self._ledger) <= self._options.unfinished_max // 2:
            self._consumer.resume(self._consumer.assignment())
            self._paused = False

    def _finish_delivered(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._ledger.finish(self._over.get_nowait())

    def _commit(self, asynchronous: bool) -> None:
        moved = {n: o for n, o in self._ledger.committable().items() if self._committed.get(n) != o}
        if moved:
            wanted = [
                TopicPartition(self._options.tickets, number, offset) for number, offset in moved.items()
            ]
            done = self._consumer.commit(offsets=wanted, asynchronous=asynchronous)
            self._committed.update(moved)
            if not asynchronous:
                self._note_commit(None, done or [])

    def _note_commit(self, error: KafkaError | None, places: list[TopicPartition]) -> None:
        for place in places if error is None else ():
            if place.error is None:
                self._begun.forget(place.partition, place.offset)

    def _assign(self, _: Consumer, places: list[TopicPartition]) -> None:
        log.info("partitions_assigned", partitions=[place.partition for place in places])
        self._ledger.assign(place.partition for place in places)
        self._committed.clear()
        self._paused = False
        self._assigned = True

    def _revoke(self, _: Consumer, __: list[TopicPartition]) -> None:
        with contextlib.suppress(Exception):  # whoever has them next starts at an older offset: no harm
            self._commit(asynchronous=False)
        self._ledger.assign(())

    def _lose(self, _: Consumer, __: list[TopicPartition]) -> None:
        self._ledger.assign(())

    def _stop(self) -> None:
        """Lets running tickets end for a while; the others run again after the next start."""
        self._stopping = True
        limit = threading.Timer(self._options.grace_s, self._cancel_all)
        limit.start()
        self._pool.shutdown(wait=True, cancel_futures=True)
        limit.cancel()
        self._publisher.flush(5.0)
        self._all_is_said.set()
        self._deliveries.join()
        self._finish_delivered()
        with contextlib.suppress(Exception):  # Kafka may be gone: then more runs again
            self._commit(asynchronous=False)
        self._consumer.close()
        self._executor.close()

    def _cancel_all(self) -> None:
        for work in self._ledger.unfinished():
            work.cancellation.ask()

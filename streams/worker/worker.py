"""The worker: takes the tickets dispatched to its agent, executes them, reports what happened.

    execution.tickets  → TicketDispatched of our agent     → run the command
                       → TicketCancelled, TicketTimedOut … → end the command, report nothing
    execution.results  ← ReportStart, then ReportResult

A ticket is unfinished until its result is delivered. The committed offset never passes an unfinished ticket, so
after a crash it runs again; its result has the same message id, so that a repeat counts once. On start the log
is read to its end before anything runs: what the log knows to be over is not run again. A ticket that may be
delivered at most once never runs again, nor does one whose end was noted (`begun.py`). None begins before Kafka
has the word of its start (`starts.py`).
"""

import contextlib
import fcntl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import structlog
from confluent_kafka import KafkaError

from neural_hive.connectors.artifacts import ArtifactStore
from neural_hive.connectors.process_executor import Cancellation, Order, ProcessExecutor, Report
from neural_hive.connectors.publisher import Publisher
from neural_hive.connectors.tracing import doing
from neural_hive.schemas.codec import BadRecord
from neural_hive.streams.work_ledger import Work
from neural_hive.streams.work_reading import Reads, WorkReading, is_fatal
from neural_hive.streams.worker import metrics as worker_metrics
from neural_hive.streams.worker.begun import Begun, told_again
from neural_hive.streams.worker.events import STARTED, Reader, Said, Unreadable
from neural_hive.streams.worker.orders import Prepare, prepare
from neural_hive.streams.worker.reports import Reports
from neural_hive.streams.worker.starts import Starts

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
        agent_id = options.agent_id
        reads = Reads(options.tickets, f"worker.{agent_id}", options.unfinished_max, agent_id)
        self._reading = WorkReading(reads, kafka, self)
        self._ledger = self._reading.ledger
        self._stopping = False
        self._pool = ThreadPoolExecutor(options.concurrency, thread_name_prefix="ticket")
        self._deliveries = threading.Thread(target=self._hear, name="deliveries", daemon=True)
        self._all_is_said = threading.Event()

    def run(self, stopping: threading.Event, ready: Callable[[], None]) -> None:
        """Works until told to stop. Raises WorkerStopped: it cannot go on."""
        self._deliveries.start()
        try:
            self._reading.run(stopping, ready)
        finally:
            self._stop()

    def _hear(self) -> None:
        """Hears of each delivery when it happens: attempts wait for theirs. A thread of its own."""
        try:
            while not self._all_is_said.is_set():
                self._publisher.poll(_DELIVERIES_WAIT_S)
        except BaseException as error:
            self._reading.fail(error)

    def refused(self, error: KafkaError) -> Exception | None:
        """See Doer."""
        text = error.str()
        if "fenced" in text:  # the client wraps the broker's code into its own _FATAL, and keeps the words
            agent = self._options.agent_id
            return WorkerStopped(
                f"another worker runs as agent {agent}: give each one an agent id of its own"
            )
        return WorkerStopped(f"Kafka refuses to go on: {text}") if is_fatal(error) else None

    def read(self, partition: int, offset: int, value: bytes) -> Work | None:
        """See Doer. Raises WorkerStopped."""
        try:
            found = self._read_event(value, self._ledger.unfinished)
        except BadRecord as error:
            log.error("bad_event", partition=partition, offset=offset, error=str(error))
            return None
        except Unreadable as error:
            raise WorkerStopped(
                f"{self._options.tickets}, partition {partition}, offset {offset}: {error}"
            ) from error
        match found:
            case Work():
                return found
            case Said(event_type=event_type) if event_type == STARTED:
                for work in self._ledger.of_ticket(found.ticket_id, found.attempt):
                    work.started_at = 0 if work.begun else found.started_at
            case Said():
                self._end(found)
        return None

    def start(self, work: Work) -> None:
        """See Doer."""
        self._pool.submit(self._attempt, work)

    def settle(self) -> None:
        """See Doer: deliveries have a thread of their own."""

    def committed(self, partition: int, offset: int) -> None:
        """See Doer."""
        self._begun.forget(partition, offset)

    def _end(self, said: Said) -> None:
        """The log says that a ticket is over: whatever of it waits or runs here is no longer wanted."""
        for work in self._ledger.of_ticket(said.ticket_id, said.attempt):
            if said.event_type not in ("TicketCompleted", "TicketFailed"):  # those are our own words
                log.info(
                    "ticket_over", ticket_id=work.key[0], attempt=work.key[1], event_type=said.event_type
                )
            work.cancellation.ask()
            self._ledger.finish(work.key)

    def _attempt(self, work: Work) -> None:
        """Runs one ticket and reports it; in a thread of the pool."""
        if self._stopping or work.cancellation.asked:
            return

        def delivered(undelivered: str) -> None:
            self._note_delivery(undelivered)
            if not undelivered:
                self._reading.finish(work.key)

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
            self._reading.fail(error)

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
            self._reading.fail(WorkerStopped(f"a report could not be delivered: {undelivered}"))

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
        self._reading.close()
        self._executor.close()

    def _cancel_all(self) -> None:
        for work in self._ledger.unfinished():
            work.cancellation.ask()

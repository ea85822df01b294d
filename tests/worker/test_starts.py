"""No attempt begins before Kafka has the word of its start: who waits for it in vain may give it to somebody else."""

import signal
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from neural_hive.aggregates.vocabulary import DeliveryMode
from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.connectors.ports import free_ports
from neural_hive.connectors.process_executor import Lease, Report
from neural_hive.connectors.publisher import Publisher
from neural_hive.streams.work_ledger import Dispatch, Work
from neural_hive.streams.worker.begun import Begun, Earlier, told_again
from neural_hive.streams.worker.orders import lease_of, refusal
from neural_hive.streams.worker.reports import Reports
from neural_hive.streams.worker.starts import Starts
from tests.worker.conftest import Log, StartWorker, envelope
from tests.worker.test_worker import agent, wait_for_lines

MINUTE_US = 60_000_000


def now() -> int:
    return time.time_ns() // 1_000


def work_of(**changes: Any) -> Work:
    """An attempt that was dispatched; it may begin for a minute."""
    ticket_id = str(uuid.uuid4())
    whole: dict[str, Any] = {
        "ticket_id": ticket_id,
        "workflow_id": f"workflow of {ticket_id}",
        "task_id": "task",
        "task_type": "EXECUTE",
        "attempt": 1,
        "allocated_agent_id": "me",
        "command": ("true",),
        "parameters": {},
        "environment": {},
        "timeout_ms": 60_000,
        "deadline_at": 0,
        "inputs": (),
        "start_by": now() + MINUTE_US,
        **changes,
    }
    cause = envelope("TicketDispatched", ticket_id, whole["workflow_id"])
    return Work(Dispatch(**whole), cause, places=[(0, 7)])


class Bench:
    """Begins attempts by a broker, or by none; `folder` holds their marks."""

    def __init__(self, bootstrap: str, topic: str, folder: Path) -> None:
        self.publisher = Publisher({"bootstrap.servers": bootstrap}, "worker/me")
        self.folder = folder
        self.undelivered: list[str] = []
        reports = Reports(self.publisher, topic, "me")
        self._starts = Starts(Begun(folder), reports, lambda text: self.undelivered.append(text))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._hear)
        self._thread.start()

    def _hear(self) -> None:
        while not self._over.is_set():
            self.publisher.poll(0.05)

    def begin(self, work: Work, lease: Lease | None = None) -> Report | None:
        return self._starts.begin(work, work.dispatch, lease or lease_of(work.dispatch))

    def earlier(self, work: Work) -> Earlier | None:
        """What a worker knows that is started anew."""
        again = Work(work.dispatch, work.cause, places=work.places, started_at=work.started_at)
        return Begun(self.folder).earlier(again)

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        self.publisher.take_back(1)


@pytest.fixture
def cut_off(tmp_path: Path) -> Iterator[Bench]:
    """Whose broker does not answer."""
    [port] = free_ports(1)
    bench = Bench(f"127.0.0.1:{port}", "results", tmp_path / "marks")
    yield bench
    bench.close()


@pytest.fixture
def bench(log: Log, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(log.kafka["bootstrap.servers"], log.results, tmp_path / "marks")
    yield bench
    bench.close()


def test_what_kafka_has_not_heard_of_does_not_begin(cut_off: Bench) -> None:
    work = work_of(start_by=now() + 700_000, delivery_mode=DeliveryMode.AT_MOST_ONCE)
    started = time.monotonic()
    unbegun = cut_off.begin(work)
    assert unbegun is not None
    assert (unbegun.ended, "Kafka had no word of its start in time" in unbegun.error) == ("TIMED_OUT", True)
    assert 0.5 < time.monotonic() - started < 30
    earlier = cut_off.earlier(work)
    assert earlier is not None
    assert (earlier.may_have_run, earlier.is_announced) == (False, False)
    assert told_again(work, earlier) is None


def test_cancelling_ends_the_wait(cut_off: Bench) -> None:
    work = work_of()
    threading.Timer(0.2, work.cancellation.ask).start()
    started = time.monotonic()
    unbegun = cut_off.begin(work)
    assert unbegun is not None
    assert unbegun.ended == "CANCELLED"
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(
    ("delivery_mode", "then"),
    [("AT_MOST_ONCE", "publish a plan of what is left"), ("EXACTLY_ONCE", "ask for a retry if it has to be")],
)
def test_what_kafka_has_heard_of_begins_and_is_noted(
    bench: Bench, log: Log, delivery_mode: str, then: str
) -> None:
    work = work_of(delivery_mode=DeliveryMode(delivery_mode))
    assert bench.begin(work) is None
    assert bench.undelivered == [""]
    log.read(10)
    assert len(log.of(work.dispatch.ticket_id, "ReportStart")) == 1
    earlier = bench.earlier(work)
    assert earlier is not None
    assert (earlier.may_have_run, earlier.is_announced) == (True, True)
    told = told_again(work, earlier)
    assert told is not None
    assert (told.ended, then in told.error) == ("FAILED", True)
    assert told_again(work_of(), earlier) is None


def test_kafkas_clock_decides_and_not_the_workers(bench: Bench) -> None:
    work = work_of(start_by=now() - MINUTE_US)
    slow = Lease(time.monotonic() + 60, time.monotonic() + 120)  # as a clock that is behind makes it
    unbegun = bench.begin(work, slow)
    assert unbegun is not None
    assert unbegun.ended == "TIMED_OUT"
    assert bench.undelivered == [""]


def test_what_was_only_about_to_begin_may_begin_after_a_restart_unless_it_is_too_late(cut_off: Bench) -> None:
    work = work_of(start_by=now() + 300_000, delivery_mode=DeliveryMode.AT_MOST_ONCE)
    assert cut_off.begin(work) is not None
    earlier = cut_off.earlier(work)
    assert earlier is not None
    assert refusal(work.dispatch, "me", frozenset({"EXECUTE"})) is not None
    work.started_at = now()  # as the log tells: Kafka had it after all
    known = cut_off.earlier(work)
    assert known is not None
    assert (known.may_have_run, known.is_announced) == (False, True)


def test_without_its_broker_a_worker_begins_nothing(
    log: Log, kafka: EmbeddedKafka, start_worker: StartWorker, tmp_path: Path
) -> None:
    me, runs, gate = agent(), tmp_path / "runs", tmp_path / "gate"
    mine = {"workflow_id": "one", "start_by": now() + 600 * 1_000_000}
    first = log.dispatch(
        me, "sh", "-c", f"echo first >> {runs}; until test -e {gate}; do sleep 0.05; done", **mine
    )
    start_by = now() + 20_000_000
    second = log.dispatch(me, "sh", "-c", f"echo second >> {runs}", workflow_id="one", start_by=start_by)
    start_worker(me, concurrency=1)
    wait_for_lines(runs, 1)
    kafka.child(1).signal(signal.SIGSTOP)
    try:
        gate.touch()
        time.sleep(max(0.0, (start_by - now()) / 1_000_000) + 1)
        assert runs.read_text() == "first\n"
    finally:
        kafka.child(1).signal(signal.SIGCONT)
    assert log.result(first).payload["outcome"] == "COMPLETED"
    unbegun = log.result(second).payload
    assert unbegun["outcome"] == "TIMED_OUT"
    assert runs.read_text() == "first\n"

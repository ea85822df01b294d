"""Leases on the real broker: what is not begun, what is not begun twice, and what a restart does not lengthen."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from neural_hive.schemas.codec import Decoded
from tests.worker.conftest import Log, StartWorker
from tests.worker.test_worker import KILLED_WORKER, agent, wait_committed, wait_for_lines

Begin = Callable[..., subprocess.Popen[bytes]]


def now() -> int:
    return time.time_ns() // 1_000


@pytest.fixture
def begin(log: Log, tmp_path: Path) -> Iterator[Begin]:
    """Starts a worker as a process of its own, in the folder that `start_worker` uses too."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(me: str) -> subprocess.Popen[bytes]:
        arguments = (log.kafka["bootstrap.servers"], me, log.tickets, log.results, str(tmp_path / me))
        started.append(subprocess.Popen([sys.executable, "-c", KILLED_WORKER, *arguments]))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()


def run_and_kill(log: Log, begin: Begin, me: str, runs: Path, **changes: Any) -> str:
    """A ticket whose worker is killed while it runs; its id."""
    killed = begin(me)
    ticket = log.dispatch(me, "sh", "-c", f"echo $$ >> {runs}; exec sleep 300", **changes)
    wait_for_lines(runs, 1)
    while not log.of(ticket, "ReportStart"):
        log.read(0.2)
    killed.kill()
    killed.wait()
    return ticket


def started(log: Log, ticket: str, me: str) -> None:
    """What the orchestrator makes of the report of a start."""
    of = {"ticket_id": ticket, "workflow_id": f"workflow of {ticket}", "attempt": 1, "agent_id": me}
    log.event("TicketStarted", of | {"started_at": now(), "expires_at": now() + 60_000_000})


def assert_not_known(result: Decoded) -> None:
    assert result.payload["outcome"] == "FAILED"
    assert "it is not known how far it came" in result.payload["error"]


def test_a_ticket_is_not_begun_later_than_it_may(log: Log, start_worker: StartWorker) -> None:
    me = agent()
    late = log.dispatch(me, "true", start_by=now() - 1_000_000)
    good = log.dispatch(me, "true", start_by=now() + 600_000_000)
    start_worker(me)
    result = log.result(late).payload
    assert result["outcome"] == "TIMED_OUT"
    assert "should have been begun" in result["error"]
    assert log.result(good).payload["outcome"] == "COMPLETED"
    assert log.of(late, "ReportStart") == []


def test_what_may_run_at_most_once_is_not_begun_again(
    log: Log, start_worker: StartWorker, begin: Begin, tmp_path: Path
) -> None:
    me = agent()
    once = {"delivery_mode": "AT_MOST_ONCE", "start_by": now() + 600_000_000}
    ticket = run_and_kill(log, begin, me, tmp_path / "runs", **once)
    (mark,) = (tmp_path / me / "begun").iterdir()
    assert mark.name == f"{ticket}.1.json"
    start_worker(me)
    assert_not_known(log.result(ticket))
    assert len(log.of(ticket, "ReportStart")) == 1
    assert len(wait_for_lines(tmp_path / "runs", 1)) == 1
    wait_committed(log, me, 1)
    until = time.monotonic() + 60
    while mark.exists():
        assert time.monotonic() < until, "the mark is kept though its dispatch is never read again"
        time.sleep(0.1)


def test_where_the_marks_are_lost_the_log_still_tells_of_starts(
    log: Log, start_worker: StartWorker, begin: Begin, tmp_path: Path
) -> None:
    me = agent()
    ticket = run_and_kill(log, begin, me, tmp_path / "runs", delivery_mode="AT_MOST_ONCE")
    started(log, ticket, me)
    for mark in (tmp_path / me / "begun").iterdir():
        mark.unlink()
    start_worker(me)
    assert_not_known(log.result(ticket))
    assert len(wait_for_lines(tmp_path / "runs", 1)) == 1


def test_a_restart_does_not_renew_a_lease(
    log: Log, start_worker: StartWorker, begin: Begin, tmp_path: Path
) -> None:
    me = agent()
    ticket = run_and_kill(log, begin, me, tmp_path / "runs", timeout_ms=3_000)
    time.sleep(3)
    start_worker(me)
    result = log.result(ticket).payload
    assert result["outcome"] == "TIMED_OUT"
    assert "its worker ended while it ran" in result["error"]
    assert len(wait_for_lines(tmp_path / "runs", 1)) == 1


def test_what_was_begun_in_time_goes_on_after_a_restart_within_its_lease(
    log: Log, start_worker: StartWorker, begin: Begin, tmp_path: Path
) -> None:
    me = agent()
    start_by = now() + 15_000_000
    ticket = run_and_kill(log, begin, me, tmp_path / "runs", timeout_ms=40_000, start_by=start_by)
    time.sleep(max(0.0, (start_by - now()) / 1_000_000))
    start_worker(me)
    result = log.result(ticket).payload
    assert result["outcome"] == "TIMED_OUT"
    assert "the command took longer than its limit" in result["error"]
    assert len(wait_for_lines(tmp_path / "runs", 2)) == 2
    assert result["completed_at"] - result["started_at"] < 39_000_000  # what was left of its lease


def test_a_worker_that_is_stopped_ends_its_ticket_all_the_same(
    log: Log, begin: Begin, tmp_path: Path
) -> None:
    me = agent()
    worker = begin(me)
    command = f"echo $$ >> {tmp_path}/runs; exec sleep 300"
    ticket = log.dispatch(me, "sh", "-c", command, timeout_ms=3_000)
    (task,) = wait_for_lines(tmp_path / "runs", 1)
    os.kill(worker.pid, signal.SIGSTOP)
    until = time.monotonic() + 60
    while psutil.pid_exists(int(task)):
        assert time.monotonic() < until, "the task outlived its lease"
        time.sleep(0.05)
    os.kill(worker.pid, signal.SIGCONT)
    assert log.result(ticket).payload["outcome"] == "TIMED_OUT"

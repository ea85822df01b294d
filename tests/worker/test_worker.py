"""The worker on the real broker: what it runs, what it reports, and what a crash leaves for the next start."""

import subprocess
import sys
import time
import uuid
from pathlib import Path

import psutil
from prometheus_client import REGISTRY

from neural_hive.schemas.catalogue import registered
from neural_hive.streams.worker.worker import WorkerStopped
from tests.worker.conftest import Log, StartWorker


def agent() -> str:
    return f"agent-{uuid.uuid4().hex[:8]}"


def wait_for_lines(file: Path, count: int) -> list[str]:
    until = time.monotonic() + 60
    while not file.exists() or len(file.read_text().splitlines()) < count:
        assert time.monotonic() < until, f"{file} has not {count} lines"
        time.sleep(0.02)
    return file.read_text().splitlines()


def wait_committed(log: Log, agent_id: str, offset: int) -> None:
    until = time.monotonic() + 90
    while (found := log.committed(agent_id)) != offset:
        assert time.monotonic() < until, f"committed {found}, expected {offset}"
        time.sleep(0.2)


def over(log: Log, ticket_id: str, event_type: str = "TicketCancelled", **more: object) -> None:
    payload = {"ticket_id": ticket_id, "workflow_id": f"workflow of {ticket_id}", **more}
    if event_type == "TicketCancelled":
        payload |= {"reason": "asked", "cancelled_at": 1}
    log.event(event_type, payload)


def test_a_ticket_runs_and_is_reported(log: Log, start_worker: StartWorker) -> None:
    me = agent()
    script = 'echo "of=$NEURAL_HIVE_TASK_ID" > $NEURAL_HIVE_OUTPUTS; echo made > $NEURAL_HIVE_ARTIFACTS/file'
    ticket = log.dispatch(me, "sh", "-c", script)
    start_worker(me)
    result = log.result(ticket)
    assert result.payload["outcome"] == "COMPLETED"
    assert result.payload["agent_id"] == me
    assert result.payload["outputs"] == {"of": "task"}
    assert [artifact["name"] for artifact in result.payload["artifacts"]] == ["file"]
    assert result.payload["completed_at"] >= result.payload["started_at"]
    assert result.head.routing_id == f"workflow of {ticket}"
    assert result.head.trace_id == "0" * 31 + "1"
    assert len(log.of(ticket, "ReportStart")) == 1
    wait_committed(log, me, 1)


def test_tickets_of_other_agents_are_left_alone(log: Log, start_worker: StartWorker) -> None:
    me = agent()
    other = log.dispatch("somebody else", "true")
    mine = log.dispatch(me, "true")
    start_worker(me)
    log.result(mine)
    wait_committed(log, me, 2)
    log.read(0.2)
    assert log.of(other, "ReportResult") == log.of(other, "ReportStart") == []


def test_what_it_cannot_run_is_refused_with_the_reason(log: Log, start_worker: StartWorker) -> None:
    me = agent()
    deploy = log.dispatch(me, "true", task_type="DEPLOY")
    nothing = log.dispatch(me)
    late = log.dispatch(me, "true", deadline_at=1)
    start_worker(me)
    refused = log.result(deploy).payload
    assert refused["outcome"] == "FAILED"
    assert refused["error"] == f"agent {me} cannot run DEPLOY tickets; it can run: BUILD, EXECUTE"
    assert "no command" in log.result(nothing).payload["error"]
    assert log.result(late).payload["outcome"] == "TIMED_OUT"
    assert log.of(deploy, "ReportStart") == []


def test_a_ticket_without_a_command_runs_by_its_type(
    log: Log, start_worker: StartWorker, tmp_path: Path
) -> None:
    me = agent()
    (tmp_path / "project").mkdir()
    ended = "neural_hive_attempts_total"
    labels = {"task_type": "BUILD", "executor": "wheel", "outcome": "FAILED"}
    before = REGISTRY.get_sample_value(ended, labels) or 0.0
    ticket = log.dispatch(me, task_type="BUILD", parameters={"source": str(tmp_path / "project")})
    start_worker(me)
    result = log.result(ticket).payload
    assert (result["outcome"], result["exit_code"]) == ("FAILED", 2)
    assert result["error"].endswith("the source holds neither pyproject.toml nor setup.py")
    assert [artifact["name"] for artifact in result["artifacts"]] == ["output.log"]
    assert REGISTRY.get_sample_value(ended, labels) == before + 1
    running = {"task_type": "BUILD", "executor": "wheel"}
    assert REGISTRY.get_sample_value("neural_hive_attempts_running", running) == 0


def test_the_time_limit_is_reported(log: Log, start_worker: StartWorker) -> None:
    me = agent()
    ticket = log.dispatch(me, "sleep", "300", timeout_ms=300)
    start_worker(me)
    result = log.result(ticket).payload
    assert result["outcome"] == "TIMED_OUT"
    assert "0.3 s" in result["error"]


def test_what_the_log_knows_to_be_over_does_not_run(
    log: Log, start_worker: StartWorker, tmp_path: Path
) -> None:
    me = agent()
    ran = tmp_path / "ran"
    cancelled = log.dispatch(me, "sh", "-c", f"echo cancelled >> {ran}")
    over(log, cancelled)
    timed_out = log.dispatch(me, "sh", "-c", f"echo timed out >> {ran}")
    over(log, timed_out, "TicketTimedOut", attempt=1, agent_id=me, timed_out_at=1, error="late")
    again = log.dispatch(me, "sh", "-c", f"echo again >> {ran}", ticket_id=timed_out, attempt=2)
    start_worker(me)
    assert log.result(again).payload["attempt"] == 2
    wait_committed(log, me, 5)
    assert ran.read_text() == "again\n"


def test_cancelling_ends_a_running_ticket_without_a_report(
    log: Log, start_worker: StartWorker, tmp_path: Path
) -> None:
    me = agent()
    start_worker(me)
    ticket = log.dispatch(me, "sh", "-c", f"echo up >> {tmp_path}/up; exec sleep 300")
    wait_for_lines(tmp_path / "up", 1)
    over(log, ticket)
    wait_committed(log, me, 2)
    log.read(0.2)
    assert log.of(ticket, "ReportResult") == []


def test_an_unfinished_ticket_holds_the_offset_and_runs_again_after_a_stop(
    log: Log, start_worker: StartWorker, tmp_path: Path
) -> None:
    me = agent()
    gate = tmp_path / "gate"
    first = start_worker(me)
    slow = log.dispatch(me, "sh", "-c", f"echo run >> {tmp_path}/runs; test -e {gate} || exec sleep 300")
    wait_for_lines(tmp_path / "runs", 1)
    quick = log.dispatch(me, "true", workflow_id=f"workflow of {slow}")
    log.result(quick)
    first.stop()
    assert first.failure is None
    assert log.committed(me) == 0
    gate.touch()
    start_worker(me)
    assert log.result(slow).payload["outcome"] == "COMPLETED"
    # The log does not say that the quick one is over, so its result is told again, under the same id.
    again = log.result(quick, count=2)
    first_told = log.of(quick, "ReportResult")[0]
    assert again.head.message_id == first_told.head.message_id
    assert again.payload == first_told.payload
    assert len(log.of(quick, "ReportStart")) == 1
    wait_committed(log, me, 2)
    assert len(wait_for_lines(tmp_path / "runs", 2)) == 2
    assert list((tmp_path / me / "begun").iterdir()) == []


def test_a_repeated_dispatch_runs_once(log: Log, start_worker: StartWorker, tmp_path: Path) -> None:
    me = agent()
    start_worker(me).wait_ready()
    command = ("sh", "-c", f"echo run >> {tmp_path}/runs; sleep 1")
    ticket = log.dispatch(me, *command)
    log.dispatch(me, *command, ticket_id=ticket)
    wait_committed(log, me, 2)
    assert len(wait_for_lines(tmp_path / "runs", 1)) == 1


def test_more_than_it_may_hold_waits_in_the_log(log: Log, start_worker: StartWorker) -> None:
    me = agent()
    tickets = [log.dispatch(me, "sleep", "0.05") for _ in range(40)]
    start_worker(me, unfinished_max=4, concurrency=2)
    for ticket in tickets:
        assert log.result(ticket).payload["outcome"] == "COMPLETED"
        assert len(log.of(ticket, "ReportResult")) == 1
    wait_committed(log, me, 40)


def test_no_more_than_its_concurrency_runs_at_once(
    log: Log, start_worker: StartWorker, tmp_path: Path
) -> None:
    me = agent()
    script = f"echo + >> {tmp_path}/runs; sleep 0.2; echo - >> {tmp_path}/runs"
    tickets = [log.dispatch(me, "sh", "-c", script) for _ in range(6)]
    start_worker(me, concurrency=3)
    for ticket in tickets:
        log.result(ticket)
    running = most = 0
    for line in wait_for_lines(tmp_path / "runs", 12):
        running += 1 if line == "+" else -1
        most = max(most, running)
    assert most == 3


def test_a_bad_record_does_not_stop_it(log: Log, start_worker: StartWorker) -> None:
    me = agent()
    known = next(row.id for row in registered().values() if row.name == "TicketDispatched")
    log._producer.produce(log.tickets, value=b"\0" + known.to_bytes(4, "big") + b"nonsense", partition=0)
    log._producer.produce(log.tickets, value=None, partition=0)
    start_worker(me)
    assert log.result(log.dispatch(me, "true")).payload["outcome"] == "COMPLETED"


def test_a_second_worker_of_the_same_agent_ends_the_first(log: Log, start_worker: StartWorker) -> None:
    me = agent()
    first = start_worker(me)
    first.wait_ready()
    second = start_worker(me)
    second.wait_ready()
    first.join()
    assert isinstance(first.failure, WorkerStopped)
    assert "another worker runs as agent" in str(first.failure)
    assert log.result(log.dispatch(me, "true")).payload["outcome"] == "COMPLETED"


KILLED_WORKER = """
import sys, threading
from pathlib import Path
from neural_hive.connectors.artifacts import ArtifactStore
from neural_hive.connectors.process_executor import ProcessExecutor
from neural_hive.streams.worker.worker import Options, Worker
from neural_hive.streams.worker.begun import Begun
bootstrap, agent, tickets, results, folder = sys.argv[1:]
executor = ProcessExecutor(Path(folder) / "attempts", ArtifactStore(Path(folder) / "store"))
options = Options(agent, frozenset({"EXECUTE"}), tickets=tickets, results=results)
begun = Begun(Path(folder) / "begun")
Worker(options, {"bootstrap.servers": bootstrap}, executor, begun=begun).run(threading.Event(), lambda: None)
"""


def test_kill_9_leaves_no_process_and_the_ticket_runs_again(
    log: Log, start_worker: StartWorker, tmp_path: Path
) -> None:
    me = agent()
    bootstrap, folder = log.kafka["bootstrap.servers"], str(tmp_path / me)
    arguments = (bootstrap, me, log.tickets, log.results, folder)
    killed = subprocess.Popen([sys.executable, "-c", KILLED_WORKER, *arguments])
    script = f"setsid sleep 300 & echo $! >> {tmp_path}/pids; test $(wc -l < {tmp_path}/pids) = 2 || wait"
    ticket = log.dispatch(me, "sh", "-c", script)
    (daemon,) = wait_for_lines(tmp_path / "pids", 1)
    killed.kill()
    killed.wait()
    until = time.monotonic() + 90
    while psutil.pid_exists(int(daemon)):
        assert time.monotonic() < until, "what the task had started outlived the worker"
        time.sleep(0.02)
    started = time.monotonic()
    start_worker(me)
    result = log.result(ticket)
    assert result.payload["outcome"] == "COMPLETED", result.payload
    assert time.monotonic() - started < 60  # it need not wait for the dead member's session
    assert len(log.of(ticket, "ReportResult")) == 1
    wait_committed(log, me, 1)
    assert list((tmp_path / me / "attempts").iterdir()) == []

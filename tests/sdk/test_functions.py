"""Functions as executors: what they are given, what becomes of what they return, raise, or never do."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from neural_hive.connectors.artifacts import ArtifactStore
from neural_hive.connectors.process_executor import Cancellation, Report
from neural_hive.sdk.agent import AgentConfig, BadAgent
from neural_hive.sdk.functions import FunctionExecutor, Functions
from neural_hive.sdk.ticket import Ticket
from neural_hive.sdk.worker import Agent
from neural_hive.streams.work_ledger import Dispatch

EXECUTE = frozenset({"EXECUTE", "DEPLOY"})


class Bench:
    """Runs dispatches by functions, without a broker."""

    def __init__(self, folder: Path, capacity: int = 2) -> None:
        self.functions = Functions()
        self.store = ArtifactStore(folder / "store")
        self.attempts = folder / "attempts"
        self.offers: list[int] = []
        self.executor = FunctionExecutor(
            self.functions, self.attempts, self.store, capacity, self.offers.append
        )

    def run(self, function: Any, cancellation: Cancellation | None = None, **changes: Any) -> Report:
        self.functions.execute["EXECUTE"] = function
        prepared = self.functions.prepare(dispatch(**changes), "me", EXECUTE)
        if isinstance(prepared, Report):
            return prepared
        return self.executor.run(prepared.order, cancellation or Cancellation())


def dispatch(**changes: Any) -> Dispatch:
    whole: dict[str, Any] = {
        "ticket_id": "ticket-1",
        "workflow_id": "workflow-1",
        "task_id": "task",
        "task_type": "EXECUTE",
        "attempt": 2,
        "allocated_agent_id": "me",
        "command": ("greet",),
        "parameters": {"name": "hive"},
        "environment": {},
        "timeout_ms": 60_000,
        "deadline_at": 0,
        "inputs": (),
        **changes,
    }
    return Dispatch(**whole)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    eventually(lambda: made.executor.telemetry().load == 0)
    made.executor.close()
    assert not made.attempts.exists()


def eventually(look: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not look():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_what_it_returns_are_outputs_and_what_it_keeps_are_artifacts(bench: Bench) -> None:
    def greet(ticket: Ticket) -> dict[str, object]:
        (ticket.folder / "card.txt").write_text("hello")
        ticket.keep(ticket.folder / "card.txt", "cards/card.txt")
        assert ticket.fencing_token == "ticket-1:2"
        assert 50 < ticket.remaining_s <= 60
        return {"said": f"Hello, {ticket.parameters['name']}", "count": 3, "ratio": 0.5}

    report = bench.run(greet)
    assert (report.ended, report.exit_code, report.error) == ("COMPLETED", None, "")
    assert report.outputs == {"said": "Hello, hive", "count": "3", "ratio": "0.5"}
    assert [(file.name, file.size_bytes) for file in report.artifacts] == [("cards/card.txt", 5)]
    bench.store.fetch(report.artifacts[0].sha256, bench.attempts / "again")
    assert (bench.attempts / "again").read_text() == "hello"
    assert not (bench.attempts / "ticket-1.2").exists()

    def read(ticket: Ticket) -> dict[str, str]:
        by_name = ticket.input("cards/card.txt")
        assert by_name == ticket.input(report.artifacts[0].uri)
        return {"text": by_name.read_text()}

    assert bench.run(read, inputs=report.artifacts).outputs == {"text": "hello"}
    assert bench.run(lambda _: None).ended == "COMPLETED"


@pytest.mark.parametrize(
    ("function", "error"),
    [
        (lambda _: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda _: exit(3), "SystemExit: 3"),
        (lambda _: "text", "the function returned a value of type str; it must return its outputs"),
        (lambda _: {"a": ["b"]}, "output 'a' is a value of type list"),
        (lambda _: {1: "b"}, "output 1 is a value of type str"),
        (lambda _: {"a": "x" * 70_000}, "its outputs take 70,001 bytes, more than 65,536"),
        (lambda t: t.input("wheel"), "there is no input 'wheel'; there are: none"),
        (lambda t: t.keep("/dev/null"), "ArtifactError: null cannot be kept: it is no regular file"),
    ],
)
def test_what_goes_wrong_fails_the_ticket_with_the_reason(bench: Bench, function: Any, error: str) -> None:
    report = bench.run(function)
    assert report.ended == "FAILED"
    assert error in report.error
    assert bench.executor.telemetry().success_rate == 0


def test_who_runs_too_long_is_told_times_out_and_keeps_its_slot(bench: Bench) -> None:
    told = threading.Event()
    gate = threading.Event()

    def endless(ticket: Ticket) -> None:
        assert ticket.sleep(60)
        told.set()
        gate.wait(60)

    started = time.monotonic()
    for _ in range(2):
        report = bench.run(endless, timeout_ms=200)
        assert (report.ended, report.error) == (
            "TIMED_OUT",
            "the function took longer than its limit of 0.2 s",
        )
    assert time.monotonic() - started < 30
    assert told.wait(30)
    assert bench.offers == [1, 0]
    full = bench.run(lambda _: None, timeout_ms=200)
    assert (full.ended, "all 2 slots are held" in full.error) == ("FAILED", True)
    assert bench.executor.telemetry().load == 1
    soon = time.time_ns() // 1_000 + 300_000
    late = bench.run(lambda _: None, start_by=soon)
    assert (late.ended, "all 2 slots are held" in late.error) == ("FAILED", True)
    gate.set()
    eventually(lambda: bench.run(lambda _: None).ended == "COMPLETED")
    eventually(lambda: bench.offers == [1, 0, 1, 2])


def test_what_ends_after_its_time_has_timed_out(bench: Bench) -> None:
    def late(ticket: Ticket) -> dict[str, str]:
        while not ticket.cancelled:
            time.sleep(0.001)
        return {"too": "late"}

    report = bench.run(late, timeout_ms=100)
    assert (report.ended, report.outputs) == ("TIMED_OUT", {})
    assert bench.offers == []  # it ended when it was told to


def test_cancelling_is_seen_by_the_function_and_ends_the_wait(bench: Bench) -> None:
    begun, ended = threading.Event(), threading.Event()
    cancellation = Cancellation()

    def patient(ticket: Ticket) -> None:
        begun.set()
        assert not ticket.cancelled
        assert ticket.sleep(60)
        ended.set()

    reports: list[Report] = []
    thread = threading.Thread(target=lambda: reports.append(bench.run(patient, cancellation)))
    thread.start()
    assert begun.wait(30)
    cancellation.ask()
    thread.join(30)
    assert [report.ended for report in reports] == ["CANCELLED"]
    assert ended.wait(30)


def test_what_there_is_no_function_for_is_refused(bench: Bench) -> None:
    refused = bench.run(lambda _: None, task_type="DEPLOY")
    assert refused.error == "agent me has no function that executes DEPLOY tickets"
    refused = bench.run(lambda _: None, task_type="TEST")
    assert refused.error == "agent me cannot run TEST tickets; it can run: DEPLOY, EXECUTE"
    refused = bench.run(lambda _: None, compensates=True)
    assert refused.error == "agent me has no function that undoes EXECUTE tickets"
    assert bench.run(lambda _: None, deadline_at=1).ended == "TIMED_OUT"
    assert bench.run(lambda _: None, start_by=1).ended == "TIMED_OUT"
    bench.functions.compensate["EXECUTE"] = lambda ticket: {"undone": ticket.compensates}
    assert bench.run(lambda _: None, compensates=True).outputs == {"undone": "True"}


def test_an_agent_that_cannot_be_run_says_why() -> None:
    with pytest.raises(BadAgent, match="not 'no spaces'"):
        Agent("no spaces")
    with pytest.raises(BadAgent, match="not 'a b'"):
        Agent("a", capabilities="a b")
    with pytest.raises(BadAgent, match="65 capabilities are more than 64"):
        AgentConfig("a", capabilities=tuple(f"c{n}" for n in range(65)))
    with pytest.raises(BadAgent, match="capacity must be 1 to 10,000"):
        AgentConfig("a", capacity=0)
    with pytest.raises(BadAgent, match="no task type 'SING'; there are: BUILD"):
        Agent("a", task_types=("SING",))
    with pytest.raises(BadAgent, match="no agent type 'KING'; there are: WORKER"):
        Agent("a", agent_type="KING")
    with pytest.raises(BadAgent, match="capacity must be 1 to 256"):
        Agent("a", capacity=257)
    agent = Agent("a", task_types=("BUILD", "TEST"))
    with pytest.raises(BadAgent, match="can do nothing"):
        agent.run()
    agent.execute("BUILD")(lambda _: None)
    with pytest.raises(BadAgent, match="no function for TEST"):
        agent.run()
    with pytest.raises(BadAgent, match="have a function already: <lambda>"):
        agent.execute("BUILD")

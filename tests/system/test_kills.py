"""Recorded workflows run to their end, in order and once, while every process is killed in turn."""

import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from neural_hive.schemas.codec import Decoded
from neural_hive.schemas.envelope import Envelope
from tests.system.hive import Hive, eventually

ROOT = Path(__file__).parents[2]
RECORDINGS = Path(os.environ.get("NEURAL_HIVE_TEST_DATA") or ROOT.parent / "shared" / "data") / "wfinstances"
TIME_SCALE = 0.008  # the longest chain of tasks takes half a minute, all tasks one after the other two
VICTIMS = (
    *("worker", "processor-orchestrator", "processor", "clickhouse", "kafka-1", "projector"),
    *("schema-registry", "sealer"),
)
PAUSE_S = 1.0  # between one killed process' return and the next kill


@pytest.fixture
def hive(tmp_path: Path) -> Iterator[Hive]:
    system = Hive(tmp_path)
    try:
        yield system
    finally:
        system.run("down")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_recorded_workflows_survive_a_kill_of_every_process(hive: Hive) -> None:
    files = sorted(RECORDINGS.glob("*.json"))
    if not files:
        pytest.skip(f"no recordings in {RECORDINGS}; NEURAL_HIVE_TEST_DATA names another folder")
    hive.up()
    tasks = {published(hive, file): task_count(file) for file in files}

    for victim in VICTIMS:
        pid = hive.signal(victim)
        hive.wait_replaced(victim, pid)
        time.sleep(PAUSE_S)
    eventually(lambda: len(ended(hive)) == len(files), timeout_s=300)

    assert ended(hive) == dict.fromkeys(tasks, "WorkflowCompleted")
    repeat_a_result(hive)
    check_log(hive, tasks)
    check_tables(hive, tasks)
    assert hive.log("dead.letters") == []
    report = hive.verify()
    assert report["exit_code"] == 0, report
    hive.down()
    assert hive.left_behind() == []


def published(hive: Hive, file: Path) -> str:
    """Publishes a recording; its workflow's id."""
    done = hive.run("import", "wfformat", str(file), "--time-scale", str(TIME_SCALE), "--publish")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def task_count(file: Path) -> int:
    return len(json.loads(file.read_text())["workflow"]["specification"]["tasks"])


def ended(hive: Hive) -> dict[str, str]:
    """How each workflow that is over has ended, as the log says."""
    ends = {"WorkflowCompleted", "WorkflowFailed", "WorkflowCancelled", "PlanRejected"}
    events = [event for _, event in hive.log("orchestration.workflows") if event.schema.name in ends]
    assert len(events) == len({head(event).aggregate_id for event in events}), "a workflow ended twice"
    return {head(event).aggregate_id: event.schema.name for event in events}


def check_log(hive: Hive, tasks: dict[str, int]) -> None:
    """Every ticket completed once, at its first attempt, and was begun after all that it depends on was done."""
    steps: dict[str, list[str]] = defaultdict(list)
    needs: dict[str, list[str]] = {}
    workflows: Counter[str] = Counter()
    done: set[str] = set()
    for _, event in hive.log("execution.tickets"):
        name, ticket_id, payload = event.schema.name, head(event).aggregate_id, event.payload
        steps[ticket_id].append(name)
        if name == "TicketCreated":
            needs[ticket_id] = payload["dependencies"]
            workflows[payload["workflow_id"]] += 1
        elif name in ("TicketDispatched", "TicketStarted"):
            assert done.issuperset(needs[ticket_id]), f"{ticket_id} went ahead of what it waits for"
        elif name == "TicketCompleted":
            assert payload["attempt"] == 1
            done.add(ticket_id)
    assert workflows == tasks
    assert needs.keys() == done == steps.keys()
    right = ["TicketCreated", "TicketReady", "TicketDispatched", "TicketStarted", "TicketCompleted"]
    choices = ("TicketAllocated", "TicketUnallocated")  # an agent that was killed may have to be chosen again
    taken = {ticket: [name for name in names if name not in choices] for ticket, names in steps.items()}
    assert {ticket: names for ticket, names in taken.items() if names != right} == {}
    check_results(hive, done)
    eventually(lambda: slots_are_back(hive, done))


def slots_are_back(hive: Hive, tickets: set[str]) -> bool:
    """Whether every slot was given back; none was given that the agent does not have."""
    last: dict[str, str] = {}
    granted: Counter[str] = Counter()
    for _, event in hive.log("registry.slots"):
        last[head(event).aggregate_id] = event.schema.name
        if event.schema.name == "SlotGranted":
            assert event.payload["held"] <= event.payload["capacity"]
            granted[event.payload["ticket_id"]] += 1
    assert granted.keys() == tickets
    return not {"SlotRequested", "SlotGranted"} & set(last.values())


def repeat_a_result(hive: Hive) -> None:
    """Sends a result again, as a worker does that was killed before it knew that the first one had arrived."""
    first = next(record for record, m in hive.log("execution.results") if m.schema.name == "ReportResult")
    producer = Producer(hive.kafka())
    producer.produce(first.topic, first.value, first.key, first.partition)
    assert producer.flush(30) == 0


def check_results(hive: Hive, tickets: set[str]) -> None:
    """Every ticket has a result; one that is there twice has the same id (and `check_log` finds it once)."""
    results = [
        message for _, message in hive.log("execution.results") if message.schema.name == "ReportResult"
    ]
    assert {message.payload["ticket_id"] for message in results} == tickets
    assert len({message.head.message_id for message in results}) == len(tickets)  # type: ignore[union-attr]


def check_tables(hive: Hive, tasks: dict[str, int]) -> None:
    """The same in SQL, once the projector has caught up."""
    sql = "SELECT workflow_id AS id, count() AS n FROM tickets WHERE status = 'COMPLETED' GROUP BY id"
    eventually(lambda: counted(hive.rows(sql)) == tasks)
    assert hive.rows("SELECT ticket_id FROM tickets WHERE status != 'COMPLETED' OR attempt != 1") == []
    early = """
        SELECT after.ticket_id FROM tickets AS after ARRAY JOIN dependencies AS needed
        INNER JOIN tickets AS before ON before.ticket_id = needed
        WHERE after.started_at < before.finished_at
    """
    assert hive.rows(early) == []
    doubled = """
        SELECT ticket_id FROM ticket_history WHERE status = 'COMPLETED' GROUP BY ticket_id HAVING count() != 1
    """
    assert hive.rows(doubled) == []
    sql = "SELECT workflow_id AS id, completed_count AS n FROM workflows WHERE status = 'COMPLETED'"
    eventually(lambda: counted(hive.rows(sql)) == tasks)


def counted(rows: list[dict[str, Any]]) -> dict[str, int]:
    return {row["id"]: int(row["n"]) for row in rows}


def head(event: Decoded) -> Envelope:
    assert isinstance(event.head, Envelope)
    return event.head

"""What goes wrong is tried again or undone, and people pause, resume and stop: on a whole system."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.hive import Hive, eventually

RETRIED = """
tasks:
  - task_id: second-try
    max_retries: 2
    compensation: ["true"]
    command: [sh, -c, 'test "$NEURAL_HIVE_ATTEMPT" -ge 2']
  - {task_id: hopeless, dependencies: [second-try], max_retries: 1, command: ["false"]}
  - {task_id: never, dependencies: [hopeless], command: ["true"]}
"""
LONG = """
tasks:
  - {task_id: first, command: [sh, -c, 'until [ -e %s ]; do sleep 0.2; done']}
  - {task_id: then, dependencies: [first], command: [sleep, "600"]}
"""


@pytest.fixture
def hive(tmp_path: Path) -> Iterator[Hive]:
    system = Hive(tmp_path / "data")
    try:
        yield system
    finally:
        system.run("down")


def status(hive: Hive, workflow_id: str) -> str:
    rows = hive.rows(f"SELECT status FROM workflows WHERE workflow_id = '{workflow_id}'")
    return str(rows[0]["status"]) if rows else ""


def tickets(hive: Hive, workflow_id: str) -> dict[str, tuple[str, int]]:
    sql = f"SELECT task_id, status, attempt FROM tickets WHERE workflow_id = '{workflow_id}'"
    return {row["task_id"]: (row["status"], row["attempt"] or 0) for row in hive.rows(sql)}


def published(hive: Hive, plan: Path, *options: str) -> str:
    done = hive.run("publish", "plan", str(plan), *options)
    assert done.returncode == (1 if options else 0), done.stderr
    return done.stdout.split()[0] if not options else ""


def asked(hive: Hive, command: str, workflow_id: str) -> None:
    done = hive.run("publish", "command", command, workflow_id, "--reason", "a test", "--by", "ann")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_retries_and_signals(hive: Hive, tmp_path: Path) -> None:
    hive.up()
    retried, gate = tmp_path / "retried.yaml", tmp_path / "gate"
    retried.write_text(RETRIED)
    published(hive, retried, "--wait")
    ended = {"second-try": ("COMPENSATED", 3), "hopeless": ("FAILED", 2), "never": ("CANCELLED", 0)}
    (row,) = eventually(lambda: hive.rows("SELECT workflow_id FROM workflows WHERE status = 'FAILED'"))
    eventually(lambda: tickets(hive, row["workflow_id"]) == ended)

    long = tmp_path / "long.yaml"
    long.write_text(LONG % gate)
    workflow_id = published(hive, long)
    eventually(lambda: tickets(hive, workflow_id).get("first") == ("RUNNING", 1))
    asked(hive, "pause", workflow_id)
    eventually(lambda: status(hive, workflow_id) == "PAUSED")
    gate.touch()
    eventually(lambda: tickets(hive, workflow_id) == {"first": ("COMPLETED", 1), "then": ("READY", 0)})
    asked(hive, "resume", workflow_id)
    eventually(lambda: tickets(hive, workflow_id)["then"] == ("RUNNING", 1))
    asked(hive, "cancel", workflow_id)
    eventually(lambda: status(hive, workflow_id) == "CANCELLED")
    asked(hive, "resume", workflow_id)
    refused = "SELECT event_type FROM events WHERE event_type = 'WorkflowCommandRefused'"
    eventually(lambda: hive.rows(f"{refused} AND aggregate_id = '{workflow_id}'"))

    assert hive.log("dead.letters") == []
    report = hive.verify()
    assert report["exit_code"] == 0, report
    hive.down()
    assert hive.left_behind() == []

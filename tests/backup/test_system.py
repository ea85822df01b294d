"""A whole system is saved in the middle of a workflow, restored elsewhere by its user's commands, and goes on there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.hive import Hive, eventually

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

DONE = "tasks: [{task_id: build, command: [echo, done]}]"
UNDER_WAY = """
tasks:
  - task_id: build
    command: [sh, -c, 'echo made > "$NEURAL_HIVE_ARTIFACTS/made.txt"']
  - task_id: wait
    dependencies: [build]
    command: [sleep, "30"]
  - task_id: check
    dependencies: [build, wait]
    command: [grep, made, "${tasks.build.artifacts.made.txt}"]
"""
STATUSES = "SELECT task_id, status FROM tickets WHERE workflow_id = '{}' ORDER BY task_id"


@pytest.fixture
def hives(tmp_path: Path) -> Iterator[tuple[Hive, Hive]]:
    both = Hive(tmp_path / "first"), Hive(tmp_path / "second")
    try:
        yield both
    finally:
        for hive in both:
            hive.run("down")


def test_a_workflow_goes_on_in_the_restored_system(hives: tuple[Hive, Hive], tmp_path: Path) -> None:
    first, second = hives
    first.up()
    (tmp_path / "done.yaml").write_text(DONE)
    (tmp_path / "under_way.yaml").write_text(UNDER_WAY)
    assert first.run("publish", "plan", str(tmp_path / "done.yaml"), "--wait").returncode == 0
    workflow = first.run("publish", "plan", str(tmp_path / "under_way.yaml")).stdout.strip()
    eventually(lambda: {"task_id": "wait", "status": "RUNNING"} in first.rows(STATUSES.format(workflow)))
    folder = str(tmp_path / "backup")
    saved = first.run("backup", folder)
    assert saved.returncode == 0, saved.stderr
    assert "inputs were held for" in saved.stdout
    assert "the backup is whole" in first.run("backup", folder, "--check").stdout
    first.down()

    restored = second.run("restore", folder)
    assert restored.returncode == 0, restored.stderr
    again = second.run("restore", folder)
    assert again.returncode == 1
    assert "the cluster is not empty" in again.stderr
    assert "Traceback" not in again.stderr
    second.up()
    expected = [{"task_id": task, "status": "COMPLETED"} for task in ("build", "check", "wait")]
    eventually(lambda: second.rows(STATUSES.format(workflow)) == expected)
    report = second.verify()
    assert report["exit_code"] == 0, report

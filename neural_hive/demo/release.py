"""The first act: a small Python package is built, tested, scanned, committed, installed and run, for real."""

import subprocess
from pathlib import Path
from typing import Final

from neural_hive.aggregates.decision import DecisionConsolidated
from neural_hive.demo.scene import Scene, plan_with, task_of
from neural_hive.demo.system import DemoFailed
from neural_hive.workflow_view import WorkflowView

EXPECTED_WORDS: Final = "Hello, Neural Hive! This is greeter 1.1.0."
WORKFLOW_SQL: Final = (
    "SELECT status, task_count, completed_count, duration_ms FROM workflows WHERE workflow_id = {w:String}"
)
OUTPUTS_SQL: Final = (
    "SELECT task_id, status, outputs FROM tickets WHERE workflow_id = {w:String} ORDER BY task_id"
)
TICKETS_SQL: Final = """\
SELECT task_id, task_type, status, round(dateDiff('millisecond', started_at, finished_at) / 1000, 2) AS took_s,
       mapFilter((name, value) -> length(value) < 64, outputs) AS told, length(artifacts) AS artifacts
FROM tickets WHERE workflow_id = {w:String} ORDER BY finished_at"""
TRAIL_SQL: Final = """\
SELECT version, occurred_at, event_type, agent_id, left(event_id, 8) AS event, left(causation_id, 8) AS caused_by
FROM ticket_history WHERE ticket_id = {t:String} ORDER BY version"""


def release(scene: Scene) -> None:
    """Publishes the plan, and checks what it made. Raises DemoFailed."""
    repository = scene.folder / "repository.git"
    if not repository.exists():
        git("init", "--quiet", "--bare", "--initial-branch=main", str(repository))
    scene.title("A plan becomes work")
    view = scene.follow(release_plan(repository))
    _check_work(view, repository)
    scene.checked(f"the program said: {task_of(view, 'run').outputs['said']}")
    scene.checked(f"{repository.name} has {git('log', '-1', '--oneline', 'v1.1.0', at=repository)}")
    _show_tables(scene, view)


def release_plan(repository: Path) -> DecisionConsolidated:
    """The plan, with the place of its repository."""
    return plan_with("release.yaml", parameters={"repository": str(repository)})


def git(*arguments: str, at: Path | None = None) -> str:
    """What git says. Raises DemoFailed."""
    where = ["--git-dir", str(at)] if at else []
    done = subprocess.run(["git", *where, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise DemoFailed(f"git {' '.join(arguments)} failed: {done.stderr.strip()}")
    return done.stdout.strip()


def _check_work(view: WorkflowView, repository: Path) -> None:
    if view.status != "COMPLETED" or any(task.status != "COMPLETED" for task in view.tasks):
        errors = [f"{task.task_id}: {task.error}" for task in view.tasks if task.error]
        raise DemoFailed("\n".join([f"the workflow is {view.status}", *view.reasons, *errors]))
    said = task_of(view, "run").outputs.get("said")
    if said != EXPECTED_WORDS:
        raise DemoFailed(f"the program said {said!r}, expected: {EXPECTED_WORDS!r}")
    committed = git("rev-parse", "v1.1.0^{commit}", at=repository)
    told = task_of(view, "commit").outputs["commit"]
    if committed != told or git("rev-parse", "main", at=repository) != told:
        raise DemoFailed(f"the repository has commit {committed}, and the task told of {told}")


def _show_tables(scene: Scene, view: WorkflowView) -> None:
    scene.title("ClickHouse answers in SQL")
    tasks = sorted(view.tasks, key=lambda task: task.task_id)
    scene.wait_for_tables(
        OUTPUTS_SQL,
        view,
        [{"task_id": t.task_id, "status": t.status, "outputs": t.outputs} for t in tasks],
    )
    scene.show("query", WORKFLOW_SQL, "--param", f"w={view.workflow_id}")
    scene.show("query", TICKETS_SQL, "--param", f"w={view.workflow_id}")
    scene.title("The trail of one ticket: test")
    scene.show("query", TRAIL_SQL, "--param", f"t={task_of(view, 'test').ticket_id}")

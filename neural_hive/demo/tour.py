"""What the demo does and checks, in order; every check that fails ends it with the reason."""

import importlib.util
import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.live import Live
from rich.rule import Rule

from neural_hive.aggregates.decision import DecisionConsolidated
from neural_hive.demo.system import DemoFailed, own_environment, running_system
from neural_hive.plans import read_plan
from neural_hive.publishing import publish_and_follow
from neural_hive.state import State
from neural_hive.system import command_line
from neural_hive.workflow_view import WorkflowView

PLAN: Final = Path(__file__).with_name("plan.yaml")
EXPECTED_WORDS: Final = "Hello, Neural Hive! This is greeter 1.1.0."
PLAN_TIMEOUT_S: Final = 600.0
TABLES_TIMEOUT_S: Final = 60.0
_NEEDED_MODULES: Final = ("build", "hatchling", "pytest", "bandit", "pip")

WORKFLOW_SQL: Final = (
    "SELECT status, task_count, completed_count, duration_ms FROM workflows WHERE workflow_id = {w:String}"
)
OUTPUTS_SQL: Final = "SELECT task_id, status, outputs FROM tickets WHERE workflow_id = {w:String}"
TICKETS_SQL: Final = """\
SELECT task_id, task_type, status, round(dateDiff('millisecond', started_at, finished_at) / 1000, 2) AS took_s,
       mapFilter((name, value) -> length(value) < 64, outputs) AS told, length(artifacts) AS artifacts
FROM tickets WHERE workflow_id = {w:String} ORDER BY finished_at"""
TRAIL_SQL: Final = """\
SELECT version, occurred_at, event_type, agent_id, left(event_id, 8) AS event, left(causation_id, 8) AS caused_by
FROM ticket_history WHERE ticket_id = {t:String} ORDER BY version"""


def run(data: Path, console: Console) -> None:
    """The whole demo on a data folder. Raises DemoFailed."""
    check_tools()
    repository = data / "demo" / "repository.git"
    if not repository.exists():
        git("init", "--quiet", "--bare", "--initial-branch=main", str(repository))
    with console.status("starting") as status, running_system(data, status.update) as state:
        status.stop()
        console.print(f"A system runs in {data}: {', '.join(process.name for process in state.processes)}")
        view = _release(state, repository, console)
        _check_work(view, repository)
        console.print(f"[green]✔[/] the program said: {_task(view, 'run').outputs['said']}")
        console.print(
            f"[green]✔[/] {repository.name} has {git('log', '-1', '--oneline', 'v1.1.0', at=repository)}"
        )
        _show_tables(data, view, console)
        _verify(data, console)
        status.start()


def check_tools() -> None:
    """Raises DemoFailed: something that the tasks need is missing."""
    missing = [name for name in _NEEDED_MODULES if importlib.util.find_spec(name) is None]
    if missing:
        raise DemoFailed(
            f"the demo's tasks need {', '.join(missing)}: install neural-hive[dev], or run `make demo`"
        )
    if not shutil.which("git"):
        raise DemoFailed(
            "the demo commits to a git repository, and there is no git: install it and try again"
        )


def git(*arguments: str, at: Path | None = None) -> str:
    """What git says. Raises DemoFailed."""
    where = ["--git-dir", str(at)] if at else []
    done = subprocess.run(["git", *where, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise DemoFailed(f"git {' '.join(arguments)} failed: {done.stderr.strip()}")
    return done.stdout.strip()


def demo_plan(repository: Path) -> DecisionConsolidated:
    """The demo's plan, with the place of its repository."""
    decision = read_plan(PLAN)
    tasks = [
        msgspec.structs.replace(task, parameters=task.parameters | {"repository": str(repository)})
        if "repository" in task.parameters
        else task
        for task in decision.tasks
    ]
    return msgspec.structs.replace(decision, tasks=tuple(tasks))


def _release(state: State, repository: Path, console: Console) -> WorkflowView:
    console.print(Rule("A plan becomes work"))
    kafka = {"bootstrap.servers": state.endpoints["kafka_bootstrap"]}
    with Live(console=console, auto_refresh=False, transient=True) as live:
        view = publish_and_follow(
            kafka, demo_plan(repository), PLAN_TIMEOUT_S, lambda now: live.update(now, refresh=True)
        )
    console.print(view)
    return view


def _check_work(view: WorkflowView, repository: Path) -> None:
    if view.status != "COMPLETED" or any(task.status != "COMPLETED" for task in view.tasks):
        errors = [f"{task.task_id}: {task.error}" for task in view.tasks if task.error]
        raise DemoFailed("\n".join([f"the workflow is {view.status}", *view.reasons, *errors]))
    said = _task(view, "run").outputs.get("said")
    if said != EXPECTED_WORDS:
        raise DemoFailed(f"the program said {said!r}, expected: {EXPECTED_WORDS!r}")
    committed, told = (
        git("rev-parse", "v1.1.0^{commit}", at=repository),
        _task(view, "commit").outputs["commit"],
    )
    if committed != told or git("rev-parse", "main", at=repository) != told:
        raise DemoFailed(f"the repository has commit {committed}, and the task told of {told}")


def _task(view: WorkflowView, task_id: str) -> Any:
    return next(task for task in view.tasks if task.task_id == task_id)


def _show_tables(data: Path, view: WorkflowView, console: Console) -> None:
    console.print(Rule("ClickHouse answers in SQL"))
    _wait_for_tables(data, view)
    _show(data, console, "query", WORKFLOW_SQL, "--param", f"w={view.workflow_id}")
    _show(data, console, "query", TICKETS_SQL, "--param", f"w={view.workflow_id}")
    console.print(Rule("The trail of one ticket: test"))
    _show(data, console, "query", TRAIL_SQL, "--param", f"t={_task(view, 'test').ticket_id}")


def _wait_for_tables(data: Path, view: WorkflowView) -> None:
    """Until the tables say of every task what the log said; they are a moment behind."""
    expected = {task.task_id: (task.status, task.outputs) for task in view.tasks}
    until = time.monotonic() + TABLES_TIMEOUT_S
    while True:
        done = _command(
            data, "query", OUTPUTS_SQL, "--param", f"w={view.workflow_id}", "--format", "JSONEachRow"
        )
        rows = [json.loads(line) for line in done.stdout.splitlines()] if done.returncode == 0 else []
        found = {row["task_id"]: (row["status"], row["outputs"]) for row in rows}
        if found == expected:
            return
        if time.monotonic() > until:
            raise DemoFailed(f"ClickHouse does not say what the log says: {found or done.stderr.strip()}")
        time.sleep(0.3)


def _verify(data: Path, console: Console) -> None:
    console.print(Rule("The log is verified"))
    _show(data, console, "replay", "verify")


def _show(data: Path, console: Console, *arguments: str) -> None:
    """Runs one of our own commands and shows it with its answer. Raises DemoFailed: its exit code is not 0."""
    done = _command(data, *arguments)
    shown = " ".join(argument if " " not in argument else f'"{argument}"' for argument in arguments)
    console.out(f"$ neural-hive {shown}", style="dim", highlight=False)
    console.out(done.stdout.rstrip(), highlight=False)
    if done.returncode:
        raise DemoFailed(
            f"`neural-hive {arguments[0]}` ended with exit code {done.returncode}: {done.stderr}"
        )


def _command(data: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command_line(*arguments, "--data", str(data)),
        capture_output=True,
        text=True,
        env=own_environment(),
        check=False,
    )

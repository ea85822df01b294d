"""What the acts of the demo share: a running system, a terminal, and ways to publish, ask and show."""

import json
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.live import Live
from rich.rule import Rule

from neural_hive.aggregates.decision import DecisionConsolidated
from neural_hive.connectors.personal import Personal
from neural_hive.demo.system import DemoFailed, own_environment
from neural_hive.plans import read_plan
from neural_hive.publishing import publish_and_follow, publish_command
from neural_hive.system import command_line
from neural_hive.workflow_view import TaskView, WorkflowView

PLAN_TIMEOUT_S: Final = 300.0
TABLES_TIMEOUT_S: Final = 60.0
PLANS: Final = Path(__file__).parent


class Scene(msgspec.Struct, frozen=True):
    """A system that runs on a data folder, and a terminal."""

    data: Path
    kafka: dict[str, Any]
    console: Console
    personal: Personal

    @property
    def folder(self) -> Path:
        """Where the demo keeps what its tasks work on."""
        return self.data / "demo"

    def title(self, text: str) -> None:
        """Begins an act."""
        self.console.print(Rule(text))

    def checked(self, text: str) -> None:
        """Says what was looked at and found right."""
        self.console.print(f"[green]✔[/] {text}", highlight=False, soft_wrap=True)

    def follow(
        self, decision: DecisionConsolidated, seen: Callable[[WorkflowView], None] = lambda view: None
    ) -> WorkflowView:
        """Publishes a plan and shows it until its end; `seen` is told of every change."""
        with Live(console=self.console, auto_refresh=False, transient=True) as live:

            def show(view: WorkflowView) -> None:
                live.update(view, refresh=True)
                seen(view)

            view = publish_and_follow(self.kafka, decision, PLAN_TIMEOUT_S, show, personal=self.personal)
        self.console.print(view)
        return view

    def say(self, message_type: str, view: WorkflowView, reason: str) -> None:
        """Publishes what a person wants of a workflow."""
        asked = {"workflow_id": view.workflow_id, "reason": reason, "requested_by": "demo"}
        publish_command(self.kafka, message_type, asked, self.personal)

    def show(self, *arguments: str) -> None:
        """Runs one of our own commands and shows it with its answer. Raises DemoFailed: its exit code is not 0."""
        done = self._command(*arguments)
        shown = " ".join(argument if " " not in argument else f'"{argument}"' for argument in arguments)
        self.console.out(f"$ neural-hive {shown}", style="dim", highlight=False)
        self.console.out(done.stdout.rstrip(), highlight=False)
        if done.returncode:
            raise DemoFailed(
                f"`neural-hive {arguments[0]}` ended with exit code {done.returncode}: {done.stderr}"
            )

    def wait_for_tables(self, sql: str, view: WorkflowView, expected: list[dict[str, Any]]) -> None:
        """Until a query about a workflow gives these rows; tables are a moment behind. Raises DemoFailed."""
        until = time.monotonic() + TABLES_TIMEOUT_S
        while True:
            asked = ("--param", f"w={view.workflow_id}", "--format", "JSONEachRow", "--reveal")
            done = self._command("query", sql, *asked)
            found = [json.loads(line) for line in done.stdout.splitlines()] if done.returncode == 0 else []
            if found == expected:
                return
            if time.monotonic() > until:
                told = found or done.stderr.strip()
                raise DemoFailed(f"ClickHouse says {told}, and the log: {expected}")
            time.sleep(0.3)

    def _command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            command_line(*arguments, "--data", str(self.data)),
            capture_output=True,
            text=True,
            env=own_environment(),
            check=False,
        )


def plan_with(
    name: str, parameters: Mapping[str, str] = {}, environment: Mapping[str, str] = {}
) -> DecisionConsolidated:
    """A plan of the demo; where a task names one of these, it gets this value: the file cannot know our folders."""
    decision = read_plan(PLANS / name)
    tasks = tuple(
        msgspec.structs.replace(
            task,
            parameters=_filled(task.parameters, parameters),
            environment=_filled(task.environment, environment),
        )
        for task in decision.tasks
    )
    return msgspec.structs.replace(decision, tasks=tasks)


def _filled(given: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    return {name: values.get(name, text) for name, text in given.items()}


def task_of(view: WorkflowView, task_id: str) -> TaskView:
    """One task of a workflow."""
    return next(task for task in view.tasks if task.task_id == task_id)


def statuses(view: WorkflowView) -> dict[str, str]:
    """Task → status."""
    return {task.task_id: task.status for task in view.tasks}

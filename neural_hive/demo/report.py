"""The third act: a plan is paused, what runs goes on and nothing else begins; then it is cancelled."""

from pathlib import Path
from typing import Final

from neural_hive.aggregates.decision import DecisionConsolidated
from neural_hive.demo.scene import Scene, plan_with, statuses
from neural_hive.demo.system import DemoFailed
from neural_hive.workflow_view import WorkflowView

EXPECTED: Final = {"collect": "COMPLETED", "compute": "CANCELLED", "send": "CANCELLED"}
_ASKED: Final = """\
FROM events WHERE aggregate_type = 'workflow' AND aggregate_id = {w:String} AND who != '' ORDER BY version"""
_WHO: Final = "JSONExtractString(payload, 'requested_by') AS who"
TYPES_SQL: Final = f"SELECT event_type, {_WHO} {_ASKED}"
WORKFLOW_SQL: Final = f"""\
SELECT version, formatDateTime(occurred_at, '%H:%i:%S') AS at, event_type, JSONExtractString(payload, 'reason') AS why,
       {_WHO}
{_ASKED}"""


class Person:
    """Somebody who pauses the plan while its first task runs, lets that task end, and cancels the plan then."""

    def __init__(self, scene: Scene, gate: Path) -> None:
        self._scene, self._gate = scene, gate
        self._asked: set[str] = set()

    def seen(self, view: WorkflowView) -> None:
        """Does what is next, as the plan stands."""
        tasks = statuses(view)
        if view.status == "RUNNING" and tasks["collect"] == "RUNNING":
            self._ask("PauseWorkflow", view, "the figures are not final")
        elif view.status == "PAUSED" and tasks["collect"] == "RUNNING":
            self._gate.touch()
        elif view.status == "PAUSED" and tasks["compute"] == "READY" and "CancelWorkflow" not in self._asked:
            self._scene.console.print(view)
            self._ask("CancelWorkflow", view, "no longer wanted")

    def _ask(self, message_type: str, view: WorkflowView, reason: str) -> None:
        if message_type not in self._asked:
            self._asked.add(message_type)
            self._scene.say(message_type, view, reason)


def report(scene: Scene) -> None:
    """Publishes the plan, pauses and cancels it, and checks what became of it. Raises DemoFailed."""
    gate = scene.folder / "gate"
    gate.unlink(missing_ok=True)
    scene.title("A plan is paused: what runs ends, what is ready waits. Then it is cancelled")
    view = scene.follow(report_plan(gate), Person(scene, gate).seen)
    if view.status != "CANCELLED" or statuses(view) != EXPECTED:
        raise DemoFailed(f"the workflow is {view.status} with {statuses(view)}, expected: {EXPECTED}")
    types = ("WorkflowStarted", "WorkflowPaused", "WorkflowCancelled")
    scene.wait_for_tables(TYPES_SQL, view, [{"event_type": name, "who": "demo"} for name in types])
    scene.show("query", WORKFLOW_SQL, "--param", f"w={view.workflow_id}", "--reveal")
    scene.checked("the log says who asked for what, and why; compute and send never began")


def report_plan(gate: Path) -> DecisionConsolidated:
    """The plan, with the place of the file that its first task waits for."""
    return plan_with("report.yaml", environment={"GATE": str(gate)})

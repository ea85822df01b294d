"""What `publish --wait` shows of a workflow: here of a deployment that a freeze holds back."""

from types import SimpleNamespace
from typing import Any

from rich.console import Console

from neural_hive.plans import plan_from
from neural_hive.workflow_view import WorkflowView

PLAN = {
    "plan_id": "checkout",
    "tasks": [{"task_id": "deploy", "task_type": "DEPLOY", "command": ["true"]}],
}


def shown(view: WorkflowView) -> str:
    console = Console(width=120)
    with console.capture() as captured:
        console.print(view)
    return captured.get()


def test_a_task_that_is_held_names_the_policies_until_it_goes_on() -> None:
    view = WorkflowView(plan_from(PLAN))
    [task] = view.tasks

    def happens(name: str, **content: Any) -> None:
        payload = {"ticket_id": task.ticket_id, **content}
        view.apply(SimpleNamespace(schema=SimpleNamespace(name=name), payload=payload))  # type: ignore[arg-type]

    happens("TicketReady")
    freezes = [{"policy_id": "checkout"}, {"policy_id": "launch"}, {"policy_id": "checkout"}]
    happens("TicketHeld", freezes=freezes)
    assert "READY, frozen by checkout, launch" in shown(view)
    assert view.document()["tasks"][0]["held_by"] == ("checkout", "launch")
    happens("TicketReleased")
    assert "frozen" not in shown(view)
    happens("TicketHeld", freezes=freezes)
    happens("TicketCancelled", reason="enough")
    assert "CANCELLED" in shown(view) and "frozen" not in shown(view)

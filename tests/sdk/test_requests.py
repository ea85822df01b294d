"""What people ask of running work, end to end: by the command line and by the client, and what becomes of it."""

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from neural_hive.aggregates.workflow import ticket_id_of
from neural_hive.sdk.client import HiveClient
from neural_hive.sdk.outcome import Verdict
from neural_hive.sdk.ticket import Ticket
from neural_hive.sdk.views import TicketInfo
from neural_hive.sdk.worker import Agent
from tests.sdk.conftest import CLI, Hive
from tests.sdk.test_client import eventually

pytestmark = pytest.mark.slow

WORKFLOW = "asked-1"
BASE = {"command": ["do"], "required_capabilities": ["handwork"]}
HOLD, BROKEN, JAMMED = (
    {**BASE, "task_id": name, "parameters": {"does": does}}
    for name, does in (("hold", "wait"), ("broken", "fail once"), ("jammed", "fail once"))
)


class Hands:
    """An agent whose tickets fail at first, or go on until nobody wants them any more."""

    def __init__(self, hive: Hive) -> None:
        self.told_to_end = threading.Event()
        self._stopping = threading.Event()
        agent = Agent("hands-1", capabilities=("handwork",), settings=hive.settings)
        agent.execute("EXECUTE")(self._execute)
        self._thread = threading.Thread(target=agent.run, args=(self._stopping,))
        self._thread.start()

    def _execute(self, ticket: Ticket) -> dict[str, str]:
        if ticket.parameters["does"] == "fail once" and ticket.attempt == 1:
            raise RuntimeError("the disk is full")
        if ticket.parameters["does"] == "wait":
            assert ticket.sleep(300)
            self.told_to_end.set()
        return {"attempt": str(ticket.attempt)}

    def close(self) -> None:
        self._stopping.set()
        self._thread.join(60)
        assert not self._thread.is_alive()


@pytest.fixture
def hands(hive: Hive) -> Iterator[Hands]:
    agent = Hands(hive)
    yield agent
    agent.close()


def asked(hive: Hive, *arguments: str) -> str:
    """`publish command … --wait`: what it says became of it."""
    line = [sys.executable, *CLI, "publish", "command", *arguments]
    about = ["--reason", "a test", "--by", "ann", "--wait", "--timeout", "120"]
    done = subprocess.run(
        [*line, *about], env=hive.environment, capture_output=True, text=True, check=False, timeout=180
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def ticket(client: HiveClient, task_id: str, status: str, attempt: int) -> TicketInfo:
    """A ticket of the workflow, once it stands so."""
    return eventually(
        lambda: client.get_ticket(ticket_id_of(WORKFLOW, task_id)),
        lambda found: (found.status, found.attempt) == (status, attempt),
    )


def test_what_people_ask_for_is_done(hive: Hive, client: HiveClient, hands: Hands) -> None:
    plan = {"plan_id": "asked", "decision_id": WORKFLOW, "tasks": [HOLD, BROKEN, JAMMED]}
    client.publish_plan(plan)
    ticket(client, "hold", "RUNNING", 1)
    for task_id in ("broken", "jammed"):
        assert "the disk is full" in ticket(client, task_id, "FAILED", 1).error

    again = client.wait(client.retry_ticket(WORKFLOW, ticket_id_of(WORKFLOW, "broken"), "it has room", "ann"))
    assert again.verdict is Verdict.ACCEPTED
    assert again.events[0].event_type == "TicketRetryScheduled"
    assert ticket(client, "broken", "COMPLETED", 2).outputs == {"attempt": "2"}
    assert "ACCEPTED TicketRetryScheduled" in asked(hive, "retry", WORKFLOW, ticket_id_of(WORKFLOW, "jammed"))
    assert ticket(client, "jammed", "COMPLETED", 2).outputs == {"attempt": "2"}

    before = client.get_workflow(WORKFLOW)
    wanted = ("--priority", "CRITICAL", "--deadline-ms", "7200000")
    assert "ACCEPTED WorkflowQosAdjusted" in asked(hive, "adjust-qos", WORKFLOW, *wanted)
    after = client.get_workflow(WORKFLOW)
    assert before and before.deadline_at and after and after.deadline_at and after.started_at
    assert (before.priority, after.priority) == ("NORMAL", "CRITICAL")
    assert (after.deadline_at - after.started_at).total_seconds() == 7_200
    assert before.deadline_at != after.deadline_at

    by_hand = ("complete", WORKFLOW, ticket_id_of(WORKFLOW, "hold"), "--output", "by=hand")
    assert "ACCEPTED TicketCompleted" in asked(hive, *by_hand)
    assert ticket(client, "hold", "COMPLETED", 1).outputs == {"by": "hand"}
    assert hands.told_to_end.wait(60), "who works on it hears that it is done"
    assert client.wait_for_end(WORKFLOW).status == "COMPLETED"

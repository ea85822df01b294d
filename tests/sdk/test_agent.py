"""An agent of functions on a real hive: what it makes, what it stops, what it undoes."""

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from neural_hive.sdk.client import HiveClient
from neural_hive.sdk.ticket import Ticket
from neural_hive.sdk.worker import Agent
from neural_hive.streams.worker.worker import WorkerStopped
from tests.sdk.conftest import Hive

pytestmark = pytest.mark.slow
TASK = {"required_capabilities": ["crafting"]}


PATIENT = """
from pathlib import Path
from neural_hive import Agent

agent = Agent("patient-1", capabilities=["patience"])

@agent.execute("EXECUTE")
def wait(ticket):
    with Path({runs!r}).open("a") as runs:
        runs.write(ticket.fencing_token + chr(10))
    while not Path({gate!r}).exists():
        ticket.sleep(0.1)
    return {{"seen": True}}

agent.run()
"""


class Crafter:
    """An agent in a thread of this process; the first parameter of a ticket's command says what it does."""

    def __init__(self, hive: Hive) -> None:
        self.begun, self.stopped = threading.Event(), threading.Event()
        self.undone: list[str] = []
        self.failure: BaseException | None = None
        self._stopping = threading.Event()
        self._agent = Agent("crafter-1", capabilities=["crafting"], capacity=2, settings=hive.settings)
        self._agent.execute("EXECUTE")(lambda ticket: getattr(self, ticket.command[0])(ticket))
        self._agent.compensate("EXECUTE")(self.undo)
        self._thread = threading.Thread(target=self._live)
        self._thread.start()

    def make(self, ticket: Ticket) -> dict[str, int]:
        card = ticket.folder / "card.txt"
        card.write_text("made by hand")
        ticket.keep(card)
        return {"words": 3}

    def read(self, ticket: Ticket) -> dict[str, str]:
        return {"text": ticket.input(ticket.parameters["card"]).read_text(), "of": ticket.parameters["words"]}

    def last(self, ticket: Ticket) -> None:
        self.begun.set()
        if ticket.sleep(120):
            self.stopped.set()

    def fail(self, ticket: Ticket) -> None:
        raise RuntimeError(f"out of paper in attempt {ticket.attempt}")

    def undo(self, ticket: Ticket) -> None:
        assert ticket.compensates
        self.undone.append(ticket.task_id)

    def close(self) -> None:
        self._stopping.set()
        self._thread.join(90)
        assert not self._thread.is_alive() and self.failure is None, self.failure

    def _live(self) -> None:
        try:
            self._agent.run(self._stopping)
        except BaseException as error:
            self.failure = error


@pytest.fixture(scope="module")
def crafter(hive: Hive) -> Iterator[Crafter]:
    crafter = Crafter(hive)
    yield crafter
    crafter.close()


def test_what_one_function_makes_another_one_finds(client: HiveClient, crafter: Crafter) -> None:
    made = {"card": "${tasks.make.artifacts.card.txt}", "words": "${tasks.make.outputs.words}"}
    tasks = [
        {**TASK, "task_id": "make", "command": ["make"]},
        {**TASK, "task_id": "read", "command": ["read"], "dependencies": ["make"], "parameters": made},
    ]
    workflow = client.wait_for_end(client.publish_plan({"tasks": tasks}).routing_id)
    found = {t.task_id: t for t in client.list_tickets(workflow_id=workflow.workflow_id).items}
    assert workflow.status == "COMPLETED", found
    assert found["read"].outputs == {"text": "made by hand", "of": "3"}
    assert [(file.name, file.size_bytes) for file in found["make"].artifacts] == [("card.txt", 12)]


def test_a_cancelled_ticket_ends_its_function(client: HiveClient, crafter: Crafter) -> None:
    token = client.publish_plan({"tasks": [{**TASK, "task_id": "last", "command": ["last"]}]})
    assert crafter.begun.wait(120)
    cancelled = client.get_workflow(token.routing_id, after=client.cancel(token.routing_id, "enough"))
    assert cancelled is not None and cancelled.status == "CANCELLED"
    assert crafter.stopped.wait(60)


def test_what_was_done_is_undone_by_a_function(client: HiveClient, crafter: Crafter) -> None:
    tasks = [
        {**TASK, "task_id": "make", "command": ["make"], "compensation": ["undo"]},
        {**TASK, "task_id": "fail", "command": ["fail"], "dependencies": ["make"], "max_retries": 1},
    ]
    workflow = client.wait_for_end(client.publish_plan({"tasks": tasks}).routing_id)
    found = {t.task_id: t for t in client.list_tickets(workflow_id=workflow.workflow_id).items}
    assert (workflow.status, crafter.undone) == ("FAILED", ["make"])
    assert (found["make"].status, found["fail"].status) == ("COMPENSATED", "FAILED")
    assert (found["fail"].attempt, found["fail"].error) == (2, "RuntimeError: out of paper in attempt 2")


def test_what_is_killed_is_executed_again_as_the_same_attempt(
    hive: Hive, client: HiveClient, tmp_path: Path
) -> None:
    program, runs, gate = tmp_path / "program.py", tmp_path / "runs", tmp_path / "gate"
    program.write_text(PATIENT.format(runs=str(runs), gate=str(gate)))
    first = hive.start(str(program))
    task = {"task_id": "wait", "command": ["wait"], "required_capabilities": ["patience"]}
    token = client.publish_plan({"tasks": [task]})
    until = time.monotonic() + 120
    while not runs.exists():
        assert time.monotonic() < until and first.poll() is None, hive.log()
        time.sleep(0.05)
    first.kill()
    assert first.wait(30) == -signal.SIGKILL
    gate.touch()
    second = hive.start(str(program))
    workflow = client.wait_for_end(token.routing_id)
    assert hive.stop(second) == 0
    (ticket,) = client.list_tickets(workflow_id=workflow.workflow_id).items
    assert (ticket.status, ticket.attempt, ticket.outputs) == ("COMPLETED", 1, {"seen": "True"})
    assert runs.read_text().splitlines() == [f"{ticket.ticket_id}:1"] * 2


def test_only_one_works_as_an_agent(hive: Hive, crafter: Crafter) -> None:
    second = Agent("crafter-1", settings=hive.settings)
    second.execute("EXECUTE")(lambda _: None)
    with pytest.raises(WorkerStopped, match="give each one an agent id of its own"):
        second.run(threading.Event())

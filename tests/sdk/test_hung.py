"""A function that does not end: its agent is given no more than it can do, and all again when it has ended."""

import threading
import time
from collections.abc import Iterator

import pytest

from neural_hive.sdk.client import HiveClient
from neural_hive.sdk.ticket import Ticket
from neural_hive.sdk.worker import Agent
from tests.sdk.conftest import Hive
from tests.sdk.test_client import eventually

pytestmark = pytest.mark.slow


class Stuck:
    """An agent with one slot, whose function does not end before it is let go."""

    def __init__(self, hive: Hive) -> None:
        self.gate = threading.Event()
        self._stopping = threading.Event()
        self._agent = Agent("stuck-1", capabilities=("sticking",), capacity=1, settings=hive.settings)
        self._agent.execute("EXECUTE")(self._execute)
        self._thread = threading.Thread(target=self._agent.run, args=(self._stopping,))
        self._thread.start()

    def _execute(self, ticket: Ticket) -> None:
        if ticket.parameters["does"] == "hang":
            self.gate.wait(300)

    def close(self) -> None:
        self.gate.set()
        self._stopping.set()
        self._thread.join(60)
        assert not self._thread.is_alive()


@pytest.fixture
def stuck(hive: Hive) -> Iterator[Stuck]:
    agent = Stuck(hive)
    yield agent
    agent.close()


def test_an_agent_whose_function_hangs_is_given_nothing_more(client: HiveClient, stuck: Stuck) -> None:
    hang = {"task_id": "hang", "parameters": {"does": "hang"}, "timeout_ms": 1_000}
    work = {"task_id": "work", "parameters": {"does": "end"}}
    base = {"command": ["stick"], "required_capabilities": ["sticking"]}
    first = client.publish_plan({"plan_id": "hangs", "tasks": [{**base, **hang}]})
    assert client.wait_for_end(first.routing_id).status == "FAILED"
    second = client.publish_plan({"plan_id": "waits", "tasks": [{**base, **work}]})
    assert client.wait(second).is_accepted
    time.sleep(5)  # longer than a dispatch takes
    (ticket,) = client.list_tickets(workflow_id=second.routing_id).items
    assert (ticket.status, ticket.attempt) == ("READY", 0), "it would wait where nobody begins it"
    assert [a.capacity for a in client.list_agents() if a.agent_id == "stuck-1"] == [0]
    stuck.gate.set()
    assert client.wait_for_end(second.routing_id).status == "COMPLETED"
    (ticket,) = client.list_tickets(workflow_id=second.routing_id).items
    assert ticket.attempt == 1
    known = eventually(client.list_agents, lambda agents: any(a.agent_id == "stuck-1" for a in agents))
    assert [a.capacity for a in known if a.agent_id == "stuck-1"] == [1]

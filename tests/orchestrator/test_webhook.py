"""Where an agent wants to be called: it registers that, and finds it in what it is given."""

import msgspec
import pytest

from neural_hive.aggregates.agent import AgentType
from neural_hive.aggregates.ticket import TicketDispatched
from neural_hive.aggregates.vocabulary import TaskType
from neural_hive.sdk.agent import AgentConfig, BadAgent
from neural_hive.streams.registry.messages import COMMANDS as REGISTRY
from neural_hive.streams.registry.messages import RegisterAgent
from tests.aggregates.making import AGENT, decision, task
from tests.orchestrator.pair import Pair
from tests.orchestrator.running import Run

URL = "https://forge.example:8443/hive/tickets?agent=1"


def _register(pair: Pair, url: str, number: int) -> None:
    message = RegisterAgent(AGENT, AgentType.WORKER, (), (TaskType.EXECUTE,), 9, webhook_url=url)
    pair.registry.handle(REGISTRY, message, f"registration {number}", 0)
    pair.pump()


def _dispatched(pair: Pair, name: str) -> TicketDispatched:
    run = Run(msgspec.structs.replace(decision(task("a")), decision_id=name), pair=pair)
    run.publish(f"plan {name}")
    return run.dispatch_of("a")


def test_a_dispatch_says_where_its_agent_wants_to_be_called() -> None:
    pair = Pair(AGENT, 0)
    _register(pair, URL, 1)
    assert _dispatched(pair, "d-1").webhook_url == URL
    _register(pair, URL + "0", 2)
    assert _dispatched(pair, "d-2").webhook_url == URL + "0"
    _register(pair, "", 3)
    assert _dispatched(pair, "d-3").webhook_url == ""


def test_an_agent_that_has_just_left_the_view_is_called_nowhere() -> None:
    pair = Pair(AGENT, 0)
    _register(pair, URL, 1)
    run = Run(decision(task("a")), pair=pair)
    run.unit.handle("plans.consensus", run.decision, "plan")
    pair.orchestrator.views["agents"] = dict
    events = pair.pump()
    (dispatched,) = [event for event in events if isinstance(event, TicketDispatched)]
    assert dispatched.webhook_url == ""


@pytest.mark.parametrize("url", ["", "http://h", "https://[::1]:80/x?y#z", "http://10.0.0.1:8080"])
def test_where_an_agent_can_be_called(url: str) -> None:
    assert AgentConfig("a", webhook_url=url).webhook_url == url


@pytest.mark.parametrize(
    "url",
    ["ftp://h/x", "h/x", "http://", "http://h/a b", "http://h/ü", "http://u:p@h/", "http://u@h", "http://h\n",
     "http:// h", "http://h:123456", "javascript:alert(1)", "http://h/" + "x" * 2_048],
)  # fmt: skip
def test_where_nobody_can_be_called(url: str) -> None:
    with pytest.raises(BadAgent, match="webhook_url must be"):
        AgentConfig("a", webhook_url=url)

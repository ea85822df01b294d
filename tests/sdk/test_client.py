"""A client and a worker of ten lines on a real hive: what is published is carried out, and read back."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest

from neural_hive.aggregates.workflow import ticket_id_of
from neural_hive.plans import BadPlan
from neural_hive.sdk.client import HiveClient
from neural_hive.sdk.outcome import NoAnswerYet, Verdict
from neural_hive.sdk.sender import BadToken, Token
from neural_hive.sdk.views import BadCursor, TicketInfo
from tests.sdk.conftest import Hive

TEN_LINES = Path(__file__).with_name("ten_lines.py")
WAITING = {"task_id": "greet", "required_capabilities": ["that-nobody-has"]}
T = TypeVar("T")
pytestmark = pytest.mark.slow


def greeting(plan_id: str, *tasks: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A plan of tasks that greet, one after the other if they say so."""
    base = {"command": ["greet"], "required_capabilities": ["greeting"], "parameters": {"name": plan_id}}
    return {"plan_id": plan_id, **more, "tasks": [{**base, **task} for task in tasks]}


def eventually(look: Callable[[], T | None], is_so: Callable[[T], bool]) -> T:
    """What is read as soon as it is there and as it should be."""
    until = time.monotonic() + 60
    while (found := look()) is None or not is_so(found):
        assert time.monotonic() < until, found
        time.sleep(0.2)
    return found


@pytest.fixture(scope="module")
def greeter(hive: Hive) -> Iterator[subprocess.Popen[bytes]]:
    process = hive.start(str(TEN_LINES))
    yield process
    assert hive.stop(process) == 0, hive.log()


def test_signals_are_seen_by_who_reads_after_them(hive: Hive, client: HiveClient) -> None:
    """Nobody is there to do the work yet, so it waits for as long as the test wants."""
    workflow_id = client.publish_plan(greeting("paused", {"task_id": "greet"})).routing_id
    paused = client.get_workflow(workflow_id, after=client.pause(workflow_id, "wait", "ann"))
    assert paused is not None and paused.status == "PAUSED"
    assert client.wait(client.pause(workflow_id, "wait", "ann")).verdict is Verdict.NOTHING_NEW
    assert client.wait(client.adjust_qos(workflow_id, "hurry", priority="HIGH")).is_accepted
    assert client.wait(client.resume(workflow_id, "go on")).is_accepted
    ticket_id = ticket_id_of(workflow_id, "greet")
    retried = client.wait(client.retry_ticket(workflow_id, ticket_id, "again"))
    assert retried.verdict is Verdict.REFUSED
    assert retried.events[0].event_type == "TicketCommandRefused"
    cancelled = client.get_workflow(workflow_id, after=client.cancel(workflow_id, "enough"))
    assert cancelled is not None and cancelled.status == "CANCELLED"
    done = client.wait(client.complete_ticket(workflow_id, ticket_id, "by hand", {"said": "hi"}))
    assert done.verdict is Verdict.REFUSED


def test_ten_lines_make_a_worker(hive: Hive, client: HiveClient, greeter: subprocess.Popen[bytes]) -> None:
    token = client.publish_plan(greeting("hello", {"task_id": "greet", "parameters": {"name": "hive"}}))
    workflow = client.wait_for_end(token.routing_id)
    assert (workflow.status, workflow.completed_count, workflow.plan_id) == ("COMPLETED", 1, "hello")
    (ticket,) = client.list_tickets(workflow_id=token.routing_id).items
    assert (ticket.status, ticket.outputs, ticket.agent_id) == (
        "COMPLETED",
        {"said": "Hello, hive"},
        "greeter-1",
    )
    assert ticket.finished_at and ticket.started_at and ticket.finished_at >= ticket.started_at
    assert client.get_ticket(ticket.ticket_id) == ticket
    (agent,) = client.list_agents()
    assert (agent.agent_id, agent.status, agent.capabilities) == ("greeter-1", "HEALTHY", ("greeting",))
    assert (agent.task_types, agent.capacity) == (("EXECUTE",), 4)


def test_what_it_raises_fails_the_ticket(client: HiveClient, greeter: subprocess.Popen[bytes]) -> None:
    token = client.publish_plan(greeting("nameless", {"task_id": "greet", "parameters": {}}))
    assert client.wait_for_end(token.routing_id).status == "FAILED"
    (ticket,) = client.list_tickets(plan_id="nameless").items
    assert (ticket.status, ticket.error) == ("FAILED", "KeyError: 'name'")


def test_a_token_tells_what_became_of_a_message(client: HiveClient, greeter: subprocess.Popen[bytes]) -> None:
    content = greeting("told", {"task_id": "greet"}, decision_id="told-1", intent_id="to-tell")
    token = client.publish_plan(content)
    outcome = client.wait(token)
    assert (outcome.verdict, outcome.reason) == (Verdict.ACCEPTED, "")
    assert [event.event_type for event in outcome.events[:2]] == ["WorkflowStarted", "TicketCreated"]
    assert outcome.event_count == len(outcome.events)
    found = client.get_workflow("told-1", after=token)
    assert found is not None and found.intent_id == "to-tell"
    assert client.wait_for_end("told-1").status == "COMPLETED"

    assert client.wait(client.publish_plan(content)).verdict is Verdict.NOTHING_NEW
    late = client.wait(Token.parse(str(client.pause("told-1", "too late", "ann"))))
    assert (late.verdict, late.is_accepted, late.events[0].event_type) == (
        Verdict.REFUSED,
        False,
        "WorkflowCommandRefused",
    )
    assert "COMPLETED" in late.reason
    nobody = client.wait(client.cancel("nobody", "it is not there"))
    assert (nobody.verdict, nobody.events) == (Verdict.DEAD_LETTER, ())
    assert "no such workflow" in nobody.reason


def test_tickets_are_listed_by_filters_and_pages(client: HiveClient, greeter: object) -> None:
    plan = greeting("many", *({"task_id": f"t{n}"} for n in range(7)), intent_id="pages", priority="HIGH")
    token = client.publish_plan(plan)
    client.wait(token)
    pages, start, seen = 0, "", list[TicketInfo]()
    while True:
        page = client.list_tickets(intent_id="pages", limit=3, start=start)
        seen += page.items
        pages += 1
        if not page.next:
            break
        start = page.next
    assert pages == 3
    assert sorted(ticket.task_id for ticket in seen) == [f"t{n}" for n in range(7)]
    assert len(client.list_tickets(plan_id="many", priority="HIGH").items) == 7
    assert client.list_tickets(plan_id="many", priority="LOW").items == ()
    client.wait_for_end(token.routing_id)
    assert len(client.list_tickets(plan_id="many", status="COMPLETED", limit=7).items) == 7
    with pytest.raises(TypeError, match="tickets cannot be asked for by 'colour'; but by: intent_id"):
        client.list_tickets(colour="red")
    with pytest.raises(BadCursor, match="no place in a list"):
        client.list_tickets(start="nowhere")
    assert client.get_ticket("nobody") is None


def test_the_way_of_a_plan_is_read_with_its_steps(client: HiveClient, greeter: object) -> None:
    token = client.publish_plan(greeting("flow", {"task_id": "greet"}, intent_id="steps", priority="HIGH"))
    workflow = client.wait_for_end(token.routing_id)
    flow = eventually(
        lambda: client.get_flow(token.routing_id), lambda flow: "WORKFLOW" in {s.step for s in flow.steps}
    )
    assert (flow.context.intent_id, flow.context.priority) == ("steps", "HIGH")
    assert flow.result is not None
    assert (flow.result.status, flow.result.duration_ms) == ("COMPLETED", workflow.duration_ms)
    executed = [step for step in flow.steps if step.step == "C5"]
    assert [(step.status, step.attempt, step.task_type) for step in executed] == [("COMPLETED", 1, "EXECUTE")]
    assert all(step.duration_ms >= 0 and step.at for step in flow.steps)
    assert client.get_flow("nobody") is None
    status = client.flow_c_status()
    assert status.total_processed >= status.completed >= 1
    assert status.healthy_workers == 1


def test_agents_are_found_by_what_they_can_do(client: HiveClient, greeter: object) -> None:
    (found,) = eventually(lambda: client.discover(["greeting"], "EXECUTE"), bool)
    assert (found.agent_id, found.capacity) == ("greeter-1", 4)
    assert 0 < found.score <= 1
    assert client.discover(["singing"]) == ()
    assert client.discover(["greeting"], "DEPLOY") == ()
    with pytest.raises(ValueError, match="'SING' is not a valid TaskType"):
        client.discover(task_type="SING")


def test_a_plan_with_a_mistake_is_not_published(client: HiveClient, tmp_path: Path) -> None:
    with pytest.raises(BadPlan, match=r"plan: tasks\[0\]\.dependencies\[0\]: unknown task 'x'"):
        client.publish_plan(greeting("bad", {"task_id": "a", "dependencies": ["x"]}))
    with pytest.raises(BadPlan, match="there is no such field"):
        client.publish_plan({"tasks": [], "colour": "red"})
    with pytest.raises(BadPlan, match="cannot be read"):
        client.publish_plan(tmp_path / "none.yaml")


def test_who_waits_in_vain_is_told_for_what(hive: Hive, client: HiveClient) -> None:
    started = time.monotonic()
    with pytest.raises(NoAnswerYet, match=r"workflow never is not known yet after 0\.5 s"):
        client.wait_for_end("never", timeout_s=0.5)
    token = client.cancel("nobody", "never read")
    ahead = Token(
        token.message_id, token.topic, token.partition, token.offset + 1_000, token.appended_at, "x"
    )
    with pytest.raises(NoAnswerYet, match=r"orchestrator has not come to orchestration\.commands:"):
        client.wait(ahead, timeout_s=0.5)
    assert time.monotonic() - started < 30
    with pytest.raises(BadToken, match="is no token"):
        Token.parse("yesterday")
    with pytest.raises(ValueError, match="no system reads elsewhere"):
        client.wait(Token("m", "elsewhere", 0, 0, 0, "w"))


def asked(hive: Hive, *arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "neural_hive.cli", "publish", "command", *arguments]
    return subprocess.run(
        line, env=hive.environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_command_can_wait_for_what_became_of_it(hive: Hive, client: HiveClient, greeter: object) -> None:
    done = asked(hive, "cancel", "nobody", "--reason", "why", "--wait")
    assert done.returncode == 1, done.stderr
    message_id, told = done.stdout.splitlines()
    assert len(message_id) == 36
    assert told.startswith("DEAD_LETTER ") and "no such workflow" in told
    workflow_id = client.publish_plan(greeting("asked", {"task_id": "greet"})).routing_id
    client.wait_for_end(workflow_id)
    done = asked(hive, "pause", workflow_id, "--reason", "why", "--wait", "--json")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["status"]) == (1, "REFUSED"), done.stderr
    assert [event["event_type"] for event in answer["events"]] == ["WorkflowCommandRefused"]


def test_who_reads_his_writes_waits_for_the_tables(hive: Hive, client: HiveClient) -> None:
    assert hive.projector is not None
    hive.stop(hive.projector)
    try:
        token = client.publish_plan(greeting("unseen", WAITING))
        with pytest.raises(NoAnswerYet, match="the tables do not hold it yet: does the projector run"):
            client.wait(token, timeout_s=5)
    finally:
        hive.start_projector()
    found = client.get_workflow(token.routing_id, after=token)
    assert found is not None and found.status == "RUNNING"
    assert client.wait(client.cancel(token.routing_id, "seen")).is_accepted


def test_many_threads_share_a_client(client: HiveClient) -> None:
    plans = [greeting(f"thread-{n}", WAITING) for n in range(12)]
    with ThreadPoolExecutor(6) as pool:
        tokens = list(pool.map(client.publish_plan, plans))
        outcomes = list(pool.map(client.wait, tokens))
        cancelled = list(
            pool.map(lambda token: client.wait(client.cancel(token.routing_id, "enough")), tokens)
        )
    assert {outcome.verdict for outcome in outcomes + cancelled} == {Verdict.ACCEPTED}
    assert len({outcome.events[0].aggregate_id for outcome in outcomes}) == 12

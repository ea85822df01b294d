"""The API in front of a real broker, orchestrator and engine: what is asked for is done, and read back."""

import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.testclient import TestClient

from neural_hive.api import repeats
from neural_hive.sdk.agent import AgentClient, AgentConfig
from tests.api.making import Api, problem
from tests.sdk.conftest import Hive

pytestmark = pytest.mark.slow
NOBODYS = ["that-nobody-has"]
REMOTE = "remote-work"


def plan(plan_id: str, *task_ids: str, capability: str = NOBODYS[0], **more: Any) -> dict[str, Any]:
    """A plan whose tasks wait for an agent, one after the other."""
    tasks = [{"task_id": t, "command": ["true"], "required_capabilities": [capability]} for t in task_ids]
    return {"plan_id": plan_id, "tasks": tasks, **more}


def published(caller: TestClient, content: dict[str, Any], **headers: str) -> str:
    answer = caller.post("/api/v1/plans", json=content, headers={"Prefer": "wait=30", **headers})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["resource"]).rpartition("/")[2]


def eventually(look: Callable[[], Any]) -> Any:
    until = time.monotonic() + 60
    while not (found := look()):
        assert time.monotonic() < until
        time.sleep(0.2)
    return found


@pytest.fixture(scope="module")
def agent(hive: Hive) -> Iterator[str]:
    """An agent that does its work over HTTP: here it only says that it lives."""
    name = f"remote-{uuid.uuid4().hex[:6]}"
    client = AgentClient(AgentConfig(name, capabilities=(REMOTE,)), hive.settings.kafka_config())
    client.start()
    yield name
    client.close("the test is over")


def test_a_plan_becomes_a_workflow_that_signals_reach(caller: TestClient) -> None:
    answer = caller.post("/api/v1/plans", json=plan("signals", "a", "b"), headers={"Prefer": "wait=30"})
    told = answer.json()
    assert (answer.status_code, told["status"]) == (201, "ACCEPTED"), told
    assert told["events"][0] == "WorkflowStarted"
    where = answer.headers["location"]
    assert where == told["resource"]
    found = caller.get(where).json()
    assert (found["plan_id"], found["status"], found["requested_by"]) == ("signals", "RUNNING", "ann")

    def signal(name: str, **more: Any) -> Any:
        return caller.post(
            f"{where}/signals/{name}", json={"reason": "why", **more}, headers={"Prefer": "wait=30"}
        )

    paused = signal("pause")
    assert (paused.status_code, paused.json()["status"]) == (200, "ACCEPTED")
    assert (
        caller.get(where, headers={"X-Read-After": paused.headers["x-read-after"]}).json()["status"]
        == "PAUSED"
    )
    assert signal("pause").json()["status"] == "NOTHING_NEW"
    assert signal("adjust_qos", priority="HIGH").json()["events"] == ["WorkflowQosAdjusted"]
    problem(signal("adjust_qos"), 422, "invalid")
    assert signal("resume").status_code == 200
    tickets = caller.get(f"{where}/tickets").json()["items"]
    assert {ticket["status"] for ticket in tickets} == {"READY"}
    refused = signal("retry", ticket_id=tickets[0]["ticket_id"])
    told = problem(refused, 409, "refused")
    assert "nothing to try again" in told["detail"] and told["events"] == ["TicketCommandRefused"]
    problem(caller.get(told["outcome"]), 409, "refused")  # asked again, it is still so
    assert signal("cancel").status_code == 200
    assert caller.get(where).json()["status"] == "CANCELLED"
    assert "CANCELLED" in problem(signal("pause"), 409, "refused")["detail"]
    timeline = caller.get(f"{where}/timeline").json()
    types = [event["event_type"] for event in timeline["items"]]
    assert types[:3] == ["WorkflowStarted", "TicketCreated", "TicketCreated"]
    assert {"WorkflowPaused", "WorkflowResumed", "WorkflowCancelled", "TicketCancelled"} <= set(types)
    assert timeline["next"] is None
    pages, after = list[str](), -1
    while after is not None:
        page = caller.get(f"{where}/timeline?limit=2&after={after}").json()
        pages += [event["event_type"] for event in page["items"]]
        after = page["next"]
    assert pages == types


def test_signals_to_nobody_leave_no_dead_letter(caller: TestClient) -> None:
    answer = caller.post("/api/v1/workflows/nobody/signals/cancel", json={"reason": "x"})
    problem(answer, 404, "not-found")
    problem(caller.get("/api/v1/workflows/nobody"), 404, "not-found")
    problem(caller.get("/api/v1/workflows/nobody/timeline"), 404, "not-found")
    problem(caller.get("/api/v1/tickets/nobody"), 404, "not-found")
    problem(caller.post("/api/v1/tickets/nobody/retry", json={"reason": "x"}), 404, "not-found")


def test_who_does_not_wait_is_told_where_to_look(caller: TestClient) -> None:
    answer = caller.post("/api/v1/plans", json=plan("later", "a"), headers={"Prefer": "respond-async"})
    told = answer.json()
    assert (answer.status_code, told["status"]) == (202, "PUBLISHED")
    assert answer.headers["location"] == told["outcome"]
    later = caller.get(told["outcome"], headers={"Prefer": "wait=30"})
    assert (later.status_code, later.json()["status"]) == (200, "ACCEPTED")
    found = caller.get(told["resource"], headers={"X-Read-After": answer.headers["x-read-after"]})
    assert found.status_code == 200
    for bad in (
        "nonsense",
        "plans.consensus:99:0:0:a:b",
        "execution.tickets:0:0:0:a:b",
        f"plans.consensus:0:{2**64}:0:a:b",
    ):
        problem(caller.get(f"/api/v1/outcomes/{bad}"), 422, "invalid")
        problem(caller.get(told["resource"], headers={"X-Read-After": bad}), 422, "invalid")


def test_the_same_key_does_the_same_once(api: Api, caller: TestClient) -> None:
    key = {"Idempotency-Key": uuid.uuid4().hex, "Prefer": "wait=30"}
    first = caller.post("/api/v1/plans", json=plan("once", "a"), headers=key)
    assert first.status_code == 201
    again = caller.post("/api/v1/plans", json=plan("once", "a"), headers=key)
    assert again.json() == first.json()  # the same message, and so the same workflow
    problem(caller.post("/api/v1/plans", json=plan("once", "b"), headers=key), 422, "idempotency-key-reused")
    # Another process knows it too: the log tells.
    api.services.repeats = repeats.Repeats(api.services.sender, api.services.tables, api.services.personal)
    assert caller.post("/api/v1/plans", json=plan("once", "a"), headers=key).json() == first.json()
    api.services.repeats = repeats.Repeats(api.services.sender, api.services.tables, api.services.personal)
    problem(caller.post("/api/v1/plans", json=plan("once", "b"), headers=key), 422, "idempotency-key-reused")
    [row] = caller.get("/api/v1/workflows?plan_id=once").json()["items"]
    assert row["workflow_id"] in first.json()["resource"]
    # A key belongs to who sent it, and to the path.
    other = api.caller("publisher").post("/api/v1/plans", json=plan("once", "b"), headers=key)
    assert other.status_code == 201
    signal = f"{first.json()['resource']}/signals/cancel"
    cancelled = caller.post(signal, json={"reason": "enough"}, headers=key)
    assert cancelled.json()["status"] == "ACCEPTED"
    assert caller.post(signal, json={"reason": "enough"}, headers=key).json() == cancelled.json()
    problem(caller.post(signal, json={"reason": "other"}, headers=key), 422, "idempotency-key-reused")


def test_the_same_key_at_the_same_moment(api: Api) -> None:
    """Those who ask at once get one answer: one of them has published."""
    key, content = {"Idempotency-Key": uuid.uuid4().hex, "Prefer": "respond-async"}, plan("at-once", "a")

    def ask(_: int) -> Any:
        return api.caller().post("/api/v1/plans", json=content, headers=key).json()

    with ThreadPoolExecutor(6) as several:
        answers = list(several.map(ask, range(6)))
    assert answers == [answers[0]] * 6 and answers[0]["status"] == "PUBLISHED"


def test_a_refusal_is_repeated_as_one(caller: TestClient) -> None:
    where = f"/api/v1/workflows/{published(caller, plan('refused', 'a'))}/signals"
    assert (
        caller.post(f"{where}/cancel", json={"reason": "x"}, headers={"Prefer": "wait=30"}).status_code == 200
    )
    key = {"Idempotency-Key": "refuse me", "Prefer": "wait=30"}
    first = problem(caller.post(f"{where}/pause", json={"reason": "x"}, headers=key), 409, "refused")
    second = problem(caller.post(f"{where}/pause", json={"reason": "x"}, headers=key), 409, "refused")
    assert first["message_id"] == second["message_id"]


def test_a_decision_that_says_something_else_is_refused(caller: TestClient) -> None:
    name = uuid.uuid4().hex
    published(caller, plan("same", "a", decision_id=name))
    other = caller.post(
        "/api/v1/plans", json=plan("same", "b", decision_id=name), headers={"Prefer": "wait=30"}
    )
    assert other.status_code == 409, other.text
    assert other.json()["detail"]


def test_a_worker_over_http(api: Api, caller: TestClient, agent: str) -> None:
    """The ticket's token opens what it names; with it the attempt begins, ends, and is not ended twice."""
    answer = caller.post(
        "/api/v1/tickets",
        json={
            "command": ["true"],
            "required_capabilities": [REMOTE],
            "priority": "HIGH",
            "intent_id": "by-http",
        },
        headers={"Prefer": "wait=30"},
    )
    assert answer.status_code == 201, answer.text
    where = answer.json()["resource"]
    eventually(lambda: caller.get(where).json().get("agent_id") == agent)
    found = caller.get(where).json()
    assert (found["status"], found["attempt"], found["priority"]) == ("ASSIGNED", 1, "HIGH")
    told = caller.get(f"{where}/token").json()
    assert (told["agent_id"], told["attempt"], told["actions"]) == (agent, 1, ["read", "status"])
    worker = api.bearer(told["token"])
    wait = {"Prefer": "wait=30"}
    assert worker.get(where).json() == found
    assert worker.get("/api/v1/tickets").status_code == 403
    began = worker.patch(f"{where}/status", json={"status": "RUNNING"}, headers=wait)
    assert began.json()["events"] == ["TicketStarted"], began.text
    running = caller.get(where).json()
    assert running["status"] == "RUNNING"
    key = {"Idempotency-Key": "done", **wait}
    done = {"status": "COMPLETED", "outputs": {"words": "2"}, "exit_code": 0}
    ended = worker.patch(f"{where}/status", json=done, headers=key)
    assert "TicketCompleted" in ended.json()["events"], ended.text
    assert worker.patch(f"{where}/status", json=done, headers=key).json() == ended.json()
    again = worker.patch(f"{where}/status", json={"status": "FAILED", "error": "no"}, headers=wait)
    problem(again, 409, "refused")
    last = caller.get(where).json()
    assert (last["status"], last["outputs"], last["exit_code"]) == ("COMPLETED", {"words": "2"}, 0)
    assert last["started_at"] == running["started_at"]
    history = caller.get(f"{where}/history").json()
    assert [step["version"] for step in history["items"]] == list(range(1, len(history["items"]) + 1))
    assert caller.get("/api/v1/tickets?intent_id=by-http&status=COMPLETED").json()["items"] == [last]
    page = caller.get(f"{where}/history?limit=2&after=1").json()
    assert [step["version"] for step in page["items"]] == [2, 3] and page["next"] == 3


def test_work_that_was_done_elsewhere(caller: TestClient, agent: str) -> None:
    workflow_id = published(caller, plan("elsewhere", "a", capability=REMOTE))
    [ticket] = caller.get(f"/api/v1/workflows/{workflow_id}/tickets").json()["items"]
    where = f"/api/v1/tickets/{ticket['ticket_id']}"
    if ticket["status"] == "READY":
        eventually(lambda: caller.get(where).json()["status"] == "ASSIGNED")
    problem(caller.patch(f"{where}/status", json={"status": "FAILED"}), 422, "invalid")
    problem(caller.patch(f"{where}/status", json={"status": "COMPLETED"}), 422, "invalid")
    done = {"status": "COMPLETED", "reason": "by hand", "outputs": {"x": "1"}}
    answer = caller.patch(f"{where}/status", json=done, headers={"Prefer": "wait=30"})
    assert answer.status_code == 200, answer.text
    assert caller.get(where).json()["outputs"] == {"x": "1"}


def test_a_ticket_that_nobody_has_gives_no_token(caller: TestClient) -> None:
    workflow_id = published(caller, plan("unassigned", "a"))
    [ticket] = caller.get(f"/api/v1/workflows/{workflow_id}/tickets").json()["items"]
    problem(caller.get(f"/api/v1/tickets/{ticket['ticket_id']}/token"), 409, "not-dispatched")


@pytest.mark.parametrize("limit", [1, 3, 1_000])
def test_pages_hold_each_once(caller: TestClient, limit: int) -> None:
    content = plan("paged", *(f"t{n}" for n in range(7)), intent_id=f"paged-{limit}")
    workflow_id = published(caller, content)
    seen, cursor = list[str](), ""
    while True:
        page = caller.get(f"/api/v1/tickets?intent_id=paged-{limit}&limit={limit}&cursor={cursor}").json()
        assert len(page["items"]) <= limit
        seen += [item["ticket_id"] for item in page["items"]]
        if not (cursor := page["next"]):
            break
    whole = caller.get(f"/api/v1/workflows/{workflow_id}/tickets").json()["items"]
    assert seen == [item["ticket_id"] for item in whole] and len(set(seen)) == 7
    for name, value in (("status", "READY"), ("plan_id", "paged"), ("workflow_id", workflow_id)):
        some = caller.get(f"/api/v1/tickets?intent_id=paged-{limit}&{name}={value}").json()["items"]
        assert len(some) == 7
    assert not caller.get(f"/api/v1/tickets?intent_id=paged-{limit}&status=FAILED").json()["items"]


def test_filters_are_values_and_no_sql(caller: TestClient) -> None:
    for evil in ("' OR 1=1 --", "{x:String}", "\\", "\0", "%s", "a'b", "\n"):
        for name in ("status", "plan_id", "intent_id"):
            answer = caller.get("/api/v1/workflows", params={name: evil})
            assert (answer.status_code, answer.json()["items"]) == (200, []), evil


def test_etags(caller: TestClient) -> None:
    where = f"/api/v1/workflows/{published(caller, plan('tagged', 'a'))}"
    first = caller.get(where)
    same = caller.get(where, headers={"If-None-Match": first.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    caller.post(f"{where}/signals/pause", json={"reason": "x"}, headers={"Prefer": "wait=30"})
    assert caller.get(where, headers={"If-None-Match": first.headers["etag"]}).status_code == 200


def test_looking_back(caller: TestClient) -> None:
    workflow_id = published(caller, plan("past", "a"))
    caller.post(
        f"/api/v1/workflows/{workflow_id}/signals/pause", json={"reason": "x"}, headers={"Prefer": "wait=30"}
    )
    base = f"/api/v1/replay/aggregates/{workflow_id}"
    assert caller.get(f"{base}/state").json()["state"]["status"] == "PAUSED"
    assert caller.get(f"{base}/state?at=v1").json()["state"]["status"] == "RUNNING"
    changed = caller.get(f"{base}/diff?from=v1").json()
    assert ["status"] in [c["path"] for c in changed["changes"]]
    lines = caller.get(f"{base}/history").json()["items"]
    assert lines[0]["reason"]["type"] == "DecisionConsolidated"
    [pause] = [line for line in lines if line["happening"]["envelope"]["event_type"] == "WorkflowPaused"]
    assert pause["reason"]["type"] == "PauseWorkflow"
    assert caller.get(f"{base}/explanation").json()["sentences"]
    place = pause["happening"]["place"]
    tree = caller.get(f"/api/v1/replay/causes/{place}").json()
    assert tree["before"][-1]["node"]["type"] == "PauseWorkflow"
    problem(caller.get("/api/v1/replay/aggregates/nobody/state"), 404, "not-found")
    problem(caller.get(f"{base}/state?at=yesterday"), 422, "invalid")
    problem(caller.get(f"{base}/diff"), 422, "invalid")
    problem(caller.get("/api/v1/replay/causes/nobody"), 404, "not-found")
    problem(caller.get(f"/api/v1/replay/proofs/{place}"), 503, "unavailable")  # there is no sealer here


def test_dead_letters_say_what_they_held(api: Api, caller: TestClient) -> None:
    from neural_hive.streams.orchestrator.messages import CancelWorkflow

    token = api.services.sender.command(CancelWorkflow("nobody-is-called-so", "x"))
    found = caller.get(
        "/api/v1/dead-letters?source_topic=orchestration.commands", headers={"X-Read-After": str(token)}
    )
    letter = next(one for one in found.json()["items"] if one["source_offset"] == token.offset)
    whole = caller.get(f"/api/v1/dead-letters/{letter['message_id']}").json()
    assert (whole["message_type"], whole["payload"]["workflow_id"]) == (
        "CancelWorkflow",
        "nobody-is-called-so",
    )
    assert whole["letter"] == letter and "no such workflow" in letter["reason"]
    problem(caller.get("/api/v1/dead-letters/nobody"), 404, "not-found")


def test_dead_letters_are_written_again(api: Api, caller: TestClient) -> None:
    from neural_hive.streams.orchestrator.messages import CancelWorkflow

    tokens = [api.services.sender.command(CancelWorkflow(f"still-nobody-{n}", "x")) for n in range(3)]
    path = "/api/v1/dead-letters?source_topic=orchestration.commands"
    found = [caller.get(path, headers={"X-Read-After": str(token)}) for token in tokens][-1]
    wanted = {(token.partition, token.offset) for token in tokens}
    items = found.json()["items"]
    ids = [one["message_id"] for one in items if (one["source_partition"], one["source_offset"]) in wanted]
    assert len(ids) == 3
    patient = {"Prefer": "wait=30"}
    path = f"/api/v1/dead-letters/{ids[0]}/redrive"
    done = caller.post(
        path, json={"reason": "mended"}, headers=patient | {"Idempotency-Key": "redriven once"}
    )
    assert (done.status_code, done.json()["events"]) == (200, ["DeadLetterRedriven"])
    repeated = caller.post(
        path, json={"reason": "mended"}, headers=patient | {"Idempotency-Key": "redriven once"}
    )
    assert repeated.json()["message_id"] == done.json()["message_id"]
    problem(caller.post(path, json={"reason": "mended"}, headers=patient), 409, "refused")
    many = caller.post(
        "/api/v1/dead-letters/redrive",
        json={"reason": "all", "message_ids": [*ids, "nobody"]},
        headers=patient,
    )
    assert [one["status"] for one in many.json()["items"]] == ["REFUSED", "ACCEPTED", "ACCEPTED", "UNKNOWN"]
    problem(caller.post("/api/v1/dead-letters/nobody/redrive", json={"reason": "x"}), 404, "not-found")


def test_agents_and_how_it_does(api: Api, caller: TestClient, agent: str) -> None:
    found = eventually(lambda: caller.get(f"/api/v1/agents/{agent}").json())
    assert found["capabilities"] == [REMOTE]
    assert agent in [one["agent_id"] for one in caller.get("/api/v1/agents").json()["items"]]
    best = caller.get("/api/v1/agents/candidates", params={"capability": REMOTE}).json()["items"]
    assert [one["agent_id"] for one in best] == [agent]
    problem(caller.get("/api/v1/agents/nobody"), 404, "not-found")
    status = caller.get("/api/v1/flow-c/status").json()
    assert status["active_executions"] > 0 and status["healthy_workers"] >= 1
    health = caller.get("/health").json()
    assert health["needs"] == {"kafka": "ok", "clickhouse": "ok"}
    assert [consumer["name"] for consumer in health["consumers"]] == [
        *api.services.settings.systems,
        "projector",
    ]
    assert all(consumer["records_behind"] is not None for consumer in health["consumers"])
    assert caller.get("/ready").status_code == 200
    assert caller.get("/api/v1/incidents?status=OPEN").status_code == 200

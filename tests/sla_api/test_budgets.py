"""Budgets, their corrections, policies, freezes and violations over HTTP, as events have made them."""

import time
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.api.making import problem
from tests.sla_api.conftest import WAIT, Sla, eventually, policy

pytestmark = pytest.mark.slow


def iso(minutes_ago: float) -> str:
    return datetime.fromtimestamp(int(time.time()) // 60 * 60 - 60 * minutes_ago, UTC).isoformat()


def test_a_budget_is_read_in_every_way(sla: Sla) -> None:
    slo_id = sla.slo()
    problem(sla.caller.get(f"/api/v1/budgets/{slo_id}"), 404, "not-found")
    assert (
        "nothing was counted yet"
        in problem(sla.post(f"budgets/{slo_id}/recalculate"), 409, "dead-letter")["detail"]
    )
    sla.count(slo_id, 97, 100)
    found = sla.get(f"budgets/{slo_id}")
    assert (found["status"], found["good"], found["valid"]) == ("HEALTHY", 97, 100)
    assert found["remaining"] == pytest.approx(0.7) and found["budget_consumed"] == 3
    rates = sla.get(f"budgets/{slo_id}/burn-rate")
    windows = {window["window"]: window for window in rates["windows"]}
    assert set(windows) == {"budget", "5m", "30m", "1h", "2h", "6h", "24h", "3d"}
    assert windows["1h"]["burn_rate"] == pytest.approx(0.3) and windows["1h"]["valid"] == 100
    assert [rule["rate"] for rule in rates["rules"]] == [14.4, 6.0, 3.0, 1.0]
    assert not any(rule["is_met"] for rule in rates["rules"]) and rates["level"] == "NORMAL"
    explained = sla.get(f"budgets/{slo_id}/explanation")
    assert (explained["valid"], explained["bad"][0]["count"]) == (100, 3)
    assert explained["bad"][0]["place"] == "a-test:0:0-1"


def test_lists_and_the_summary(sla: Sla) -> None:
    service = f"service-{uuid.uuid4().hex[:8]}"
    slos = [sla.slo(service_name=service) for _ in range(4)]
    for slo_id, good in zip(slos, (100, 94, 91, 50), strict=True):
        sla.count(slo_id, good, 100)

    def listed(more: str = "") -> list[str]:
        return [item["slo_id"] for item in sla.get(f"budgets?service_name={service}{more}")["items"]]

    assert listed() == slos[::-1]
    for slo_id, status in zip(slos, ("HEALTHY", "WARNING", "CRITICAL", "EXHAUSTED"), strict=True):
        assert listed(f"&status={status}") == [slo_id]
    first = sla.get(f"budgets?service_name={service}&limit=3")
    assert len(first["items"]) == 3
    last = sla.get(f"budgets?service_name={service}&limit=3&cursor={first['next']}")
    assert [item["slo_id"] for item in last["items"]] == [slos[0]] and last["next"] == ""
    told = sla.get(f"budgets/summary?service_name={service}")
    assert told.pop("average") == pytest.approx((1 + 0.4 + 0.1 - 4) / 4)
    assert told == {"total": 4, "healthy": 1, "warning": 1, "critical": 1, "exhausted": 1}
    assert sla.get("budgets/summary?service_name=nobodys")["total"] == 0
    assert sla.get("budgets/summary")["total"] >= 4
    removed = sla.caller.delete(f"/api/v1/slos/{slos[0]}?reason=x", headers=WAIT)
    assert removed.status_code == 200
    assert slos[0] not in listed() and slos[0] in listed("&gone=true")
    assert sla.get(f"budgets/summary?service_name={service}")["total"] == 3


def test_violations_and_what_was_believed(sla: Sla) -> None:
    slo_id = sla.slo()
    sla.count(slo_id, 0, 100)
    opened = sla.get(f"violations?slo_id={slo_id}&status=OPEN")["items"]
    assert {item["kind"] for item in opened} == {"EXHAUSTED", "BURN_FAST"}
    [critical] = sla.get(f"violations?service_name={slo_id}&severity=CRITICAL")["items"]
    assert critical["kind"] == "EXHAUSTED"
    assert sla.get(f"violations/{critical['violation_id']}") == critical
    problem(sla.caller.get("/api/v1/violations/none"), 404, "not-found")
    sla.count(slo_id, 5_000, 5_000)

    def closed() -> list[Any]:  # its next look is ten seconds after the minute's end
        found: list[Any] = sla.get(f"violations?slo_id={slo_id}&status=CLOSED")["items"]
        return found

    assert len(eventually(closed)) == 2
    assert sla.get(f"violations?slo_id={slo_id}&status=OPEN")["items"] == []
    history = sla.get(f"budgets/{slo_id}/history")
    assert len(history["items"]) >= 2 and history["next"] is None
    newest, oldest = history["items"][0], history["items"][-1]
    assert (newest["valid"], oldest["valid"]) == (5_100, 100)
    assert (newest["status"], oldest["status"]) == ("HEALTHY", "EXHAUSTED")
    first = sla.get(f"budgets/{slo_id}/history?limit=1")
    rest = sla.get(f"budgets/{slo_id}/history?before={first['next']}")
    assert [*first["items"], *rest["items"]] == history["items"]


def test_corrections(sla: Sla) -> None:
    slo_id = sla.slo()
    sla.count(slo_id, 50, 100, minutes_ago=3)
    path = f"budgets/{slo_id}"
    corrected = sla.post(f"{path}/corrections", {"minute": iso(3), "good": 45})
    assert (corrected.status_code, corrected.json()["events"]) == (200, ["BudgetAdjusted"])
    problem(sla.post(f"{path}/corrections", {"minute": iso(3)}), 422, "invalid")
    refused = problem(sla.post(f"{path}/corrections", {"minute": iso(3), "good": 45}), 409, "dead-letter")
    assert "140 good of 100 valid" in refused["detail"]
    excluded = sla.post(f"{path}/exclusions", {"starts_at": iso(4), "ends_at": iso(1), "adjustment_id": "m1"})
    assert excluded.status_code == 200, excluded.text
    kinds = [(a["kind"], a["adjustment_id"]) for a in sla.get(f"{path}/adjustments", excluded)["items"]]
    assert kinds[0] == ("EXCLUDE", "m1") and kinds[1][0] == "CORRECT"
    lifted = sla.post(f"{path}/exclusions/m1/lift")
    assert lifted.status_code == 200, lifted.text
    again = problem(sla.post(f"{path}/exclusions/m1/lift"), 409, "dead-letter")
    assert "there is no exclusion m1" in again["detail"]
    found = sla.get(f"{path}/adjustments?limit=2", lifted)
    assert [a["kind"] for a in found["items"]] == ["LIFT", "EXCLUDE"]
    assert all(a["requested_by"] == "ann" and a["reason"] == "a test" for a in found["items"])
    [rest] = sla.get(f"{path}/adjustments?before={found['next']}")["items"]
    assert (rest["kind"], rest["good"]) == ("CORRECT", 45)
    problem(sla.post(f"{path}/exclusions", {"starts_at": iso(1), "ends_at": iso(2)}), 409, "dead-letter")
    problem(sla.post("budgets/nobody/corrections", {"minute": iso(3), "good": 1}), 404, "not-found")
    for who in ("publisher", "auditor", "approver"):
        problem(sla.post(f"{path}/exclusions/m1/lift", who=who), 403, "forbidden")


def test_a_group_has_budgets_of_its_own(sla: Sla) -> None:
    slo_id = sla.slo(indicator={"source": "TICKETS", "good": "status = 'COMPLETED'", "group_by": "task_id"})
    sla.count(slo_id, 9, 10, dimension="build")
    sla.count(slo_id, 10, 10, dimension="deploy")
    assert sla.get(f"budgets/{slo_id}?dimension=build")["good"] == 9
    problem(sla.caller.get(f"/api/v1/budgets/{slo_id}"), 404, "not-found")
    found = sla.get(f"budgets?slo_id={slo_id}")["items"]
    assert [item["dimension"] for item in found] == ["deploy", "build"]


def defined(sla: Sla, **more: Any) -> str:
    """A policy that all partitions know."""
    policy_id = f"policy-{uuid.uuid4().hex[:8]}"
    made = sla.post("policies", policy(policy_id, **more))
    assert (made.status_code, made.json()["events"]) == (201, ["FreezePolicyDefined"])
    return policy_id


def test_a_policy_from_its_beginning_to_its_end(sla: Sla) -> None:
    policy_id = defined(sla)
    found = sla.get(f"policies/{policy_id}")
    assert (found["status"], found["revision"], found["actions"]) == ("DEFINED", 1, ["BLOCK_DEPLOY"])
    problem(sla.post("policies", policy(policy_id, trigger_percent=1)), 409, "dead-letter")
    change = policy(policy_id, enabled=False)
    change.pop("policy_id")
    problem(sla.put(f"policies/{policy_id}", change), 428, "precondition-required")
    tag = sla.caller.get(f"/api/v1/policies/{policy_id}").headers["etag"]
    revised = sla.put(f"policies/{policy_id}", change, **{"If-Match": tag})
    assert revised.status_code == 200, revised.text
    assert sla.get(f"policies/{policy_id}", revised)["enabled"] is False
    problem(sla.put(f"policies/{policy_id}", change, **{"If-Match": tag}), 412, "changed-since")
    problem(sla.put(f"policies/{policy_id}", change | {"revision": 1}), 409, "dead-letter")
    listed = [item["policy_id"] for item in sla.get("policies?enabled=false")["items"]]
    assert policy_id in listed
    assert policy_id not in [item["policy_id"] for item in sla.get("policies?enabled=true")["items"]]
    wrong = policy(policy_id, trigger_percent=60, revision=2)
    wrong.pop("policy_id")
    told = problem(sla.put(f"policies/{policy_id}", wrong), 422, "invalid")
    assert told["errors"][0]["pointer"] == "/trigger_percent"
    removed = sla.caller.delete(f"/api/v1/policies/{policy_id}?reason=x", headers=WAIT)
    assert removed.status_code == 200
    assert sla.get(f"policies/{policy_id}", removed)["status"] == "REMOVED"
    assert policy_id not in [item["policy_id"] for item in sla.get("policies")["items"]]
    assert policy_id in [item["policy_id"] for item in sla.get("policies?removed=true")["items"]]
    problem(sla.caller.get("/api/v1/policies/nobody"), 404, "not-found")
    problem(sla.caller.delete("/api/v1/policies/nobody?reason=x"), 404, "not-found")


def active(sla: Sla, service: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = sla.get(f"policies/freezes/active?service_name={service}")["items"]
    return found


def test_a_freeze_by_hand(sla: Sla) -> None:
    service, namespace = f"service-{uuid.uuid4().hex[:8]}", f"space-{uuid.uuid4().hex[:8]}"
    sla.slo(service_name=service, namespace=namespace)
    of_service = defined(sla, subject=service)
    of_namespace = defined(sla, subject=namespace, scope="NAMESPACE")
    of_another = defined(sla)
    for policy_id in (of_service, of_namespace, of_another):
        frozen = sla.post(f"policies/{policy_id}/freeze", {"reason": "launch day"})
        assert (frozen.status_code, frozen.json()["events"]) == (200, ["FreezeActivated"])
    found = active(sla, service)
    assert [freeze["policy_id"] for freeze in found] == [of_namespace, of_service]
    one = found[1]
    assert sla.get(one["freeze_id"] and f"policies/freezes/{one['freeze_id']}") == one
    assert (one["reason"], one["requested_by"], one["by_hand"]) == ("launch day", "ann", False)
    assert sla.post(f"policies/{of_service}/freeze").json()["status"] == "NOTHING_NEW"
    where = f"policies/freezes/{one['freeze_id']}/resolve"
    for who in ("publisher", "auditor", "alerter"):
        problem(sla.post(where, who=who), 403, "forbidden")
    ended = sla.post(where, {"reason": "it is over"}, who="approver")
    assert (ended.status_code, ended.json()["events"]) == (200, ["FreezeResolved"])
    assert [freeze["policy_id"] for freeze in active(sla, service)] == [of_namespace]
    changes = sla.get(f"policies/freezes/history?policy_id={of_service}", ended)["items"]
    assert [change["event_type"] for change in changes] == ["FreezeResolved", "FreezeActivated"]
    assert (changes[0]["reason"], changes[0]["by_hand"]) == ("it is over", True)
    of_it = sla.get(f"policies/freezes/history?service_name={service}&limit=2")
    assert len(of_it["items"]) == 2
    rest = sla.get(f"policies/freezes/history?service_name={service}&cursor={of_it['next']}")
    assert [c["event_type"] for c in rest["items"]] == ["FreezeActivated"]
    problem(sla.post("policies/freezes/none/resolve"), 404, "not-found")
    problem(sla.post("policies/nobody/freeze"), 404, "not-found")
    problem(sla.caller.get("/api/v1/policies/freezes/none"), 404, "not-found")
    assert sla.post(f"policies/freezes/{found[0]['freeze_id']}/resolve").status_code == 200


def test_a_budget_freezes_and_a_person_ends_it(sla: Sla) -> None:
    slo_id = sla.slo()
    policy_id = defined(sla, subject=slo_id)

    def frozen() -> Any:
        sla.count(slo_id, 50, 100)  # until its partition has read of the policy
        return active(sla, slo_id)

    [found] = eventually(frozen)
    assert (found["policy_id"], found["slo_id"], found["status"]) == (policy_id, slo_id, "ACTIVE")
    ended = sla.post(f"policies/freezes/{found['freeze_id']}/resolve", {"reason": "we must"})
    assert ended.json()["events"] == ["FreezeResolved"]
    sla.count(slo_id, 0, 100)
    assert active(sla, slo_id) == []  # it does not begin again before the budget has recovered

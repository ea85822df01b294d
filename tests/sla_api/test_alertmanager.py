"""What an Alertmanager posts, by hand and by a real one: each alert once, told of if it is not understood."""

import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import uvicorn
from prometheus_client import REGISTRY

from neural_hive.connectors.json_api import JsonApi
from neural_hive.connectors.ports import HOST, free_port
from tests.api.making import Api, problem
from tests.prometheus.servers import alertmanager, needs_alertmanager
from tests.sla_api.conftest import WAIT, Sla, eventually, policy

pytestmark = pytest.mark.slow
BEGIN = datetime(2026, 5, 4, 13, tzinfo=UTC)


def alert(slo_id: str = "", status: str = "firing", at: datetime = BEGIN, **more: Any) -> dict[str, Any]:
    """One alert as an Alertmanager writes it."""
    labels = {"alertname": "Burns", "severity": "page"} | ({"slo": slo_id} if slo_id else {})
    return {
        "status": status,
        "labels": labels,
        "annotations": {"summary": "it burns"},
        "startsAt": at.isoformat(),
        "endsAt": (at + timedelta(minutes=5)).isoformat() if status == "resolved" else "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/graph",
        "fingerprint": "0f3a6c",
        **more,
    }


def call(*alerts: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A whole call."""
    return {
        "version": "4",
        "groupKey": '{}:{slo="shop"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "sla-management-system-webhook",
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager",
        "alerts": list(alerts),
        **more,
    }


def posted(sla: Sla, *alerts: dict[str, Any], wait: bool = True) -> dict[str, Any]:
    answer = sla.api.caller("alerter").post(
        "/webhooks/alertmanager", json=call(*alerts), headers=WAIT if wait else {}
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"neural_hive_sla_alertmanager_{name}_total", labels) or 0.0


def alerts_of(sla: Sla, slo_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = sla.get(f"slos/{slo_id}/alerts")["items"]
    return found


def test_an_alert_is_noted_once_and_its_end_too(sla: Sla) -> None:
    slo_id = sla.slo()
    before = counted("webhooks_received"), counted("alerts", outcome="taken")
    told = posted(sla, alert(slo_id))
    assert (told["received"], told["taken"]) == (1, 1)
    assert (told["items"][0]["slo_id"], told["items"][0]["status"]) == (slo_id, "ACCEPTED")
    again = posted(sla, alert(slo_id, annotations={"summary": "it burns on"}))
    assert again["items"][0]["status"] == "ACCEPTED"  # what became of the first
    [found] = alerts_of(sla, slo_id)
    assert (found["status"], found["labels"]["severity"]) == ("FIRING", "page")
    assert (found["annotations"], found["starts_at"]) == ({"summary": "it burns"}, "2026-05-04T13:00:00Z")
    assert found["receiver"] == "sla-management-system-webhook"
    for _ in range(2):
        assert posted(sla, alert(slo_id, "resolved"))["taken"] == 1
    [found] = alerts_of(sla, slo_id)
    assert (found["status"], found["ends_at"]) == ("RESOLVED", "2026-05-04T13:05:00Z")
    later = BEGIN + timedelta(hours=1)
    posted(sla, alert(slo_id, at=later))
    [found] = alerts_of(sla, slo_id)
    assert (found["status"], found["ends_at"]) == ("FIRING", None)
    sql = "SELECT event_type FROM events WHERE aggregate_type = 'alert' AND aggregate_id = {id:String} ORDER BY version"
    rows = sla.api.services.tables.rows(sql, {"id": found["alert_id"]})
    assert [kind for (kind,) in rows] == ["AlertFired", "AlertResolved", "AlertFired"]
    after = counted("webhooks_received"), counted("alerts", outcome="taken")
    assert (after[0] - before[0], after[1] - before[1]) == (5, 5)


def test_the_budget_is_looked_at_and_policies_freeze(sla: Sla) -> None:
    slo_id = sla.slo()
    assert sla.post("policies", policy(slo_id)).status_code == 201
    sla.measure(slo_id, 50, 100)
    assert posted(sla, alert(slo_id))["items"][0]["status"] == "ACCEPTED"
    sql = (
        "SELECT event_type FROM events WHERE causation_id IN (SELECT causation_id FROM events "
        "WHERE event_type = 'AlertFired' AND key = {slo:String})"
    )
    caused = {kind for (kind,) in sla.api.services.tables.rows(sql, {"slo": slo_id})}
    assert {"AlertFired", "BudgetEvaluated", "ViolationOpened", "FreezeActivated"} == caused
    [freeze] = sla.get(f"policies/freezes/active?service_name={slo_id}")["items"]
    assert freeze["slo_id"] == slo_id


def test_what_is_not_understood_is_told_and_counted(sla: Sla) -> None:
    slo_id, nobody = sla.slo(), f"nobody-{uuid.uuid4().hex[:8]}"
    names = ("taken", "no_slo", "unknown_slo", "invalid")
    before = [counted("alerts", outcome=name) for name in names]
    many = {f"label_{n}": "x" for n in range(70)}
    alerts = (
        alert(),
        alert(slo_id),
        alert(nobody),
        alert(slo_id, labels={"slo": slo_id} | many, fingerprint="aa"),
        alert(slo_id, fingerprint="not hexadecimal"),
    )
    told = posted(sla, *alerts, wait=False)
    assert [told[name] for name in names] == [1, 1, 1, 2] and told["received"] == 5
    statuses = [item["status"] for item in told["items"]]
    assert statuses == ["NO_SLO", "PUBLISHED", "UNKNOWN_SLO", "INVALID", "INVALID"]
    assert nobody in told["items"][2]["reason"] and "at most 64" in told["items"][3]["reason"]
    after = [counted("alerts", outcome=name) for name in names]
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 1, 1, 2]
    # It is not lost: the log says why nothing came of it, once.
    waited = posted(sla, alert(nobody), alert(nobody))
    assert [item["status"] for item in waited["items"]] == ["DEAD_LETTER"] * 2
    assert waited["unknown_slo"] == 2 and "there is no SLO" in waited["items"][0]["reason"]
    sql = "SELECT count() FROM dead_letters WHERE position(reason, {name:String}) > 0"
    assert sla.api.services.tables.rows(sql, {"name": nobody}) == [(1,)]


def test_very_old_senders_give_no_fingerprint(sla: Sla) -> None:
    slo_id = sla.slo()
    old = alert(slo_id)
    old.pop("fingerprint")
    assert posted(sla, old)["taken"] == 1 and posted(sla, old)["taken"] == 1
    assert len(alerts_of(sla, slo_id)) == 1


def test_calls_that_are_none(sla: Sla) -> None:
    caller = sla.api.caller("alerter")

    def answer(content: Any) -> Any:
        return caller.post("/webhooks/alertmanager", json=content)

    problem(answer(call(version="3")), 422, "invalid")
    problem(answer({}), 422, "invalid")
    problem(answer(call(alert("shop", status="odd"))), 422, "invalid")
    problem(answer(call(*[alert("shop")] * 1_001)), 422, "invalid")
    big = call(alert("shop", annotations={"summary": "x" * (4 * 1024 * 1024)}))
    problem(answer(big), 413, "too-large")
    assert answer(call()).json()["received"] == 0


def test_only_who_tells_of_alerts_may(sla: Sla) -> None:
    for who in ("publisher", "operator", "auditor", "approver"):
        problem(sla.api.caller(who).post("/webhooks/alertmanager", json=call()), 403, "forbidden")
    problem(sla.api.caller("").post("/webhooks/alertmanager", json=call()), 401, "unauthenticated")
    for path in ("/api/v1/slos", "/api/v1/workflows", "/api/v1/dead-letters"):
        problem(sla.api.caller("alerter").get(path), 403, "forbidden")


def test_while_kafka_is_away_it_is_asked_again(lonely: Api) -> None:
    answer = lonely.caller("alerter").post("/webhooks/alertmanager", json=call(alert("shop")))
    problem(answer, 503, "unavailable")  # an Alertmanager tries again what is answered with 5xx


@pytest.fixture(scope="module")
def served(sla: Sla) -> Iterator[str]:
    """The API behind a socket; its URL."""
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(sla.api.app, host=HOST, port=port, log_config=None, lifespan="off")
    )
    thread = Thread(target=server.run, daemon=True)
    thread.start()
    eventually(lambda: server.started)
    yield f"http://{HOST}:{port}"
    server.should_exit = True
    thread.join(20)


@needs_alertmanager
def test_a_real_alertmanager(sla: Sla, served: str, tmp_path: Path) -> None:
    slo_id = sla.slo()
    key = tmp_path / "alerter.key"
    key.write_text(sla.api.keys["alerter"])
    config = {
        "route": {
            "receiver": "nobody",
            "routes": [
                {
                    "receiver": "sla-management-system-webhook",
                    "matchers": ['slo=~".*"'],
                    "group_by": ["slo", "service"],
                    "group_wait": "100ms",
                    "group_interval": "1s",
                    "repeat_interval": "2s",
                }
            ],
        },
        "receivers": [
            {"name": "nobody"},
            {
                "name": "sla-management-system-webhook",
                "webhook_configs": [
                    {
                        "url": f"{served}/webhooks/alertmanager",
                        "send_resolved": True,
                        "http_config": {"authorization": {"type": "Bearer", "credentials_file": str(key)}},
                    }
                ],
            },
        ],
    }
    calls = counted("webhooks_received")
    without = counted("alerts", outcome="no_slo")
    with alertmanager(tmp_path, config) as url:
        client = JsonApi("Alertmanager", url)
        begun = datetime.now(UTC).replace(microsecond=0)
        labels = {"alertname": "Burns", "slo": slo_id, "service": "shop"}
        other = {"labels": {"alertname": "Watchdog"}, "startsAt": begun}
        fired = [{"labels": labels, "startsAt": begun}, other]
        assert client.ask("POST", "/api/v2/alerts", json=fired).status == 200
        [found] = eventually(lambda: alerts_of(sla, slo_id))
        assert (found["status"], found["labels"]) == ("FIRING", labels)
        eventually(lambda: counted("webhooks_received") >= calls + 3)  # it repeats what goes on
        assert counted("alerts", outcome="no_slo") > without  # .* fits what has no label, too
        over = [{"labels": labels, "startsAt": begun, "endsAt": datetime.now(UTC)}]
        assert client.ask("POST", "/api/v2/alerts", json=over).status == 200
        [found] = eventually(lambda: [a for a in alerts_of(sla, slo_id) if a["status"] == "RESOLVED"])
        client.close()
    time.sleep(2)
    sql = "SELECT event_type FROM events WHERE aggregate_type = 'alert' AND aggregate_id = {id:String} ORDER BY version"
    rows = sla.api.services.tables.rows(sql, {"id": found["alert_id"]})
    assert [kind for (kind,) in rows] == ["AlertFired", "AlertResolved"]

"""SLOs over HTTP: promised, revised, tried out, taken back, and read from a file."""

import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from neural_hive.aggregates.freeze_policy import Policy
from neural_hive.aggregates.slo import Definition, Indicator
from neural_hive.api.slo_bodies import AskedIndicator, NewPolicy, NewSlo
from tests.api.making import PLENTY, Api, away, problem
from tests.prometheus.servers import Point, needs_prometheus, prometheus
from tests.sdk.conftest import Hive
from tests.sla_api.conftest import WAIT, Sla, slo

pytestmark = pytest.mark.slow


def test_bodies_say_what_the_domain_knows() -> None:
    assert set(NewSlo.model_fields) - {"reason"} == set(Definition.__struct_fields__)
    assert set(AskedIndicator.model_fields) == set(Indicator.__struct_fields__)
    assert set(NewPolicy.model_fields) - {"reason"} == set(Policy.__struct_fields__)


def test_an_slo_from_its_beginning_to_its_end(sla: Sla) -> None:
    slo_id = f"life-{uuid.uuid4().hex[:8]}"
    made = sla.post("slos", slo(slo_id, layer="api", labels={"team": "shop"}))
    told = made.json()
    assert (made.status_code, told["status"], told["events"]) == (201, "ACCEPTED", ["SloDefined"])
    assert made.headers["location"] == f"/api/v1/slos/{slo_id}"
    found = sla.get(f"slos/{slo_id}", made)
    assert (found["status"], found["revision"], found["measure"]) == ("DEFINED", 1, 1)
    assert (found["requested_by"], found["reason"], found["labels"]) == ("ann", "a test", {"team": "shop"})
    assert found["indicator"]["valid"] == f"plan_id = '{slo_id}'"
    assert (
        "revision 0 is not the newest one, 1"
        in problem(sla.post("slos", slo(slo_id, target=0.8)), 409, "dead-letter")["detail"]
    )
    assert sla.caller.get(f"/api/v1/slos/{slo_id}").json()["target"] == 0.9

    change = slo(slo_id, target=0.95)
    change.pop("slo_id")
    problem(sla.put(f"slos/{slo_id}", change), 428, "precondition-required")
    revised = sla.put(f"slos/{slo_id}", change | {"revision": 1})
    assert (revised.status_code, revised.json()["events"]) == (200, ["SloDefined"])
    stale = problem(sla.put(f"slos/{slo_id}", change | {"target": 0.5, "revision": 1}), 409, "dead-letter")
    assert "revision 1 is not the newest one, 2" in stale["detail"]
    found = sla.get(f"slos/{slo_id}", revised)
    assert (found["target"], found["revision"], found["layer"]) == (0.95, 2, "")

    removed = sla.caller.delete(f"/api/v1/slos/{slo_id}?reason=it+is+over", headers=WAIT)
    assert (removed.status_code, removed.json()["events"]) == (200, ["SloRemoved"])
    gone = sla.get(f"slos/{slo_id}", removed)
    assert (gone["status"], gone["reason"], gone["target"]) == ("REMOVED", "it is over", 0.95)
    again = sla.caller.delete(f"/api/v1/slos/{slo_id}?reason=it+is+over", headers=WAIT)
    assert again.json()["status"] == "NOTHING_NEW"
    problem(sla.caller.delete(f"/api/v1/slos/{slo_id}"), 422, "invalid")
    back = sla.put(f"slos/{slo_id}", change | {"revision": 2})
    assert sla.get(f"slos/{slo_id}", back)["status"] == "DEFINED"


def test_an_etag_is_a_revision(sla: Sla) -> None:
    slo_id = sla.slo()
    change = slo(slo_id, target=0.91)
    change.pop("slo_id")
    tag = sla.caller.get(f"/api/v1/slos/{slo_id}").headers["etag"]
    problem(sla.put(f"slos/{slo_id}", change, **{"If-Match": '"other"'}), 412, "changed-since")
    key = {"If-Match": tag, "Idempotency-Key": uuid.uuid4().hex}
    first = sla.put(f"slos/{slo_id}", change, **key)
    assert (first.status_code, first.json()["events"]) == (200, ["SloDefined"])
    assert sla.get(f"slos/{slo_id}", first)["revision"] == 2
    problem(sla.put(f"slos/{slo_id}", change, **{"If-Match": tag}), 412, "changed-since")
    assert sla.put(f"slos/{slo_id}", change, **key).json() == first.json()  # asked again, as it was asked
    assert sla.get(f"slos/{slo_id}")["revision"] == 2


def test_the_same_key_does_the_same_once(sla: Sla) -> None:
    slo_id, key = f"once-{uuid.uuid4().hex[:8]}", {"Idempotency-Key": uuid.uuid4().hex}
    first = sla.post("slos", slo(slo_id), **key)
    assert first.status_code == 201
    assert sla.post("slos", slo(slo_id), **key).json() == first.json()
    problem(sla.post("slos", slo(slo_id, target=0.5), **key), 422, "idempotency-key-reused")


def test_lists(sla: Sla) -> None:
    service = f"service-{uuid.uuid4().hex[:8]}"
    one, two, three = (
        sla.slo(service_name=service, layer=layer, slo_type=kind, enabled=enabled)
        for layer, kind, enabled in (
            ("api", "AVAILABILITY", True),
            ("db", "LATENCY", True),
            ("db", "ERROR_RATE", False),
        )
    )

    def listed(more: str = "") -> list[str]:
        found = sla.get(f"slos?service_name={service}{more}")
        assert found["next"] == ""
        return [item["slo_id"] for item in found["items"]]

    assert listed() == [three, two, one]
    assert listed("&layer=db") == [three, two]
    assert listed("&slo_type=LATENCY") == [two]
    assert listed("&enabled=true") == [two, one]
    assert listed("&enabled=false") == [three]
    removed = sla.caller.delete(f"/api/v1/slos/{two}?reason=x", headers=WAIT)
    assert removed.status_code == 200
    assert listed() == [three, one] and listed("&removed=true") == [three, two, one]
    pages, cursor = list[str](), ""
    while True:
        page = sla.get(f"slos?service_name={service}&removed=true&limit=1&cursor={cursor}")
        pages += [item["slo_id"] for item in page["items"]]
        if not (cursor := page["next"]):
            break
    assert pages == [three, two, one]
    problem(sla.caller.get("/api/v1/slos?cursor=nonsense"), 422, "invalid")


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"slo_id": "Big Letters"}, "/slo_id"),
        ({"target": 1.5}, "/target"),
        ({"window_days": 91}, "/window_days"),
        ({"indicator": {"source": "TICKETS", "good": "colour = 'red'"}}, "/indicator/good"),
        ({"indicator": {"source": "NOBODY", "good": "x"}}, "/indicator/source"),
        (
            {"indicator": {"source": "PROMQL", "good_promql": "a", "valid_promql": "b"}},
            "/indicator/good_promql",
        ),
        ({"colour": "red"}, "/colour"),
    ],
)
def test_what_makes_no_sense_is_said_before_it_is_in_the_log(
    tmp_path: Path, wrong: dict[str, Any], pointer: str
) -> None:
    lonely = Api(away(tmp_path))  # nobody is asked
    answer = lonely.caller("operator").post("/api/v1/slos", json={"reason": "x", **slo("shop"), **wrong})
    assert pointer in {error.get("pointer") for error in problem(answer, 422, "invalid")["errors"]}
    lonely.services.close()


def test_what_nobody_has_promised(sla: Sla) -> None:
    problem(sla.caller.get("/api/v1/slos/nobody"), 404, "not-found")
    problem(sla.caller.get("/api/v1/slos/nobody/alerts"), 404, "not-found")
    problem(sla.post("slos/nobody/test"), 404, "not-found")
    problem(sla.caller.delete("/api/v1/slos/nobody?reason=x"), 404, "not-found")
    change = slo("nobody", revision=1)
    change.pop("slo_id")
    problem(sla.put("slos/nobody", change), 404, "not-found")


def test_only_operators_promise(sla: Sla) -> None:
    slo_id = sla.slo()
    for who in ("publisher", "auditor", "approver", "alerter"):
        problem(sla.post("slos", slo(f"{slo_id}-2"), who=who), 403, "forbidden")
    assert sla.api.caller("publisher").get(f"/api/v1/slos/{slo_id}").status_code == 200
    problem(sla.api.caller("alerter").get(f"/api/v1/slos/{slo_id}"), 403, "forbidden")


def test_composite_slos_name_their_parts(sla: Sla) -> None:
    parts = [{"slo_id": sla.slo(), "weight": 2.0}, {"slo_id": sla.slo(), "weight": 1.0}]
    whole = sla.slo(indicator={"source": "COMPOSITE", "parts": parts})
    assert sla.get(f"slos/{whole}")["indicator"]["parts"] == parts


RULES = """
groups:
  - name: shop
    rules:
      - alert: HighErrorRate
        expr: >-
          sum(rate(http_requests_total{service="%(service)s",code=~"5.."}[5m]))
          / sum(rate(http_requests_total{service="%(service)s"}[5m])) > 0.01
        labels: {service: %(service)s}
      - alert: SomethingElse
        expr: absent(up)
"""


def imported(sla: Sla, text: str, query: str = "", **headers: str) -> Any:
    more = WAIT | {"Content-Type": "application/yaml"} | headers
    return sla.caller.post(f"/api/v1/slos/import/alerts{query}", content=text, headers=more)


def test_alert_rules_become_slos(sla: Sla) -> None:
    service = f"rules-{uuid.uuid4().hex[:8]}"
    text = RULES % {"service": service}
    looked = imported(sla, text, "?dry_run=true").json()
    [item] = looked["items"]
    assert (item["kind"], item["status"]) == ("slo", "UNDERSTOOD")
    assert not looked["is_whole"] and len(looked["definitions"]) == 1
    told = {finding["outcome"] for finding in looked["findings"]}
    assert "NOT_UNDERSTOOD" in told and told & {"READ", "ASSUMED"}
    problem(sla.caller.get(f"/api/v1/slos/{item['id']}"), 404, "not-found")

    key = {"Idempotency-Key": uuid.uuid4().hex}
    done = imported(sla, text, "?reason=our+rules", **key).json()
    assert done["items"] == [{"kind": "slo", "id": item["id"], "status": "ACCEPTED", "reason": ""}]
    found = sla.get(f"slos/{item['id']}")
    assert (found["indicator"]["source"], found["slo_type"]) == ("PROMQL", "ERROR_RATE")
    assert (found["service_name"], found["reason"]) == (service, "our rules")
    assert imported(sla, text, "?reason=our+rules", **key).json()["items"] == done["items"]
    assert imported(sla, text).json()["items"][0]["status"] == "NOTHING_NEW"
    assert sla.get(f"slos/{item['id']}")["revision"] == 1


def test_our_own_files_hold_policies_too(sla: Sla) -> None:
    name = f"file-{uuid.uuid4().hex[:8]}"
    text = f"""
kind: FreezePolicy
policy_id: {name}
name: Careful
scope: SERVICE
subject: {name}
actions: [BLOCK_DEPLOY]
trigger_percent: 10
unfreeze_percent: 25
"""
    done = imported(sla, text).json()
    assert done["items"] == [{"kind": "policy", "id": name, "status": "ACCEPTED", "reason": ""}]
    assert done["is_whole"] and sla.get(f"policies/{name}")["trigger_percent"] == 10


def test_files_that_are_none(sla: Sla) -> None:
    broken = imported(sla, "groups: [")
    assert broken.status_code == 200 and broken.json()["items"] == []
    assert [finding["outcome"] for finding in broken.json()["findings"]] == ["WRONG"]
    problem(sla.caller.post("/api/v1/slos/import/alerts", content=b"\xff\xfe"), 422, "invalid")
    problem(
        sla.caller.post("/api/v1/slos/import/alerts", content=b" " * (4 * 1024 * 1024 + 1)), 413, "too-large"
    )


def promql(slo_id: str, good: str = "good_total") -> dict[str, Any]:
    queries = {
        "good_promql": f"sum(increase({good}[$window]))",
        "valid_promql": "sum(increase(all_total[$window]))",
    }
    return slo(slo_id, indicator={"source": "PROMQL", **queries})


def test_a_dry_run_of_metric_windows_and_of_a_composite(sla: Sla) -> None:
    parts = sla.slo(), sla.slo()
    for name in parts:
        sla.count(name, 9, 10)
    weighted = [{"slo_id": parts[0]}, {"slo_id": parts[1], "weight": 3}]
    whole = sla.slo(indicator={"source": "COMPOSITE", "parts": weighted})
    told = sla.post(f"slos/{whole}/test").json()
    assert (told["good"], told["valid"], told["events"], told["problems"]) == (36, 40, 20, [])
    assert [(part["slo_id"], part["weight"], part["good"], part["valid"]) for part in told["parts"]] == [
        (parts[0], 1, 9, 10),
        (parts[1], 3, 9, 10),
    ]
    windows = sla.slo(
        indicator={"source": "TELEMETRY", "good": "value <= 250", "valid": "service = 'nobody'"}
    )
    told = sla.post(f"slos/{windows}/test?over=window").json()
    assert (told["source"], told["valid"], told["examples"]) == ("TELEMETRY", 0, [])
    assert told["problems"][0].startswith("none of")


@needs_prometheus
def test_a_dry_run_asks_the_tables_or_prometheus(sla: Sla, hive: Hive, tmp_path: Path) -> None:
    tickets, requests = sla.slo(), f"requests-{uuid.uuid4().hex[:8]}"
    told = sla.post(f"slos/{tickets}/test?over=day").json()
    assert (told["source"], told["slo_id"]) == ("TICKETS", tickets) and 0 <= told["good"] <= told["valid"]
    problem(sla.post(f"slos/{tickets}/test?over=year"), 422, "invalid")
    assert sla.post("slos", promql(requests)).status_code == 201
    told = problem(sla.post(f"slos/{requests}/test"), 409, "no-prometheus")
    assert "prometheus_url" in told["detail"]
    begin = int(time.time()) // 60 * 60 - 120 * 60
    points = [
        Point(name, begin + 3 + 15 * number, number * each)
        for name, each in (("good_total", 9.0), ("all_total", 10.0))
        for number in range(122 * 4)
    ]
    with prometheus(tmp_path, points) as url:
        asking = Api(hive.settings.model_copy(update=PLENTY | {"prometheus_url": url}))
        answer = asking.caller("operator").post(f"/api/v1/slos/{requests}/test")
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert (found["good"], found["valid"], found["counted"], found["wrong"]) == (2_160, 2_400, 60, [])
        asking.services.close()
    settings = hive.settings.model_copy(update=PLENTY | {"prometheus_url": "http://127.0.0.1:9"})
    gone = Api(settings)
    problem(gone.caller("operator").post(f"/api/v1/slos/{requests}/test"), 503, "unavailable")
    gone.services.close()

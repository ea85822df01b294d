"""What goes wrong is a problem document: paths, methods, sizes, times, errors; and nothing is told of the inside."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from neural_hive.api.edge import Edge
from neural_hive.api.limits import RateLimit
from neural_hive.api.permissions import BODY_BYTES_MAX
from tests.api.making import Api, away, problem


def test_no_such_path_and_no_such_method(lonely: Api) -> None:
    caller = lonely.caller()
    problem(caller.get("/api/v1/nothing"), 404, "no-such-path")
    problem(caller.get("/nothing"), 404, "no-such-path")
    refused = caller.delete("/api/v1/workflows/abc")
    problem(refused, 405, "method-not-allowed")
    assert refused.headers["allow"] == "GET"
    problem(caller.post("/health"), 405, "method-not-allowed")
    both = caller.put("/api/v1/tickets")
    assert both.headers["allow"] == "GET, POST"


def test_what_cannot_be_meant(lonely: Api) -> None:
    caller = lonely.caller()
    told = problem(caller.get("/api/v1/workflows?limit=0"), 422, "invalid")
    assert told["errors"][0]["pointer"] == "limit"
    wrong = {"reason": "", "ticket": 1}
    told = problem(caller.post("/api/v1/workflows/w/signals/retry", json=wrong), 422, "invalid")
    assert {error["pointer"] for error in told["errors"]} == {"/reason", "/ticket_id", "/ticket"}
    for body in (b"{", b"\xff\xfe", b"[1, 2]", b'"text"', b"null", b"{" * 5_000, b'{"reason": "\\ud800"}'):
        answer = caller.post(
            "/api/v1/workflows/w/signals/pause", content=body, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code in (400, 422), (body[:20], answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
    half = caller.post("/api/v1/workflows/w/signals/pause", content=b'{"reason": "x", "\\ud800": 1}')
    assert half.status_code == 422


def test_plans_that_cannot_be_carried_out(lonely: Api) -> None:
    caller = lonely.caller()
    tasks = [{"task_id": "a", "dependencies": ["b"]}, {"task_id": "b", "dependencies": ["a"]}]
    cycle = {"tasks": [task | {"command": ["true"]} for task in tasks]}
    for path in ("/api/v1/plans", "/api/v1/plans/validate"):
        told = problem(caller.post(path, json=cycle), 422, "invalid")
        assert "cycl" in str(told["errors"])
    problem(caller.post("/api/v1/plans", json={"tasks": []}), 422, "invalid")
    other = {"requested_by": "bob", "tasks": [{"task_id": "a", "command": ["true"]}]}
    told = problem(caller.post("/api/v1/plans", json=other), 403, "forbidden")
    assert "'ann'" in told["detail"]
    good = {"plan_id": "p", "tasks": [{"task_id": "a", "command": ["true"]}]}
    assert caller.post("/api/v1/plans/validate", json=good).json() == {
        "plan_id": "p",
        "task_count": 1,
        "order": ["a"],
    }


def test_bodies_that_are_too_large(lonely: Api) -> None:
    caller, path = lonely.caller(), "/api/v1/workflows/w/signals/pause"
    problem(caller.post(path, content=b"x" * (BODY_BYTES_MAX + 1)), 413, "too-large")

    def drip() -> Iterator[bytes]:  # without a Content-Length
        for _ in range(BODY_BYTES_MAX // 1_000 + 1):
            yield b"x" * 1_000

    problem(caller.post(path, content=drip()), 413, "too-large")
    nobody = lonely.caller("").post(path, content=b"x" * (BODY_BYTES_MAX + 1))
    assert nobody.status_code == 401


def through_edge(inside: Any, timeout_s: float = 60.0) -> TestClient:
    return TestClient(Edge(inside, timeout_s), raise_server_exceptions=False)


def test_errors_that_were_not_foreseen() -> None:
    async def inside(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("password=hunter2")

    told = problem(through_edge(inside).get("/x"), 500, "internal")
    assert "hunter2" not in str(told)


def test_requests_that_take_too_long() -> None:
    async def inside(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(60)

    problem(through_edge(inside, 0.05).get("/x"), 504, "time-over")


def test_half_an_answer_does_not_pass_for_a_whole_one() -> None:
    async def inside(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError("the rest is gone")

    with pytest.raises(ConnectionAbortedError):
        TestClient(Edge(inside, 60)).get("/x")


def test_too_many_requests(tmp_path: Path) -> None:
    api = Api(away(tmp_path, api_rate_per_s=0.01, api_rate_burst=3))
    caller, other = api.caller("auditor"), api.caller("publisher")
    assert [caller.get("/api/v1/me").status_code for _ in range(3)] == [200] * 3
    refused = caller.get("/api/v1/me")
    problem(refused, 429, "too-many-requests")
    assert 1 <= int(refused.headers["retry-after"]) <= 101
    assert other.get("/api/v1/me").status_code == 200  # each has a bucket of its own
    assert api.refusals.calls[-1].status == 429
    strangers = [api.caller("").get("/api/v1/me").status_code for _ in range(5)]
    assert strangers == [401, 401, 401, 429, 429]
    assert caller.get("/metrics").status_code == 200  # what is open is not counted


def test_the_table_of_buckets_does_not_grow() -> None:
    now = [0.0]
    limit = RateLimit(1.0, 2, buckets_max=10, clock=lambda: now[0])
    for number in range(1_000):
        limit.take(str(number))
    assert len(limit) == 10
    assert [limit.take("x") for _ in range(2)] == [0, 0]
    assert limit.take("x") == 1.0
    now[0] += 1.0
    assert limit.take("x") == 0
    now[0] += 100.0
    assert [limit.take("x") for _ in range(3)] == [0, 0, 1.0]  # never more than a burst


def test_servers_that_are_away(lonely: Api) -> None:
    """Whoever asks is told soon, and when to ask again; what is open says so too."""
    caller = lonely.caller()
    for path in ("/api/v1/workflows", "/api/v1/tickets/t"):
        answer = caller.get(path)
        problem(answer, 503, "unavailable")
        assert answer.headers["retry-after"]
    plan = {"tasks": [{"task_id": "a", "command": ["true"]}]}
    answer = caller.post("/api/v1/plans", json=plan)
    assert "Kafka" in problem(answer, 503, "unavailable")["detail"]
    health = caller.get("/health")
    assert (health.status_code, health.json()["status"]) == (503, "down")
    assert caller.get("/ready").status_code == 503
    caller.get("/api/v1/workflows")
    answers = [caller.get("/api/v1/workflows") for _ in range(20)]  # the breaker answers for who is away
    assert all("not asked for another" in problem(a, 503, "unavailable")["detail"] for a in answers)


def test_open_pages(lonely: Api) -> None:
    nobody = lonely.caller("")
    assert "neural_hive_api_requests_total" in nobody.get("/metrics").text
    page = nobody.get("/docs")
    assert "<script" not in page.text and "/api/v1/workflows" in page.text
    document = nobody.get("/openapi.json").json()
    assert document["openapi"].startswith("3.") and document["paths"]
    assert nobody.get("/.well-known/jwks.json").json()["keys"]

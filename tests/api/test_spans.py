"""A request is a span, and what it publishes is of its trace; nothing of who asks is told."""

from collections.abc import Iterator, Sequence

import pytest
from starlette.testclient import TestClient

from neural_hive.connectors.tracing import SERVER, Span, Tracer, asked_trace, installed
from tests.api.making import Api
from tests.api.test_api import eventually, plan, published

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TOLD = {
    "http.request.method",
    "http.route",
    "http.response.status_code",
    "url.scheme",
    "network.protocol.version",
    "neural_hive.request_id",
}


class Kept:
    """An exporter that keeps what it is given."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def export(self, spans: Sequence[Span]) -> bool:
        self.spans += spans
        return True

    def close(self) -> None:
        pass


@pytest.fixture
def kept() -> Iterator[tuple[Kept, Tracer]]:
    exporter = Kept()
    found = Tracer(exporter)
    with installed(found):
        yield exporter, found


def told(kept: tuple[Kept, Tracer]) -> list[Span]:
    """All spans, once they are exported."""
    kept[1].close()
    return kept[0].spans


def test_a_span_says_what_was_asked_and_nothing_of_whom(lonely: Api, kept: tuple[Kept, Tracer]) -> None:
    caller = lonely.caller()
    answer = caller.get(
        "/api/v1/outcomes/secret-of-ann?cursor=secret-too", headers={"traceparent": f"00-{TRACE}-{PARENT}-01"}
    )
    assert answer.status_code == 422
    [span] = told(kept)
    assert (span.name, span.kind) == ("GET /api/v1/outcomes/{token}", SERVER)
    assert (span.trace_id, span.parent_id, span.error) == (TRACE, PARENT, "")
    assert span.attributes["http.response.status_code"] == 422
    assert span.attributes["neural_hive.request_id"] == answer.headers["x-request-id"]
    assert span.attributes.keys() == TOLD
    said = repr(span)
    assert not any(
        word in said for word in ("secret", "ann", "127.0.0.9", "testserver", lonely.keys["all"][-20:])
    )
    assert span.ended_at >= span.started_at > 1e18


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("traceparent", f"00-{TRACE}-{'0' * 16}-01")],
        [("traceparent", "nonsense")],
        [("traceparent", f"00-{TRACE}-{PARENT}-01"), ("traceparent", f"00-{'1' * 32}-{PARENT}-01")],
    ],
)
def test_without_one_parent_a_trace_begins(
    lonely: Api, kept: tuple[Kept, Tracer], headers: list[tuple[str, str]]
) -> None:
    import httpx

    lonely.caller().get("/api/v1/me", headers=httpx.Headers(headers))
    [span] = told(kept)
    assert not span.parent_id and span.trace_id != TRACE
    assert span.span_id == span.trace_id[-16:], "what a timer causes finds it"


def test_what_is_no_route_has_no_path_in_its_span(lonely: Api, kept: tuple[Kept, Tracer]) -> None:
    lonely.caller().get("/api/v1/ann@example.org")
    lonely.caller("").request("BREW", "/api/v1/me")
    names = [span.name for span in told(kept)]
    assert names == ["GET", "HTTP"]


def test_an_answer_that_failed_is_an_error(lonely: Api, kept: tuple[Kept, Tracer]) -> None:
    assert lonely.caller().get("/api/v1/workflows").status_code == 503
    assert lonely.caller("").get("/api/v1/workflows").status_code == 401
    away, refused = told(kept)
    assert (away.error, away.attributes["error.type"]) == ("503", "503")
    assert not refused.error and refused.attributes["http.response.status_code"] == 401


def test_without_a_collector_nothing_is_told(lonely: Api) -> None:
    assert lonely.caller().get("/api/v1/me").status_code == 200
    assert asked_trace() == ""


@pytest.mark.slow
@pytest.mark.parametrize("is_told", [True, False])
def test_a_plan_is_of_the_trace_of_its_request(
    api: Api, caller: TestClient, is_told: bool, request: pytest.FixtureRequest
) -> None:
    """Also where nobody collects traces: the next process may tell its own."""
    trace_id = f"{is_told:x}af7651916cd43dd8448eb211c80319d"
    spans = request.getfixturevalue("kept") if is_told else None
    name = f"traced-{is_told}"
    workflow_id = published(caller, plan(name, "a"), traceparent=f"00-{trace_id}-{PARENT}-01")
    signal = caller.post(f"/api/v1/workflows/{workflow_id}/signals/cancel", json={"reason": "enough"})
    assert signal.status_code in (200, 202)
    sql = "SELECT DISTINCT trace_id FROM events WHERE aggregate_id = {w:String} AND event_type = 'WorkflowStarted'"
    asked = {"sql": sql, "params": {"w": workflow_id}}
    [row] = eventually(lambda: caller.post("/api/v1/query", json=asked).json()["data"])
    assert row["trace_id"] == trace_id
    if spans is not None:
        of_trace = {span.name: span for span in told(spans) if span.trace_id == trace_id}
        server, publish = of_trace["POST /api/v1/plans"], of_trace["publish DecisionConsolidated"]
        assert server.parent_id == PARENT and publish.parent_id == server.span_id
        assert len(of_trace) == 2, "no beginning of its own"

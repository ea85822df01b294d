"""Every route, tried by everybody: who may is written here once more, by hand."""

import asyncio
from typing import Any

import pytest
from starlette.routing import Route

from neural_hive.api import permissions
from neural_hive.api.app import create_app, stated
from neural_hive.api.auth import Grant
from neural_hive.api.gate import Gate
from neural_hive.api.permissions import PERMISSIONS, Role, UnstatedPermission
from neural_hive.api.services import Services
from neural_hive.settings import Settings
from tests.api.making import Api

ALL = "publisher operator auditor approver"
LOOKS_BACK = "operator auditor"
OPEN = "open"
WHO_MAY = """
GET /health                                                  open
GET /ready                                                   open
GET /metrics                                                 open
GET /openapi.json                                            open
GET /docs                                                    open
GET /.well-known/jwks.json                                   open
GET /api/v1/me                                               publisher operator auditor approver alerter
GET /api/v1/outcomes/{token}                                 publisher operator auditor approver
POST /api/v1/plans                                           publisher
POST /api/v1/plans/validate                                  publisher operator auditor approver
GET /api/v1/workflows                                        publisher operator auditor approver
GET /api/v1/workflows/{workflow_id}                          publisher operator auditor approver
GET /api/v1/workflows/{workflow_id}/tickets                  publisher operator auditor approver
GET /api/v1/workflows/{workflow_id}/timeline                 publisher operator auditor approver
POST /api/v1/workflows/{workflow_id}/signals/cancel          operator
POST /api/v1/workflows/{workflow_id}/signals/pause           operator
POST /api/v1/workflows/{workflow_id}/signals/resume          operator
POST /api/v1/workflows/{workflow_id}/signals/retry           operator
POST /api/v1/workflows/{workflow_id}/signals/adjust_qos      operator
GET /api/v1/tickets                                          publisher operator auditor approver
POST /api/v1/tickets                                         publisher
GET /api/v1/tickets/{ticket_id}                              publisher operator auditor approver ticket
GET /api/v1/tickets/{ticket_id}/history                      publisher operator auditor approver ticket
GET /api/v1/tickets/{ticket_id}/token                        operator
PATCH /api/v1/tickets/{ticket_id}/status                     operator ticket
POST /api/v1/tickets/{ticket_id}/retry                       operator
GET /api/v1/agents                                           publisher operator auditor approver
GET /api/v1/agents/candidates                                publisher operator auditor approver
GET /api/v1/agents/{agent_id}                                publisher operator auditor approver
GET /api/v1/incidents                                        publisher operator auditor approver
GET /api/v1/incidents/{incident_id}                          publisher operator auditor approver
GET /api/v1/dead-letters                                     operator auditor
GET /api/v1/dead-letters/{message_id}                        operator auditor
POST /api/v1/dead-letters/redrive                            operator
POST /api/v1/dead-letters/{message_id}/redrive               operator
GET /api/v1/slos                                             publisher operator auditor approver
POST /api/v1/slos                                            operator
POST /api/v1/slos/import/alerts                              operator
GET /api/v1/slos/{slo_id}                                    publisher operator auditor approver
PUT /api/v1/slos/{slo_id}                                    operator
DELETE /api/v1/slos/{slo_id}                                 operator
POST /api/v1/slos/{slo_id}/test                              operator
GET /api/v1/slos/{slo_id}/alerts                             publisher operator auditor approver
GET /api/v1/budgets                                          publisher operator auditor approver
GET /api/v1/budgets/summary                                  publisher operator auditor approver
GET /api/v1/budgets/{slo_id}                                 publisher operator auditor approver
GET /api/v1/budgets/{slo_id}/history                         publisher operator auditor approver
GET /api/v1/budgets/{slo_id}/burn-rate                       publisher operator auditor approver
GET /api/v1/budgets/{slo_id}/explanation                     publisher operator auditor approver
GET /api/v1/budgets/{slo_id}/adjustments                     publisher operator auditor approver
POST /api/v1/budgets/{slo_id}/recalculate                    operator
POST /api/v1/budgets/{slo_id}/exclusions                     operator
POST /api/v1/budgets/{slo_id}/exclusions/{adjustment_id}/lift operator
POST /api/v1/budgets/{slo_id}/corrections                    operator
GET /api/v1/violations                                       publisher operator auditor approver
GET /api/v1/violations/{violation_id}                        publisher operator auditor approver
GET /api/v1/policies                                         publisher operator auditor approver
POST /api/v1/policies                                        operator
GET /api/v1/policies/freezes/active                          publisher operator auditor approver
GET /api/v1/policies/freezes/history                         publisher operator auditor approver
GET /api/v1/policies/freezes/{freeze_id}                     publisher operator auditor approver
POST /api/v1/policies/freezes/{freeze_id}/resolve            operator approver
GET /api/v1/policies/{policy_id}                             publisher operator auditor approver
PUT /api/v1/policies/{policy_id}                             operator
DELETE /api/v1/policies/{policy_id}                          operator
POST /api/v1/policies/{policy_id}/freeze                     operator
POST /webhooks/alertmanager                                  alerter
GET /api/v1/freeze-exceptions                                publisher operator auditor approver
POST /api/v1/freeze-exceptions                               publisher operator
GET /api/v1/freeze-exceptions/{exception_id}                 publisher operator auditor approver
POST /api/v1/freeze-exceptions/{exception_id}/approve        approver
POST /api/v1/freeze-exceptions/{exception_id}/reject         approver
POST /api/v1/freeze-exceptions/{exception_id}/revoke         publisher operator approver
GET /api/v1/flow-c/status                                    publisher operator auditor approver
GET /api/v1/flow-c/workflows/{workflow_id}                   publisher operator auditor approver
GET /api/v1/replay/aggregates/{aggregate_id}/state           operator auditor
GET /api/v1/replay/aggregates/{aggregate_id}/history         operator auditor
GET /api/v1/replay/aggregates/{aggregate_id}/diff            operator auditor
GET /api/v1/replay/aggregates/{aggregate_id}/explanation     operator auditor
GET /api/v1/replay/causes/{event}                            operator auditor
GET /api/v1/replay/proofs/{event}                            auditor
GET /api/v1/replay/checkpoint                                auditor
POST /api/v1/query                                           operator auditor
"""
ROUTES = {(line.split()[0], line.split()[1]): set(line.split()[2:]) for line in WHO_MAY.strip().splitlines()}
TICKET = "t-1"


def knocked(api: Api, method: str, path: str, bearer: str) -> int:
    """What the gate answers to who comes with a token; 204: it lets them through."""

    async def inside(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    said: list[int] = []

    async def send(message: Any) -> None:
        said.append(message.get("status", 0))

    async def nothing_more() -> Any:
        raise AssertionError("the gate must not read a body")

    s = api.services
    gate = Gate(
        inside,
        api=api.app,
        authenticator=s.authenticator,
        callers=s.callers,
        strangers=s.strangers,
        refusals=api.refusals,
    )
    headers = [(b"authorization", f"Bearer {bearer}".encode())] if bearer else []
    scope = {
        "type": "http",
        "method": method,
        "path": path.replace("{ticket_id}", TICKET).replace("{", "").replace("}", ""),
        "headers": headers,
        "query_string": b"",
        "client": ("127.0.0.1", 1),
        "state": {"request_id": "r"},
    }
    asyncio.run(gate(scope, nothing_more, send))
    return said[0]


def test_every_route_by_everybody(lonely: Api) -> None:
    grant = Grant(TICKET, "w-1", 1, "a-1", frozenset(("read", "status")))
    bearers = {str(role): lonely.keys[role] for role in Role} | {
        "ticket": lonely.services.tokens.make(grant, 60, "ann")
    }
    assert set(PERMISSIONS) == set(ROUTES)
    for (method, path), may in ROUTES.items():
        for who, bearer in bearers.items():
            expected = 204 if who in may or may == {OPEN} else 403
            assert knocked(lonely, method, path, bearer) == expected, f"{method} {path} by {who}"
        assert knocked(lonely, method, path, "") == (204 if may == {OPEN} else 401), (
            f"{method} {path} by nobody"
        )


def test_a_ticket_token_opens_one_ticket_to_what_it_names(lonely: Api) -> None:
    def token(ticket_id: str, *actions: str) -> str:
        grant = Grant(ticket_id, "w-1", 1, "a-1", frozenset(actions))
        return lonely.services.tokens.make(grant, 60, "ann")

    read, status = "/api/v1/tickets/{ticket_id}", "/api/v1/tickets/{ticket_id}/status"
    assert knocked(lonely, "GET", read, token(TICKET, "read")) == 204
    assert knocked(lonely, "PATCH", status, token(TICKET, "read")) == 403
    assert knocked(lonely, "PATCH", status, token(TICKET, "status")) == 204
    assert knocked(lonely, "GET", read, token(TICKET, "status")) == 403
    assert knocked(lonely, "GET", read, token("t-2", "read", "status")) == 403
    assert knocked(lonely, "GET", "/api/v1/tickets", token(TICKET, "read", "status")) == 403


def test_a_route_without_a_permission_does_not_start(
    lonely_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = Services(lonely_settings)
    missing = ("GET", "/api/v1/agents")
    monkeypatch.setattr(permissions, "PERMISSIONS", {k: v for k, v in PERMISSIONS.items() if k != missing})
    with pytest.raises(UnstatedPermission, match="GET /api/v1/agents"):
        create_app(services)
    monkeypatch.setattr(permissions, "PERMISSIONS", PERMISSIONS | {("GET", "/api/v1/gone"): permissions.READ})
    with pytest.raises(UnstatedPermission, match="GET /api/v1/gone"):
        create_app(services)


def test_a_route_that_came_later_lets_nobody_in(lonely: Api) -> None:
    async def late(request: Any) -> Any:
        raise AssertionError("nobody may come here")

    lonely.app.router.routes.insert(0, Route("/api/v1/late", late))
    assert ("GET", "/api/v1/late") in set(stated(lonely.app.router.routes))
    assert lonely.caller().get("/api/v1/late").status_code == 403
    assert lonely.caller("").get("/api/v1/late").status_code == 401


def test_refused_calls_are_told_without_secrets(lonely: Api) -> None:
    lonely.caller("auditor").post("/api/v1/plans", json={})
    lonely.bearer("nh_000000000000_secret").get("/api/v1/tickets/abc")
    forbidden, unknown = lonely.refusals.calls
    assert (forbidden.status, forbidden.identity, forbidden.route) == (403, "auditor-1", "/api/v1/plans")
    assert (unknown.status, unknown.identity, unknown.route) == (401, "", "/api/v1/tickets/{ticket_id}")
    assert unknown.address == "127.0.0.9" and unknown.request_id
    assert "secret" not in str(unknown)

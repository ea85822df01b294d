"""Who may do what: each route stands here once, or the API does not start."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import msgspec

KIB: Final = 1024
BODY_BYTES_MAX: Final = 256 * KIB
RESULT_BYTES_MAX: Final = 4 * KIB * KIB
PLAN_BYTES_MAX: Final = 16 * KIB * KIB  # 8 MB in the log; JSON may be longer
FILE_BYTES_MAX: Final = 4 * KIB * KIB  # of SLOs
ALERTS_BYTES_MAX: Final = 4 * KIB * KIB  # in one call of an Alertmanager


class Role(StrEnum):
    """What somebody may do. Who has any of them may read, but for the alerter."""

    PUBLISHER = "publisher"  # publish plans, make tickets
    OPERATOR = "operator"  # stop, pause, try again, redrive; say what is promised, and what is frozen
    AUDITOR = "auditor"  # look back: replay, SQL, dead letters
    APPROVER = "approver"  # say yes or no where a person must
    ALERTER = "alerter"  # tell of alerts, and nothing else: an Alertmanager keeps its key in a file


class Permission(msgspec.Struct, frozen=True):
    """Who may use a route: everybody, somebody with one of the roles, or the holder of the ticket's token."""

    roles: frozenset[Role] = frozenset()
    is_open: bool = False
    ticket_action: str = ""  # what a ticket's token must allow; "": none opens this route
    body_bytes_max: int = BODY_BYTES_MAX


class UnstatedPermission(RuntimeError):
    """A route without a permission, or a permission without a route; the text names them."""


def only(*roles: Role, ticket: str = "", body_bytes_max: int = BODY_BYTES_MAX) -> Permission:
    """For who has one of the roles."""
    return Permission(frozenset(roles), ticket_action=ticket, body_bytes_max=body_bytes_max)


PUBLISHER, OPERATOR, AUDITOR, APPROVER, ALERTER = Role
PEOPLE: Final = (PUBLISHER, OPERATOR, AUDITOR, APPROVER)
ANYONE: Final = Permission(is_open=True)
READ: Final = only(*PEOPLE)

PERMISSIONS: Final[dict[tuple[str, str], Permission]] = {
    ("GET", "/health"): ANYONE,
    ("GET", "/ready"): ANYONE,
    ("GET", "/metrics"): ANYONE,
    ("GET", "/openapi.json"): ANYONE,
    ("GET", "/docs"): ANYONE,
    ("GET", "/.well-known/jwks.json"): ANYONE,
    ("GET", "/api/v1/me"): only(*Role),
    ("GET", "/api/v1/outcomes/{token}"): READ,
    ("POST", "/api/v1/plans"): only(PUBLISHER, body_bytes_max=PLAN_BYTES_MAX),
    ("POST", "/api/v1/plans/validate"): only(*PEOPLE, body_bytes_max=PLAN_BYTES_MAX),
    ("GET", "/api/v1/workflows"): READ,
    ("GET", "/api/v1/workflows/{workflow_id}"): READ,
    ("GET", "/api/v1/workflows/{workflow_id}/tickets"): READ,
    ("GET", "/api/v1/workflows/{workflow_id}/timeline"): READ,
    ("POST", "/api/v1/workflows/{workflow_id}/signals/cancel"): only(OPERATOR),
    ("POST", "/api/v1/workflows/{workflow_id}/signals/pause"): only(OPERATOR),
    ("POST", "/api/v1/workflows/{workflow_id}/signals/resume"): only(OPERATOR),
    ("POST", "/api/v1/workflows/{workflow_id}/signals/retry"): only(OPERATOR),
    ("POST", "/api/v1/workflows/{workflow_id}/signals/adjust_qos"): only(OPERATOR),
    ("GET", "/api/v1/tickets"): READ,
    ("POST", "/api/v1/tickets"): only(PUBLISHER, body_bytes_max=PLAN_BYTES_MAX),
    ("GET", "/api/v1/tickets/{ticket_id}"): only(*PEOPLE, ticket="read"),
    ("GET", "/api/v1/tickets/{ticket_id}/history"): only(*PEOPLE, ticket="read"),
    ("GET", "/api/v1/tickets/{ticket_id}/token"): only(OPERATOR),
    ("PATCH", "/api/v1/tickets/{ticket_id}/status"): only(
        OPERATOR, ticket="status", body_bytes_max=RESULT_BYTES_MAX
    ),
    ("POST", "/api/v1/tickets/{ticket_id}/retry"): only(OPERATOR),
    ("GET", "/api/v1/agents"): READ,
    ("GET", "/api/v1/agents/candidates"): READ,
    ("GET", "/api/v1/agents/{agent_id}"): READ,
    ("GET", "/api/v1/incidents"): READ,
    ("GET", "/api/v1/incidents/{incident_id}"): READ,
    ("GET", "/api/v1/dead-letters"): only(OPERATOR, AUDITOR),
    ("GET", "/api/v1/dead-letters/{message_id}"): only(OPERATOR, AUDITOR),
    ("POST", "/api/v1/dead-letters/redrive"): only(OPERATOR),
    ("POST", "/api/v1/dead-letters/{message_id}/redrive"): only(OPERATOR),
    ("GET", "/api/v1/slos"): READ,
    ("POST", "/api/v1/slos"): only(OPERATOR),
    ("POST", "/api/v1/slos/import/alerts"): only(OPERATOR, body_bytes_max=FILE_BYTES_MAX),
    ("GET", "/api/v1/slos/{slo_id}"): READ,
    ("PUT", "/api/v1/slos/{slo_id}"): only(OPERATOR),
    ("DELETE", "/api/v1/slos/{slo_id}"): only(OPERATOR),
    ("POST", "/api/v1/slos/{slo_id}/test"): only(OPERATOR),
    ("GET", "/api/v1/slos/{slo_id}/alerts"): READ,
    ("GET", "/api/v1/budgets"): READ,
    ("GET", "/api/v1/budgets/summary"): READ,
    ("GET", "/api/v1/budgets/{slo_id}"): READ,
    ("GET", "/api/v1/budgets/{slo_id}/history"): READ,
    ("GET", "/api/v1/budgets/{slo_id}/burn-rate"): READ,
    ("GET", "/api/v1/budgets/{slo_id}/explanation"): READ,
    ("GET", "/api/v1/budgets/{slo_id}/adjustments"): READ,
    ("POST", "/api/v1/budgets/{slo_id}/recalculate"): only(OPERATOR),
    ("POST", "/api/v1/budgets/{slo_id}/exclusions"): only(OPERATOR),
    ("POST", "/api/v1/budgets/{slo_id}/exclusions/{adjustment_id}/lift"): only(OPERATOR),
    ("POST", "/api/v1/budgets/{slo_id}/corrections"): only(OPERATOR),
    ("GET", "/api/v1/violations"): READ,
    ("GET", "/api/v1/violations/{violation_id}"): READ,
    ("GET", "/api/v1/policies"): READ,
    ("POST", "/api/v1/policies"): only(OPERATOR),
    ("GET", "/api/v1/policies/freezes/active"): READ,
    ("GET", "/api/v1/policies/freezes/history"): READ,
    ("GET", "/api/v1/policies/freezes/{freeze_id}"): READ,
    # Who may revise a policy could let go what it has frozen in another way.
    ("POST", "/api/v1/policies/freezes/{freeze_id}/resolve"): only(OPERATOR, APPROVER),
    ("GET", "/api/v1/policies/{policy_id}"): READ,
    ("PUT", "/api/v1/policies/{policy_id}"): only(OPERATOR),
    ("DELETE", "/api/v1/policies/{policy_id}"): only(OPERATOR),
    ("POST", "/api/v1/policies/{policy_id}/freeze"): only(OPERATOR),
    ("POST", "/webhooks/alertmanager"): only(ALERTER, body_bytes_max=ALERTS_BYTES_MAX),
    ("GET", "/api/v1/freeze-exceptions"): READ,
    ("POST", "/api/v1/freeze-exceptions"): only(PUBLISHER, OPERATOR),
    ("GET", "/api/v1/freeze-exceptions/{exception_id}"): READ,
    ("POST", "/api/v1/freeze-exceptions/{exception_id}/approve"): only(APPROVER),
    ("POST", "/api/v1/freeze-exceptions/{exception_id}/reject"): only(APPROVER),
    ("POST", "/api/v1/freeze-exceptions/{exception_id}/revoke"): only(PUBLISHER, OPERATOR, APPROVER),
    ("GET", "/api/v1/flow-c/status"): READ,
    ("GET", "/api/v1/flow-c/workflows/{workflow_id}"): READ,
    ("GET", "/api/v1/replay/aggregates/{aggregate_id}/state"): only(OPERATOR, AUDITOR),
    ("GET", "/api/v1/replay/aggregates/{aggregate_id}/history"): only(OPERATOR, AUDITOR),
    ("GET", "/api/v1/replay/aggregates/{aggregate_id}/diff"): only(OPERATOR, AUDITOR),
    ("GET", "/api/v1/replay/aggregates/{aggregate_id}/explanation"): only(OPERATOR, AUDITOR),
    ("GET", "/api/v1/replay/causes/{event}"): only(OPERATOR, AUDITOR),
    ("GET", "/api/v1/replay/proofs/{event}"): only(AUDITOR),
    ("GET", "/api/v1/replay/checkpoint"): only(AUDITOR),
    ("POST", "/api/v1/query"): only(OPERATOR, AUDITOR),
}


def check(routes: Iterable[tuple[str, str]]) -> None:
    """Raises UnstatedPermission: routes (method, path) and permissions are not the same."""
    found = set(routes)
    if unstated := sorted(found - PERMISSIONS.keys()):
        raise UnstatedPermission(
            f"no permission is stated for {_named(unstated)}: state it in permissions.py"
        )
    if unknown := sorted(PERMISSIONS.keys() - found):
        raise UnstatedPermission(f"permissions.py has no longer any route {_named(unknown)}: take it out")


def _named(routes: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{method} {path}" for method, path in routes)

"""What the API counts."""

from collections.abc import Mapping
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

_SECONDS: Final = Histogram(
    "neural_hive_api_request_duration_seconds",
    "How long requests took, by the path's template",
    ("method", "route"),
    buckets=(0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
_REQUESTS: Final = Counter(
    "neural_hive_api_requests", "Requests, by the path's template and status", ("method", "route", "status")
)
_REFUSED: Final = Counter("neural_hive_api_refused", "Requests that the gate refused, by status", ("status",))
_ERRORS: Final = Counter("neural_hive_api_errors", "Requests that ended in an error that was not foreseen")
_WAITING: Final = Gauge("neural_hive_api_waiting", "Requests that wait for what becomes of a message")
_TOKENS: Final = Counter("neural_hive_api_ticket_tokens", "Tokens of tickets that were made")
_ALERT_CALLS: Final = Counter(
    "neural_hive_sla_alertmanager_webhooks_received", "Calls of an Alertmanager that were taken"
)
_ALERTS: Final = Counter(
    "neural_hive_sla_alertmanager_alerts",
    "Alerts that an Alertmanager has told of: taken (in the log), no_slo (no label says which), unknown_slo (in the "
    "log, and the tables know no such SLO), invalid (it makes no sense)",
    ("outcome",),
)
METHODS: Final = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"))


def answered(method: str, route: str, status: int, took_s: float) -> None:
    """A request was answered. `route` is "" if no route is its: ids and nonsense must not become labels."""
    labels = method if method in METHODS else "other", route or "none"
    _SECONDS.labels(*labels).observe(took_s)
    _REQUESTS.labels(*labels, str(status)).inc()


def refused(status: int) -> None:
    """The gate refused a request."""
    _REFUSED.labels(str(status)).inc()


def failed() -> None:
    """A request ended in an error that was not foreseen."""
    _ERRORS.inc()


def waiting() -> Gauge:
    """How many wait now; to be used as `with waiting().track_inprogress()`."""
    return _WAITING


def token_made() -> None:
    """A token of a ticket was made."""
    _TOKENS.inc()


def alerts_taken(outcomes: Mapping[str, int]) -> None:
    """A call of an Alertmanager was taken: how many of its alerts have which outcome."""
    _ALERT_CALLS.inc()
    for outcome, count in outcomes.items():
        _ALERTS.labels(outcome).inc(count)

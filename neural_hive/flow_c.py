"""How Flow C does: from accepted plan to done work, by the read models; and whether it keeps its own objectives."""

import math
from collections.abc import Callable
from typing import Any, Final

import msgspec

from neural_hive.connectors.clickhouse import ClickHouseError
from neural_hive.sdk.tables import Reader

P95_LATENCY_MS_MAX: Final = 4 * 3_600_000
SUCCESS_RATE_MIN: Final = 0.99
HEALTHY_WORKERS_MIN: Final = 1
_UNKNOWN_TABLE: Final = 60

_WORKFLOWS: Final = """
    SELECT countIf(status = 'COMPLETED'), countIf(status = 'FAILED'), countIf(status = 'CANCELLED'),
           countIf(status = 'REJECTED'),
           avgIf(duration_ms, status IN ('COMPLETED', 'FAILED')),
           quantileExactIf(0.95)(duration_ms, status IN ('COMPLETED', 'FAILED'))
    FROM workflows
    WHERE status IN ('COMPLETED', 'FAILED', 'CANCELLED', 'REJECTED')
      AND ({hours:Float64} = 0 OR finished_at >= now('UTC') - toIntervalSecond({hours:Float64} * 3600))
"""
_ACTIVE: Final = "SELECT count() FROM workflows WHERE status IN ('RUNNING', 'PAUSED', 'COMPENSATING')"
_READY: Final = "SELECT count() FROM tickets WHERE status = 'READY'"
_WORKERS: Final = "SELECT count() FROM agents WHERE status = 'HEALTHY' AND agent_type = 'WORKER'"
_INCIDENTS: Final = "SELECT count() FROM incidents WHERE status = 'OPEN'"


class Objective(msgspec.Struct, frozen=True):
    """One promise of Flow C, and whether it is kept; null as long as nothing can be said."""

    name: str
    target: str
    value: float | None
    met: bool | None


class FlowCStatus(msgspec.Struct, frozen=True):
    """Rates and times are null before the first workflow has ended. Latency is from acceptance to end."""

    total_processed: int  # workflows that have ended
    success_rate: float | None  # of those that nobody stopped, 0 to 1
    average_latency_ms: float | None
    p95_latency_ms: float | None
    active_executions: int
    completed: int
    failed: int
    cancelled: int
    rejected: int  # plans that never became a workflow
    tickets_ready: int  # that wait for an agent
    healthy_workers: int
    open_incidents: int | None  # null: no incidents are kept here
    objectives: tuple[Objective, ...]


def flow_c_status(clickhouse: Reader, hours: float = 0) -> FlowCStatus:
    """How Flow C does now; of ended workflows only those that ended within the last hours, 0 for all.

    Raises ClickHouseError.
    """
    [(completed, failed, cancelled, rejected, average, p95)] = clickhouse.rows(_WORKFLOWS, {"hours": hours})
    tried = completed + failed
    success_rate = completed / tried if tried else None
    p95_ms = _known(p95) if tried else None
    workers = _count(clickhouse, _WORKERS) or 0
    return FlowCStatus(
        total_processed=tried + cancelled,
        success_rate=success_rate,
        average_latency_ms=_known(average) if tried else None,
        p95_latency_ms=p95_ms,
        active_executions=_count(clickhouse, _ACTIVE) or 0,
        completed=completed,
        failed=failed,
        cancelled=cancelled,
        rejected=rejected,
        tickets_ready=_count(clickhouse, _READY) or 0,
        healthy_workers=workers,
        open_incidents=_count(clickhouse, _INCIDENTS),
        objectives=(
            _objective(
                "p95 latency, ms", f"< {P95_LATENCY_MS_MAX}", p95_ms, lambda v: v < P95_LATENCY_MS_MAX
            ),
            _objective("success rate", f"> {SUCCESS_RATE_MIN}", success_rate, lambda v: v > SUCCESS_RATE_MIN),
            _objective(
                "healthy workers", f">= {HEALTHY_WORKERS_MIN}", workers, lambda v: v >= HEALTHY_WORKERS_MIN
            ),
        ),
    )


def _objective(name: str, target: str, value: float | None, is_met: Callable[[float], bool]) -> Objective:
    return Objective(name, target, value, None if value is None else is_met(value))


def _count(clickhouse: Reader, sql: str) -> int | None:
    """A count; None if its table is not there."""
    try:
        return int(clickhouse.rows(sql)[0][0])
    except ClickHouseError as error:
        if error.code == _UNKNOWN_TABLE:
            return None
        raise


def _known(value: Any) -> float | None:
    return None if value is None or math.isnan(value) else float(value)

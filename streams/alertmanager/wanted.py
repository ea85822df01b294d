"""What Alertmanager shall know: an alert for each violation, a silence for each exclusion; as the tables say."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from neural_hive.aggregates.budget import budget_id_of
from neural_hive.aggregates.identity import derived_id
from neural_hive.aggregates.violation import Kind

ROWS_MAX: Final = 10_000  # violations, and exclusions, that are looked at: the latest
CREATED_BY: Final = "neural-hive"
_NAMES: Final = {Kind.EXHAUSTED: "SLOBudgetExhausted"}  # of alerts; all others say how fast a budget burns
_BURNS: Final = "SLOBudgetBurn"
_VIOLATIONS: Final = (
    "SELECT v.slo_id, v.budget_id, v.kind, v.severity, v.service_name, v.remaining, v.burn_rate, v.status = 'OPEN', "
    "toUnixTimestamp64Micro(v.opened_at), toUnixTimestamp64Micro(v.closed_at), s.namespace, s.name "
    "FROM violations AS v LEFT JOIN slos AS s ON s.slo_id = v.slo_id "
    "WHERE v.status = 'OPEN' OR toUnixTimestamp64Micro(v.closed_at) >= {since:Int64} "
    f"ORDER BY v.opened_at DESC LIMIT {ROWS_MAX}"
)
_EXCLUSIONS: Final = (
    "SELECT e.budget_id, e.adjustment_id, e.slo, e.last_kind, e.begin, e.end, e.why, e.said_at, s.measure, s.status "
    "FROM (SELECT budget_id, adjustment_id, argMax(slo_id, version) AS slo, argMax(kind, version) AS last_kind, "
    "argMax(toUnixTimestamp64Micro(starts_at), version) AS begin, "
    "argMax(toUnixTimestamp64Micro(ends_at), version) AS end, argMax(reason, version) AS why, "
    "argMax(toUnixTimestamp64Micro(adjusted_at), version) AS said_at "
    "FROM budget_adjustments_versions WHERE kind IN ('EXCLUDE', 'LIFT') GROUP BY budget_id, adjustment_id) AS e "
    "LEFT JOIN slos AS s ON s.slo_id = e.slo WHERE e.end > {now:Int64} "
    f"ORDER BY e.said_at DESC LIMIT {ROWS_MAX}"
)


class Tables(Protocol):
    """Who answers in SQL."""

    def rows(self, sql: str, params: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """The rows of a query. Raises ClickHouseError."""
        ...


class WantedAlert(msgspec.Struct, frozen=True):
    """An alert as it shall be: what is violated, since when, and whether it is over."""

    labels: tuple[tuple[str, str], ...]  # by their names; what they say together is which alert it is
    annotations: tuple[tuple[str, str], ...]
    starts_at: int  # µs
    ended_at: int = 0  # 0: it is not over

    @property
    def is_open(self) -> bool:
        return not self.ended_at


class WantedSilence(msgspec.Struct, frozen=True):
    """A silence as it shall be, for what an exclusion concerns; or that there shall be none any more."""

    matches: tuple[tuple[str, str], ...]  # labels and their values
    starts_at: int  # µs
    ends_at: int
    adjusted_at: int  # when that was said
    reason: str  # as people read it; who has asked is not told: the name would leave the hive
    marker: str  # one word, by which it is found again
    is_lifted: bool = False

    @property
    def comment(self) -> str:
        """What stands beside it in Alertmanager."""
        return f"{self.reason} {self.marker}"


class Wanted(msgspec.Struct, frozen=True):
    """All that Alertmanager shall know."""

    alerts: tuple[WantedAlert, ...] = ()
    silences: tuple[WantedSilence, ...] = ()
    is_cut: bool = False  # there is more than is looked at


def wanted(tables: Tables, now: int, closed_since: int) -> Wanted:
    """What is open, or was closed since a time, and what is excluded now or will be (µs). Raises ClickHouseError."""
    violations = tables.rows(_VIOLATIONS, {"since": closed_since})
    exclusions = tables.rows(_EXCLUSIONS, {"now": now})
    alerts: dict[tuple[tuple[str, str], ...], WantedAlert] = {}
    for row in violations:
        alert = _alert(row)
        # Two budgets of one SLO, measured in the old way and in the new one: what is open says more.
        if alert.labels not in alerts or (alert.is_open and not alerts[alert.labels].is_open):
            alerts[alert.labels] = alert
    silences = tuple(_silence(row) for row in exclusions)
    is_cut = max(len(violations), len(exclusions)) == ROWS_MAX
    return Wanted(tuple(alerts.values()), silences, is_cut)


def _alert(row: Sequence[Any]) -> WantedAlert:
    slo_id, budget_id, kind, severity, service, remaining, burn_rate, is_open, opened_at, closed_at = row[:10]
    namespace, name = row[10:]
    labels = {
        "alertname": _NAMES.get(kind, _BURNS),
        "slo": slo_id,
        "service": service,
        "namespace": namespace or "",
        "severity": severity.lower(),
        "dimension": _dimension(slo_id, budget_id),
    }
    left = f"{remaining:.1%} of the error budget is left"
    summary = f"{name or slo_id}: {left}, and it burns {burn_rate:.1f} times as fast as allowed"
    annotations = {"summary": summary, "kind": kind, "budget": budget_id}
    return WantedAlert(
        tuple(sorted((key, value) for key, value in labels.items() if value)),
        tuple(sorted(annotations.items())),
        opened_at,
        0 if is_open else max(closed_at, opened_at),
    )


def _silence(row: Sequence[Any]) -> WantedSilence:
    budget_id, adjustment_id, slo_id, kind, starts_at, ends_at, reason, adjusted_at, measure, status = row
    dimension = _dimension(slo_id, budget_id)
    matches = {"slo": slo_id, "dimension": dimension}
    is_measured = status is None or (  # None: the tables do not know the SLO yet
        status == "DEFINED" and budget_id == budget_id_of(slo_id, measure, dimension)
    )
    return WantedSilence(
        tuple((name, value) for name, value in matches.items() if value),
        starts_at,
        ends_at,
        adjusted_at,
        f"{reason} (exclusion {adjustment_id})",
        f"[{derived_id('silence', budget_id, adjustment_id)}]",
        kind != "EXCLUDE" or not is_measured,
    )


def _dimension(slo_id: str, budget_id: str) -> str:
    """Which of an SLO's budgets it is: see budget_id_of."""
    return budget_id.removeprefix(f"{slo_id}@").partition("/")[2]

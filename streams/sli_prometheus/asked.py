"""Which SLOs Prometheus is asked for, and how far it was: as the tables say."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from neural_hive.aggregates.budget import POLLED, budget_id_of
from neural_hive.streams.sli_prometheus.promql_counts import Queries

_VERSIONS: Final = (
    "SELECT slo_id, status, source, enabled, measure, good_promql, valid_promql, toUnixTimestamp64Micro(changed_at) "
    "FROM slos_versions WHERE slo_id IN (SELECT slo_id FROM slos_versions WHERE source = 'PROMQL') "
    "ORDER BY slo_id, version"
)
_POSITIONS: Final = (
    "SELECT budget_id, max(toUnixTimestamp64Micro(c.at)) FROM sli_counts ARRAY JOIN counts AS c "
    f"WHERE budget_id IN {{budgets:Array(String)}} AND startsWith(counted_from, '{POLLED}') "
    "AND toUnixTimestamp64Micro(c.at) >= {since:Int64} GROUP BY budget_id"
)


class Tables(Protocol):
    """Who answers in SQL."""

    def rows(self, sql: str, params: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """The rows of a query. Raises ClickHouseError."""
        ...


class Asked(msgspec.Struct, frozen=True):
    """An SLO that Prometheus is asked for."""

    slo_id: str
    measure: int
    queries: Queries
    since: int  # µs: from when on it has been measured in this way, without a break

    @property
    def budget_id(self) -> str:
        return budget_id_of(self.slo_id, self.measure)


def asked_for(tables: Tables) -> list[Asked]:
    """The SLOs that are measured and whose source is PROMQL. Raises ClickHouseError."""
    return folded(tables.rows(_VERSIONS))


def folded(rows: Iterable[Sequence[Any]]) -> list[Asked]:
    """What revisions, in their order, make of SLOs."""
    found: dict[str, Asked] = {}
    for slo_id, status, source, enabled, measure, good, valid, changed_at in rows:
        before = found.pop(slo_id, None)
        if status == "DEFINED" and source == "PROMQL" and enabled:
            goes_on = before is not None and before.measure == measure
            since = before.since if before is not None and goes_on else changed_at
            found[slo_id] = Asked(slo_id, measure, Queries(good, valid), since)
    return list(found.values())


def last_minutes(tables: Tables, asked: Iterable[Asked], since: int) -> dict[str, int]:
    """The last minute of each budget that was counted, if it is not before `since`, µs. Raises ClickHouseError."""
    budgets = [each.budget_id for each in asked]
    if not budgets:
        return {}
    rows = tables.rows(_POSITIONS, {"budgets": budgets, "since": since})
    return {str(name): int(at) for name, at in rows}

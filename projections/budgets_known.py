"""What is known now of any minute and of any budget's windows, with what came late and what people have corrected.

`sli_minutes_known` has each minute that anything was counted in, and whether it is excluded now. `budgets_known(at)`
has the budgets as they were believed at a time, and the same windows as they are known now.
"""

from typing import Final

from neural_hive.aggregates.budget import BUDGET
from neural_hive.aggregates.sla_window import BURN_US
from neural_hive.projections.budgets import BUDGETS

_COUNTED: Final = (
    "SELECT slo_id, budget_id, c.at AS minute, c.good AS good, c.valid AS valid "
    "FROM sli_counts_versions ARRAY JOIN counts AS c"
)
_CORRECTED: Final = (
    "SELECT slo_id, budget_id, assumeNotNull(starts_at), ifNull(good, 0), ifNull(valid, 0) "
    "FROM budget_adjustments_versions WHERE kind = 'CORRECT'"
)


def excluded(adjustments: str) -> str:
    """SELECT of the times of each budget that nobody lets count again, by its adjustments."""
    return (
        "SELECT budget_id, groupArray((begin, end)) AS times FROM ("
        "SELECT budget_id, adjustment_id, argMax(kind, version) AS last, argMax(starts_at, version) AS begin, "
        f"argMax(ends_at, version) AS end FROM {adjustments} WHERE kind IN ('EXCLUDE', 'LIFT') "
        "GROUP BY budget_id, adjustment_id) WHERE last = 'EXCLUDE' GROUP BY budget_id"
    )


SLI_MINUTES_KNOWN: Final = (
    "SELECT m.slo_id AS slo_id, m.budget_id AS budget_id, m.minute AS minute, m.good AS good, m.valid AS valid, "
    "arrayExists(t -> assumeNotNull(t.1 <= m.minute AND m.minute < t.2), x.times) AS is_excluded FROM ("
    "SELECT slo_id, budget_id, minute, sum(good) AS good, sum(valid) AS valid "
    f"FROM ({_COUNTED} UNION ALL {_CORRECTED}) GROUP BY slo_id, budget_id, minute) AS m "
    f"LEFT JOIN ({excluded('budget_adjustments_versions')}) AS x ON m.budget_id = x.budget_id"
)


_STARTS: Final = {
    BUDGET: "b.starts_at",
    **{name: f"b.upto - toIntervalMicrosecond({length})" for name, length in BURN_US.items()},
}


def _sum(what: str, start: str) -> str:
    return f"sumIf(k.{what}, k.minute >= {start})"


_THEN: Final = f"({BUDGETS.as_of()}) AS b"
_WINDOWS: Final = ", ".join(
    f"('{name}', {_sum('good', start)}, {_sum('valid', start)})" for name, start in _STARTS.items()
)
_KNOWN: Final = (
    f"SELECT k.budget_id AS budget_id, {_sum('good', _STARTS[BUDGET])} AS known_good, "
    f"{_sum('valid', _STARTS[BUDGET])} AS known_valid, [{_WINDOWS}] AS known "
    f"FROM ({SLI_MINUTES_KNOWN}) AS k JOIN {_THEN} ON k.budget_id = b.budget_id "
    "WHERE NOT k.is_excluded AND k.minute < b.upto GROUP BY k.budget_id"
)
BUDGETS_KNOWN: Final = (
    "SELECT b.*, n.known_good AS known_good, n.known_valid AS known_valid, n.known AS known, "
    "if(known_valid = 0, 1., round(1 - round((known_valid - known_good) / known_valid / (1 - b.target), 9), 9)) "
    f"AS known_remaining FROM {_THEN} LEFT JOIN ({_KNOWN}) AS n ON b.budget_id = n.budget_id"
)

"""Error budgets: how much of each is left, and how fast it burns, as it was seen last.

Every look is a row of `budgets_versions`: what was believed then. `sli_minutes` has what is known now of any time.
"""

from typing import Final

from neural_hive.aggregates.sla_window import BURN_US
from neural_hive.projections.archive import EVENTS
from neural_hive.projections.projection import TIME, WORD, Column, Projection

_SUM: Final = "Tuple(window String, good Int64, valid Int64, burn_rate Float64)"


def _sum(window: str, what: str) -> str:
    return f"arrayFirst(s -> s.window = '{window}', sums).{what}"


BUDGETS: Final = Projection(
    name="budgets",
    source=EVENTS,
    types=("BudgetEvaluated",),
    key=(Column("budget_id"),),
    columns=(
        Column("slo_id"),
        Column("dimension"),
        Column("measure", "UInt32"),
        Column("revision", "UInt32"),
        Column("target", "Float64"),
        Column("window_kind", WORD),
        Column("window_days", "UInt16"),
        Column("starts_at", TIME),
        Column("upto", TIME),
        Column("budget_total", "Float64"),
        Column("budget_consumed", "Int64"),
        Column("remaining", "Float64"),
        Column("status", WORD),
        Column("level", WORD),
        Column("exhausted_at", TIME),
        Column("sums", f"Array({_SUM})"),
        Column("evaluated_at", TIME),
    ),
    computed=(
        ("good", _sum("budget", "good")),
        ("valid", _sum("budget", "valid")),
        *((f"burn_{name}", _sum(name, "burn_rate")) for name in BURN_US),
    ),
)

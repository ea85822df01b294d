"""Who has corrected which budget, and why: a row for each exclusion, its end, and each correction."""

from typing import Final

from neural_hive.projections.archive import EVENTS
from neural_hive.projections.budgets_known import BUDGETS_KNOWN, SLI_MINUTES_KNOWN
from neural_hive.projections.projection import TIME, WORD, Column, Projection

BUDGET_ADJUSTMENTS: Final = Projection(
    name="budget_adjustments",
    source=EVENTS,
    types=("BudgetAdjusted",),
    key=(Column("budget_id"), Column("adjustment_id")),
    columns=(
        Column("slo_id"),
        Column("kind", WORD),
        Column("starts_at", TIME),
        Column("ends_at", TIME),
        Column("good", "Int64"),
        Column("valid", "Int64"),
        Column("requested_by"),
        Column("reason"),
        Column("adjusted_at", TIME),
    ),
    folded=False,
    rollups=(("sli_minutes_known", SLI_MINUTES_KNOWN), ("budgets_known", BUDGETS_KNOWN)),
)

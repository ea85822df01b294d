"""What was counted for SLOs: a row for each time that somebody counted; `sli_minutes` adds up what happened when."""

from typing import Final

from neural_hive.projections.archive import EVENTS
from neural_hive.projections.projection import TIME, Column, Projection

_COUNT: Final = "Tuple(at DateTime64(6, 'UTC'), good Int64, valid Int64, is_excluded Bool)"

SLI_COUNTS: Final = Projection(
    name="sli_counts",
    source=EVENTS,
    types=("SliCounted",),
    key=(Column("budget_id"),),
    columns=(
        Column("slo_id"),
        Column("counts", f"Array({_COUNT})"),
        Column("late", "Int64"),
        Column("uncounted", "Int64"),
        Column("counted_from", paths=("source",)),
        Column("counted_at", TIME),
    ),
    folded=False,
    rollups=(
        (
            "sli_minutes",
            "SELECT slo_id, budget_id, c.at AS minute, sum(c.good) AS good, "
            "sum(c.valid) AS valid FROM sli_counts_versions ARRAY JOIN counts AS c GROUP BY slo_id, budget_id, minute",
        ),
    ),
)

"""Violations: SLOs whose budget is used up or burns too fast, since when, and how long it was so."""

from typing import Final

from neural_hive.projections.archive import EVENTS
from neural_hive.projections.projection import TIME, WORD, Column, Projection, by_type

STATUS_AFTER: Final = {"ViolationOpened": "OPEN", "ViolationClosed": "CLOSED"}
_AGAIN: Final = ("ViolationOpened",)  # the same may happen again

VIOLATIONS: Final = Projection(
    name="violations",
    source=EVENTS,
    types=tuple(STATUS_AFTER),
    key=(Column("violation_id"),),
    columns=(
        Column("status", WORD, sql=by_type(STATUS_AFTER)),
        Column("kind", WORD),
        Column("severity", WORD),
        Column("slo_id"),
        Column("budget_id"),
        Column("service_name"),
        Column("remaining", "Float64"),
        Column("level", WORD),
        Column("burn_rate", "Float64"),
        Column("upto", TIME),
        Column("opened_at", TIME),
        Column("closed_at", TIME, told_by=_AGAIN),
        Column("duration_ms", "Int64", told_by=_AGAIN),
    ),
)

"""Freezes: what may not be deployed now and why, and how long it was so."""

from typing import Final

from neural_hive.projections.archive import EVENTS
from neural_hive.projections.projection import TIME, WORD, Column, Projection, by_type

STATUS_AFTER: Final = {"FreezeActivated": "ACTIVE", "FreezeResolved": "RESOLVED", "FreezeRearmed": "RESOLVED"}
_AGAIN: Final = ("FreezeActivated",)  # a freeze may come back

FREEZES: Final = Projection(
    name="freezes",
    source=EVENTS,
    types=tuple(STATUS_AFTER),
    key=(Column("freeze_id"),),
    columns=(
        Column("status", WORD, sql=by_type(STATUS_AFTER)),
        Column("policy_id"),
        Column("policy_revision", "UInt32"),
        Column("scope", WORD),
        Column("subject"),
        Column("actions", "Array(String)"),
        Column("slo_id"),
        Column("budget_id"),
        Column("remaining", "Float64"),
        Column("level", WORD),
        Column("upto", TIME),
        Column("reason"),
        Column("requested_by"),
        Column("activated_at", TIME),
        Column("resolved_at", TIME, told_by=_AGAIN),
        Column("by_hand", "Bool", told_by=_AGAIN),
        Column("duration_ms", "Int64", told_by=_AGAIN),
    ),
)

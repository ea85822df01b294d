"""Alerts about SLOs that other programs have told of: since when, until when, and with which labels."""

from typing import Final

from neural_hive.projections.archive import EVENTS
from neural_hive.projections.projection import TIME, WORD, Column, Projection, by_type

STATUS_AFTER: Final = {"AlertFired": "FIRING", "AlertResolved": "RESOLVED"}
_AGAIN: Final = ("AlertFired",)  # the same may begin again

SLO_ALERTS: Final = Projection(
    name="slo_alerts",
    source=EVENTS,
    types=tuple(STATUS_AFTER),
    key=(Column("alert_id"),),
    columns=(
        Column("status", WORD, sql=by_type(STATUS_AFTER)),
        Column("slo_id"),
        Column("fingerprint"),
        Column("labels", "Map(String, String)"),
        Column("annotations", "Map(String, String)"),
        Column("receiver"),
        Column("generator_url"),
        Column("starts_at", TIME),
        Column("ends_at", TIME, told_by=_AGAIN),
        Column("requested_by"),
        Column("noted_at", TIME),
    ),
)

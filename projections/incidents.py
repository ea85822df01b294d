"""Incidents: what about a workflow needs somebody's attention, and since when; or how long it did."""

from typing import Final

from neural_hive.projections.archive import EVENTS
from neural_hive.projections.projection import TIME, WORD, Column, Projection, by_type

STATUS_AFTER: Final = {"IncidentOpened": "OPEN", "IncidentResolved": "RESOLVED"}
_AGAIN: Final = ("IncidentOpened",)  # the same trouble may come back

INCIDENTS: Final = Projection(
    name="incidents",
    source=EVENTS,
    types=tuple(STATUS_AFTER),
    key=(Column("incident_id"),),
    columns=(
        Column("status", WORD, sql=by_type(STATUS_AFTER)),
        Column("kind", WORD),
        Column("severity", WORD),
        Column("workflow_id"),
        Column("summary"),
        Column("ticket_ids", "Array(String)", told_by=_AGAIN),
        Column("opened_at", TIME),
        Column("resolved_at", TIME, told_by=_AGAIN),
        Column("resolution", paths=("reason",), told_by=_AGAIN),
    ),
    computed=(("open_ms", "dateDiff('millisecond', opened_at, resolved_at)"),),
)

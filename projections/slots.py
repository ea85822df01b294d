"""Slots: each request of an attempt to an agent: how long it waited, whether it has a slot, and how that came back.

`held`, `waiting` and `capacity` are the agent's figures when the slot was granted or asked for.
"""

from typing import Final

from neural_hive.projections.archive import EVENTS
from neural_hive.projections.projection import TIME, WORD, Column, Projection, by_type

STATUS_AFTER: Final = {
    "SlotRequested": "WAITING",
    "SlotGranted": "GRANTED",
    "SlotDenied": "DENIED",
    "SlotReturned": "RETURNED",
    "SlotExpired": "EXPIRED",
    "SlotWithdrawn": "WITHDRAWN",
}
_BEGINS: Final = ("SlotRequested", "SlotGranted")

SLOTS: Final = Projection(
    name="slots",
    source=EVENTS,
    types=tuple(STATUS_AFTER),
    key=(Column("slot_id", sql="aggregate_id"), Column("allocation", "UInt32")),
    columns=(
        Column("status", WORD, sql=by_type(STATUS_AFTER)),
        Column("agent_id"),
        Column("workflow_id"),
        Column("ticket_id"),
        Column("attempt", "UInt32"),
        Column("place", "Int64"),
        Column("requested_at", TIME),
        Column("waiting", "UInt32"),
        Column("granted_at", TIME),
        Column("lease_ends_at", TIME),
        Column("held", "UInt32"),
        Column("capacity", "UInt32"),
        Column(
            "ended_at",
            TIME,
            paths=("returned_at", "expired_at", "denied_at", "withdrawn_at"),
            told_by=_BEGINS,
        ),
        Column("outcome", WORD, told_by=_BEGINS),
        Column("domain", WORD),
        Column("reason", told_by=_BEGINS),
    ),
    computed=(
        ("waited_ms", "dateDiff('millisecond', coalesce(requested_at, granted_at), granted_at)"),
        ("held_ms", "dateDiff('millisecond', granted_at, ended_at)"),
    ),
)

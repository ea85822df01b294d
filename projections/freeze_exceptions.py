"""Exceptions from freezes: who has asked for what and why, who has answered, and until when it holds."""

from typing import Final

from neural_hive.projections.archive import EVENTS
from neural_hive.projections.projection import TIME, WORD, Column, Projection, by_type

STATUS_AFTER: Final = {
    "FreezeExceptionRequested": "REQUESTED",
    "FreezeExceptionApproved": "APPROVED",
    "FreezeExceptionRejected": "REJECTED",
    "FreezeExceptionRevoked": "REVOKED",
    "FreezeExceptionExpired": "EXPIRED",
}

FREEZE_EXCEPTIONS: Final = Projection(
    name="freeze_exceptions",
    source=EVENTS,
    types=tuple(STATUS_AFTER),
    key=(Column("exception_id"),),
    columns=(
        Column("status", WORD, sql=by_type(STATUS_AFTER)),
        Column("scope", WORD),
        Column("subject"),
        Column("duration_ms", "Int64"),
        Column("requested_by"),
        Column("reason"),
        Column("requested_at", TIME),
        Column("answer_by", TIME),
        Column("approved_by"),
        Column("rejected_by"),
        Column("revoked_by"),
        Column("answer"),
        Column("approved_at", TIME),
        Column("expires_at", TIME),
        Column("ended_at", TIME, paths=("rejected_at", "revoked_at", "expired_at")),
    ),
)

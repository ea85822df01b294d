"""Redrives: which dead letters people wanted to be written again, why, and what came of it."""

from typing import Final

from neural_hive.projections.archive import EVENTS
from neural_hive.projections.projection import WORD, Column, Projection, by_type

OUTCOME_OF: Final = {"DeadLetterRedriven": "REDRIVEN", "RedriveRejected": "REJECTED"}
_WHY_NOT: Final = "JSONExtractString(payload, 'reason')"
_WANTED: Final = f"if(event_type = 'RedriveRejected', JSONExtractString(payload, 'wanted'), {_WHY_NOT})"

REDRIVES: Final = Projection(
    name="redrives",
    source=EVENTS,
    types=tuple(OUTCOME_OF),
    key=(Column("dead_letter"),),
    columns=(
        Column("event_id", sql="event_id"),
        Column("outcome", WORD, sql=by_type(OUTCOME_OF)),
        Column("requested_by"),
        Column("reason", sql=_WANTED),
        Column("redrive", "UInt32"),
        Column("obstacle", WORD),
        Column(
            "rejection", sql="if(event_type = 'RedriveRejected', JSONExtractString(payload, 'reason'), NULL)"
        ),
        Column("source_topic", WORD),
        Column("source_partition", "UInt32"),
        Column("source_offset", "UInt64"),
        Column("message_id"),
        Column("value_sha256"),
    ),
    folded=False,
)

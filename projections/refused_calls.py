"""Refused calls: who tried what at an API without the right to, or too often; calls that are alike in one row."""

from typing import Final

from neural_hive.projections.archive import EVENTS
from neural_hive.projections.projection import TIME, WORD, Column, Projection

REFUSED_CALLS: Final = Projection(
    name="refused_calls",
    source=EVENTS,
    types=("CallRefused",),
    key=(Column("api"),),
    columns=(
        Column("caller"),
        Column("address"),
        Column("method", WORD),
        Column("path", WORD),
        Column("role", WORD),
        Column("status", "UInt16"),
        Column("reason"),
        Column("calls", "UInt64", paths=("count",)),
        Column("first_at", TIME),
        Column("last_at", TIME),
    ),
    folded=False,
)

"""Erasures: which persons' data nobody reads any more, by pseudonym, since when and why."""

from typing import Final

from neural_hive.projections.archive import EVENTS
from neural_hive.projections.projection import TIME, Column, Projection

ERASURES: Final = Projection(
    name="erasures",
    source=EVENTS,
    types=("SubjectErased",),
    key=(Column("subject_id"),),
    columns=(Column("erased_at", TIME), Column("reason"), Column("requested_by")),
)

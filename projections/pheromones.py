"""Pheromones: the trail of each agent in each domain, with the levels that it had at its last outcome.

What is left of a level now: `success_level * pow(0.5, dateDiff('second', reinforced_at, now()) / 86400)`.
"""

from typing import Final

from neural_hive.projections.archive import EVENTS
from neural_hive.projections.projection import TIME, Column, Projection

PHEROMONES: Final = Projection(
    name="pheromones",
    source=EVENTS,
    types=("TrailReinforced",),
    key=(Column("agent_id"), Column("domain")),
    columns=(
        Column("success_level", "Float64"),
        Column("failure_level", "Float64"),
        Column("success", "Bool"),
        Column("reinforced_at", TIME),
    ),
)

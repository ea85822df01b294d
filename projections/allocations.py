"""Allocations: each choice of an agent for a ticket, with the best agents there were and what their scores came from.

A choice is taken back when the agent has no slot, or the ticket does not need one any more; `slots` tells the rest.
"""

from typing import Final

from neural_hive.projections.archive import EVENTS
from neural_hive.projections.projection import TIME, Column, Projection

ALLOCATIONS: Final = Projection(
    name="allocations",
    source=EVENTS,
    types=("TicketAllocated", "TicketUnallocated"),
    key=(Column("ticket_id"), Column("allocation", "UInt32")),
    columns=(
        Column("workflow_id"),
        Column("attempt", "UInt32"),
        Column("agent_id"),
        Column("score", "Float64"),
        Column(
            "candidates",
            "Array(Tuple(agent_id String, score Float64, health Float64, pheromone Float64, telemetry Float64))",
        ),
        Column("allocated_at", TIME),
        Column("taken_back_at", TIME, paths=("unallocated_at",)),
        Column("reason"),
        Column("exception_id"),
    ),
)

"""Agents: who is known, what each can do, whether it is heard, and how it says that it is doing."""

from typing import Final

from neural_hive.projections.archive import EVENTS
from neural_hive.projections.projection import TIME, WORD, Column, Projection

TYPES: Final = ("AgentRegistered", "AgentSeen", "AgentHealthChanged", "AgentDeregistered", "AgentRemoved")
_STATUS: Final = (
    "multiIf(event_type = 'AgentRegistered', 'HEALTHY', event_type = 'AgentHealthChanged', "
    "JSONExtractString(payload, 'to_health'), event_type = 'AgentDeregistered', 'DEREGISTERED', "
    "event_type = 'AgentRemoved', 'REMOVED', NULL)"
)

AGENTS: Final = Projection(
    name="agents",
    source=EVENTS,
    types=TYPES,
    key=(Column("agent_id"),),
    columns=(
        Column("status", WORD, sql=_STATUS),
        Column("agent_type", WORD),
        Column("capabilities", "Array(String)", told_by=("AgentRegistered",)),
        Column("task_types", "Array(String)", told_by=("AgentRegistered",)),
        Column("capacity", "UInt32"),
        Column("success_rate", "Float64"),
        Column("load", "Float64"),
        Column("latency_ms", "Int64"),
        Column("seen_at", TIME, paths=("seen_at", "registered_at")),
        Column("registered_at", TIME),
        Column("reason", told_by=("AgentRegistered",)),
        Column("requested_by"),
    ),
)

"""What every processor that gives work away reads of the registry: the agents, and the trails they left.

Folded with the aggregates' own `evolve`, so it is what the registry knows, a moment later. Agents that have left or
were removed are not in it.
"""

from collections.abc import Mapping
from typing import Any, Final

from neural_hive.aggregates.agent import AGENT, Agent, AgentEvent, Presence, evolve
from neural_hive.aggregates.aggregate import event_of
from neural_hive.aggregates.matching import Candidate
from neural_hive.aggregates.pheromone import TRAIL, Trail, TrailReinforced, trail_id_of
from neural_hive.aggregates.pheromone import evolve as evolve_trail
from neural_hive.schemas.codec import decode
from neural_hive.schemas.envelope import Envelope
from neural_hive.streams.kernel.broadcast import View


def _with_agent(agents: dict[str, Agent], record: Any) -> dict[str, Agent]:
    decoded = decode(record.value(), "event")
    assert isinstance(decoded.head, Envelope)
    if decoded.head.aggregate_type != AGENT.name:
        return agents
    event: AgentEvent = event_of(AGENT, decoded.head.event_type, decoded.payload)  # type: ignore[assignment]
    agent = evolve(agents.get(event.agent_id), event)
    changed = {**agents, agent.agent_id: agent}
    if agent.presence is not Presence.REGISTERED:
        del changed[agent.agent_id]
    return changed


def _with_trail(trails: dict[str, Trail], record: Any) -> dict[str, Trail]:
    decoded = decode(record.value(), "event")
    assert isinstance(decoded.head, Envelope)
    if decoded.head.aggregate_type != TRAIL.name:
        return trails
    event: TrailReinforced = event_of(TRAIL, decoded.head.event_type, decoded.payload)  # type: ignore[assignment]
    trail_id = trail_id_of(event.domain, event.agent_id)
    return {**trails, trail_id: evolve_trail(trails.get(trail_id), event)}


AGENTS: Final[View[dict[str, Agent]]] = View(AGENT.topic, {}, _with_agent)
TRAILS: Final[View[dict[str, Trail]]] = View(TRAIL.topic, {}, _with_trail)


def candidates(
    agents: Mapping[str, Agent], trails: Mapping[str, Trail], domain: str
) -> tuple[Candidate, ...]:
    """The agents of a view, each with its trail in a domain; in the order of their ids.

    Raises Rejected: the domain is not a name.
    """
    return tuple(Candidate(agents[name], trails.get(trail_id_of(domain, name))) for name in sorted(agents))

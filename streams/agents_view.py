"""What every processor that gives work away reads of the registry: the agents, and the trails they left.

Agents that have left or were removed are not in it.
"""

from collections.abc import Mapping
from typing import Final

from neural_hive.aggregates.agent import AGENT, Agent, Presence
from neural_hive.aggregates.matching import Candidate
from neural_hive.aggregates.pheromone import TRAIL, Trail, trail_id_of
from neural_hive.streams.kernel.broadcast import View
from neural_hive.streams.kernel.states_view import states_view

AGENTS: Final[View[dict[str, Agent]]] = states_view(AGENT, lambda a: a.presence is Presence.REGISTERED)
TRAILS: Final[View[dict[str, Trail]]] = states_view(TRAIL)


def candidates(
    agents: Mapping[str, Agent], trails: Mapping[str, Trail], domain: str
) -> tuple[Candidate, ...]:
    """The agents of a view, each with its trail in a domain; in the order of their ids.

    Raises Rejected: the domain is not a name.
    """
    return tuple(Candidate(agents[name], trails.get(trail_id_of(domain, name))) for name in sorted(agents))

"""Who can do a piece of work, best first: a pure function of what is known of the agents.

    score = 0.4 · health + 0.3 · pheromone + 0.3 · telemetry

Health is 1 for who is HEALTHY, and nobody else is a candidate; telemetry is the success rate that an agent tells;
pheromone is the trail's score in the domain of the work (see pheromone.py).
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from neural_hive.aggregates.agent import Agent, Health, Presence
from neural_hive.aggregates.pheromone import Trail
from neural_hive.aggregates.pheromone import score as trail_score
from neural_hive.aggregates.vocabulary import TaskType

HEALTH_WEIGHT: Final = 0.4
PHEROMONE_WEIGHT: Final = 0.3
TELEMETRY_WEIGHT: Final = 0.3
_HEALTHY_SCORE: Final = 1.0


class Candidate(msgspec.Struct, frozen=True):
    """An agent, and its trail in the domain of the work."""

    agent: Agent
    trail: Trail | None = None


class Match(msgspec.Struct, frozen=True):
    """An agent that can do the work, and what its place was computed from."""

    agent_id: str
    score: float
    health: float
    pheromone: float
    telemetry: float


def match(
    candidates: Iterable[Candidate],
    required: Iterable[str],
    at: int,
    count: int,
    task_type: TaskType | None = None,
) -> tuple[Match, ...]:
    """The best `count` agents with all required capabilities at a time (µs), best first; ties by agent id.

    An agent that names no task types takes any; one whose capacity is 0 takes nothing.
    """
    wanted = frozenset(required)
    able = (c for c in candidates if _can(c.agent, wanted, task_type))
    found = [_scored(candidate, at) for candidate in able]
    return tuple(sorted(found, key=lambda m: (-m.score, m.agent_id))[: max(count, 0)])


def _can(agent: Agent, wanted: frozenset[str], task_type: TaskType | None) -> bool:
    takes = agent.profile.capacity > 0 and agent.health is Health.HEALTHY
    types = agent.profile.task_types
    return (
        takes
        and agent.presence is Presence.REGISTERED
        and wanted.issubset(agent.profile.capabilities)
        and (not types or task_type in (None, *types))
    )


def _scored(candidate: Candidate, at: int) -> Match:
    pheromone, telemetry = trail_score(candidate.trail, at), candidate.agent.telemetry.success_rate
    composite = HEALTH_WEIGHT * _HEALTHY_SCORE + PHEROMONE_WEIGHT * pheromone + TELEMETRY_WEIGHT * telemetry
    return Match(candidate.agent.agent_id, composite, _HEALTHY_SCORE, pheromone, telemetry)

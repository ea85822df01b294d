"""Who can do a piece of work, best first: a pure function of what is known of the agents.

    score = 0.4 · health + 0.3 · pheromone + 0.3 · telemetry (the usual weights)

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

_HEALTHY_SCORE: Final = 1.0


class Weights(msgspec.Struct, frozen=True):
    """What each part counts in a score."""

    health: float = 0.4
    pheromone: float = 0.3
    telemetry: float = 0.3


USUAL_WEIGHTS: Final = Weights()


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
    weights: Weights = USUAL_WEIGHTS,
) -> tuple[Match, ...]:
    """The best `count` agents with all required capabilities at a time (µs), best first; ties by agent id.

    An agent that names no task types takes any; one whose capacity is 0 takes nothing.
    """
    wanted = frozenset(required)
    able = (c for c in candidates if _can(c.agent, wanted, task_type))
    found = [_scored(candidate, at, weights) for candidate in able]
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


def _scored(candidate: Candidate, at: int, weights: Weights) -> Match:
    pheromone, telemetry = trail_score(candidate.trail, at), candidate.agent.telemetry.success_rate
    composite = (
        weights.health * _HEALTHY_SCORE + weights.pheromone * pheromone + weights.telemetry * telemetry
    )
    return Match(candidate.agent.agent_id, composite, _HEALTHY_SCORE, pheromone, telemetry)

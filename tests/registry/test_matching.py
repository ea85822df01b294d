"""Who gets the work, and in which order."""

import random

import pytest

from neural_hive.aggregates.agent import Agent, AgentType, Health, Presence, Profile, Telemetry
from neural_hive.aggregates.matching import Candidate, match
from neural_hive.aggregates.pheromone import Trail
from neural_hive.aggregates.vocabulary import TaskType

NOW = 1_700_000_000_000_000


def candidate(
    agent_id: str,
    capabilities: tuple[str, ...] = ("python",),
    health: Health = Health.HEALTHY,
    presence: Presence = Presence.REGISTERED,
    success_rate: float = 1.0,
    trail: Trail | None = None,
    task_types: tuple[TaskType, ...] = (),
    capacity: int = 1,
) -> Candidate:
    profile = Profile(AgentType.WORKER, capabilities, task_types, capacity)
    return Candidate(Agent(agent_id, profile, presence, health, NOW, Telemetry(success_rate)), trail)


def names(*candidates: Candidate, required: tuple[str, ...] = (), count: int = 9) -> list[str]:
    return [found.agent_id for found in match(candidates, required, NOW, count)]


def test_the_score_is_what_it_says() -> None:
    (found,) = match([candidate("a", success_rate=0.5, trail=Trail(3.0, 0.0, NOW))], [], NOW, 1)
    assert found.score == pytest.approx(0.4 * 1 + 0.3 * 0.8 + 0.3 * 0.5)
    assert (found.health, found.pheromone, found.telemetry) == (1.0, pytest.approx(0.8), 0.5)


def test_only_who_has_all_capabilities() -> None:
    both, one = candidate("both", ("gpu", "python")), candidate("one")
    assert names(both, one, required=("python", "gpu")) == ["both"]
    assert names(both, one, required=("rust",)) == []


def test_only_who_is_healthy_and_there() -> None:
    assert names(
        candidate("a", health=Health.DEGRADED),
        candidate("b", health=Health.UNHEALTHY),
        candidate("c", presence=Presence.REMOVED),
        candidate("d", presence=Presence.DEREGISTERED),
        candidate("takes-nothing", capacity=0),
        candidate("e"),
    ) == ["e"]


def test_task_types_limit_those_who_name_some() -> None:
    any_type, tester = candidate("any"), candidate("tester", task_types=(TaskType.TEST,))
    found = match([any_type, tester], [], NOW, 9, TaskType.BUILD)
    assert [one.agent_id for one in found] == ["any"]


def test_the_best_come_first_and_ties_have_an_order() -> None:
    many = [
        candidate("z"),
        candidate("tried", trail=Trail(5.0, 0.0, NOW)),
        candidate("failing", success_rate=0.1),
        candidate("b"),
    ]
    for seed in range(10):
        random.Random(seed).shuffle(many)
        assert names(*many) == ["tried", "b", "z", "failing"]
    assert names(*many, count=2) == ["tried", "b"]
    assert names(*many, count=0) == []

"""What others read of the registry is what the registry's own folds say."""

from typing import Any

import pytest

from neural_hive.aggregates.agent import (
    AGENT,
    AgentDeregistered,
    AgentHealthChanged,
    AgentRegistered,
    AgentSeen,
    AgentType,
    Health,
)
from neural_hive.aggregates.aggregate import Aggregate, Event, Rejected
from neural_hive.aggregates.matching import Candidate, match
from neural_hive.aggregates.partition import partition_aggregate
from neural_hive.aggregates.pheromone import TRAIL, Trail, TrailReinforced
from neural_hive.streams.agents_view import AGENTS, TRAILS, candidates
from tests.registry.recorded import Recorded, recorded

AT = 1_700_000_000_000_000


def registered(agent_id: str) -> AgentRegistered:
    return AgentRegistered(agent_id, AgentType.WORKER, ("python",), (), 2, AT, "ann")


def folded(view: Any, aggregate: Aggregate[Any], *events: Event) -> Any:
    value = view.empty
    for event in events:
        value = view.add(value, recorded(aggregate, event))
    return value


def test_the_agents_are_as_the_registry_knows_them() -> None:
    worse = AgentHealthChanged("b", Health.HEALTHY, Health.DEGRADED, "silent")
    history = (registered("a"), registered("b"), AgentSeen("a", 0.5, 0.1, 9, AT + 5), worse)
    agents = folded(AGENTS, AGENT, *history)
    expected = AGENT.evolve(AGENT.evolve(None, history[0]), history[2])
    assert agents["a"] == expected
    assert agents["b"].health is Health.DEGRADED


def test_who_is_gone_is_not_in_it_and_comes_back_new() -> None:
    gone = AgentDeregistered("a", "done", "ann")
    assert folded(AGENTS, AGENT, registered("a"), gone) == {}
    assert list(folded(AGENTS, AGENT, registered("a"), gone, registered("a"))) == ["a"]


def test_a_value_that_somebody_has_does_not_change() -> None:
    before = folded(AGENTS, AGENT, registered("a"))
    AGENTS.add(before, recorded(AGENT, registered("b")))
    assert list(before) == ["a"]


def test_events_of_others_in_the_topic_change_nothing() -> None:
    other = partition_aggregate(AGENT.topic)
    (accepted, *_) = other.events
    event = accepted("why", "ann", "before", "after")
    assert AGENTS.add({}, recorded(other, event)) == {}


def test_candidates_have_their_trail_in_the_domain() -> None:
    agents = folded(AGENTS, AGENT, registered("b"), registered("a"))
    trails = folded(
        TRAILS,
        TRAIL,
        TrailReinforced("BUILD", "b", True, 1.0, 0.0, AT),
        TrailReinforced("BUILD", "b", True, 2.0, 0.0, AT + 1),
        TrailReinforced("TEST", "a", True, 1.0, 0.0, AT),
    )
    found = candidates(agents, trails, "BUILD")
    assert found == (Candidate(agents["a"], None), Candidate(agents["b"], Trail(2.0, 0.0, AT + 1)))
    assert [one.agent_id for one in match(found, ["python"], AT + 1, 2)] == ["b", "a"]
    with pytest.raises(Rejected, match="domain must be"):
        candidates(agents, trails, "a/b")


def test_bytes_that_are_no_event_are_not_taken() -> None:
    with pytest.raises(ValueError, match="zero byte"):
        AGENTS.add({}, Recorded(b"nonsense"))

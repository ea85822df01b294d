"""Attempts at an agent that falls silent or leaves: an incident at once, another attempt only when its time is over."""

from typing import Any

import pytest

from neural_hive.aggregates.incident import INCIDENT, Incident, IncidentOpened, Kind, incident_id_of
from neural_hive.aggregates.ticket import GRACE_MS, START_WITHIN_MS, TIMEOUT_TIMER, Status
from neural_hive.aggregates.vocabulary import Outcome
from neural_hive.streams.registry.messages import ANSWERS, COMMANDS, AttemptsLost, Heartbeat, SlotRef
from tests.aggregates.making import AGENT, decision, task
from tests.orchestrator.pair import Pair
from tests.orchestrator.running import Run

WORKFLOW = decision().decision_id


def incident(run: Run, agent_id: str = AGENT) -> Incident | None:
    found: Incident | None = run.unit.states.get(
        (INCIDENT.name, incident_id_of(WORKFLOW, Kind.AGENT_LOST, agent_id))
    )
    return found


def is_open(run: Run) -> bool:
    found = incident(run)
    return found is not None and found.is_open


def opened(run: Run) -> list[IncidentOpened]:
    return [w.event for w in run.unit.log if isinstance(w.event, IncidentOpened)]


def fall_silent(run: Run, steps: int) -> None:
    """The registry notices the silence of the agent: degraded, unhealthy, removed."""
    for _ in range(steps):
        [timer] = [t for t in run.pair.registry.timers() if t.name == "silence" and t.aggregate_id == AGENT]
        run.pair.registry.fire(timer)
        run.pair.pump()


def fire(run: Run, task_id: str) -> list[Any]:
    [timer] = [
        t
        for t in run.unit.timers()
        if t.name == TIMEOUT_TIMER and t.aggregate_id == run.ticket(task_id).created.ticket_id
    ]
    return run.fire(timer)


def running(*tasks: Any, pair: Pair | None = None) -> Run:
    """Tickets that the agent has begun."""
    run = Run(decision(*tasks), pair=pair)
    run.publish()
    for dispatch in run.waiting:
        run.start(dispatch)
    return run


def test_who_leaves_with_work_in_hand_makes_an_incident_and_who_comes_back_ends_it() -> None:
    run = running(task("a"), task("b"))
    run.pair.deregister(AGENT)
    [event] = opened(run)
    assert (event.kind, set(event.ticket_ids)) == (Kind.AGENT_LOST, {t.ticket_id for t in run.waiting})
    assert f"2 tickets are at {AGENT}, and the agent is DEREGISTERED" in event.summary
    assert run.statuses == {"a": Status.RUNNING, "b": Status.RUNNING}
    run.pair.register(AGENT, 4)
    assert not is_open(run)
    run.finish()
    assert len(opened(run)) == 1


def test_silence_is_told_when_it_means_something_and_once() -> None:
    run = running(task("a"))
    fall_silent(run, 1)
    assert opened(run) == [], "who is only degraded is heard of soon"
    fall_silent(run, 1)
    assert [event.kind for event in opened(run)] == [Kind.AGENT_LOST]
    fall_silent(run, 1)
    assert len(opened(run)) == 1
    assert is_open(run)


def test_who_is_heard_again_is_lost_no_more() -> None:
    run = running(task("a"))
    fall_silent(run, 2)
    run.pair.registry.handle(COMMANDS, Heartbeat(AGENT, 1.0, 0.0, 0), "beat", 0)
    run.pair.pump()
    assert not is_open(run)


@pytest.mark.parametrize("begun", [True, False])
def test_another_attempt_is_made_only_when_its_time_is_over(begun: bool) -> None:
    pair = Pair(AGENT, 1)
    run = Run(decision(task("a", max_retries=1)), pair=pair)
    run.publish()
    [dispatch] = run.waiting
    if begun:
        run.start(dispatch)
    asked_at = run.unit.now
    pair.deregister(AGENT)
    pair.register("other", 1)
    assert len(run.dispatched) == 1
    assert is_open(run)
    fire(run, "a")
    run.fire(run.retries()[0])
    assert [one.allocated_agent_id for one in run.waiting] == [AGENT, "other"]
    limit_ms = dispatch.timeout_ms if begun else START_WITHIN_MS
    assert run.unit.now - asked_at > (limit_ms + GRACE_MS - 2_000) * 1_000
    assert not is_open(run), "the agent has none of them any more"


def test_it_is_over_when_the_last_one_is() -> None:
    run = running(task("a"), task("b"))
    run.pair.deregister(AGENT)
    run.answer(run.dispatch_of("a"))
    assert is_open(run)
    run.answer(run.dispatch_of("b"), Outcome.FAILED)
    assert not is_open(run)


def test_other_workflows_are_told_for_themselves() -> None:
    pair = Pair(AGENT, 4)
    run = running(task("a"), pair=pair)
    other = Run(decision(task("a"), decision_id="other"), pair=pair)
    other.publish()
    pair.deregister(AGENT)
    assert {event.workflow_id for event in opened(run)} == {WORKFLOW, "other"}
    run.answer(run.dispatch_of("a"))
    assert not is_open(run)
    left = run.unit.states[INCIDENT.name, incident_id_of("other", Kind.AGENT_LOST, AGENT)]
    assert left.is_open


def test_what_has_ended_meanwhile_is_not_missed() -> None:
    run = running(task("a"), task("b"))
    slot = run.ticket("a").slot
    assert slot is not None
    run.answer(run.dispatch_of("a"))  # the registry has not heard of that when the agent is lost
    of_a = SlotRef(run.ticket("a").created.ticket_id, slot.attempt, slot.allocation)
    of_b = SlotRef(run.ticket("b").created.ticket_id, slot.attempt, slot.allocation + 1)
    run.unit.handle(ANSWERS, AttemptsLost(AGENT, WORKFLOW, (of_a, of_b), "the agent is REMOVED"), "lost")
    assert opened(run) == [], "the one has ended, and the other asked for another slot since"

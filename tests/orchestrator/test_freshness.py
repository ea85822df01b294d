"""A deployment is given to nobody while what is known of the agents is old; it goes on by itself once it is not."""

from typing import Any

from neural_hive.aggregates.agent import AGENT as AGENTS
from neural_hive.aggregates.freeze import FREEZE
from neural_hive.aggregates.incident import IncidentOpened, Kind
from neural_hive.aggregates.pheromone import TRAIL
from neural_hive.aggregates.ticket import (
    Status,
    TicketAllocated,
    TicketUnallocated,
    ViewPosition,
)
from neural_hive.aggregates.vocabulary import TaskType
from neural_hive.aggregates.workflow import WorkflowWaiting
from tests.aggregates.making import AGENT, decision, task
from tests.orchestrator.running import PLANS, Run

DEPLOY = task("deploy", task_type=TaskType.DEPLOY)
FRESH_S, OLD_S = 30.0, 31.0


def _events(run: Run, kind: type[Any]) -> list[Any]:
    return [written.event for written in run.unit.log if isinstance(written.event, kind)]


def test_a_decision_says_how_much_was_known() -> None:
    run = Run(decision(DEPLOY))
    run.unit.positions = {1: 70, 0: 50, 2: 90}
    run.unit.view_age_s = FRESH_S
    run.publish()
    (allocated,) = _events(run, TicketAllocated)
    assert allocated.views == (
        ViewPosition(AGENTS.topic, (50, 70, 90), 30_000),
        ViewPosition(TRAIL.topic, (50, 70, 90), 30_000),
        ViewPosition(FREEZE.topic, (50, 70, 90), 30_000),
    )
    assert run.statuses == {"deploy": Status.ASSIGNED}


def test_a_deployment_waits_for_news_and_others_do_not() -> None:
    run = Run(decision(DEPLOY, task("execute")))
    run.unit.view_age_s = OLD_S
    run.publish()
    assert run.statuses == {"deploy": Status.READY, "execute": Status.ASSIGNED}
    assert _events(run, WorkflowWaiting)[-1].reason == (
        "what is known of the agents is 31 s old, and DEPLOY tasks wait for what is less than 30 s"
    )
    run.answer(run.dispatch_of("execute"))
    for _ in range(3):
        run.fire(run.waits()[0])
        assert run.statuses["deploy"] is Status.READY
    assert not _events(run, IncidentOpened), "there are agents, and nobody need be called yet"
    run.unit.view_age_s = FRESH_S
    run.fire(run.waits()[0])
    assert run.statuses["deploy"] is Status.ASSIGNED
    run.finish()
    assert run.statuses == {"deploy": Status.COMPLETED, "execute": Status.COMPLETED}


def test_what_has_grown_old_since_the_choice_counts_too() -> None:
    run = Run(decision(DEPLOY))
    run.unit.handle(PLANS, run.decision, "plan")
    assert len(_events(run, TicketAllocated)) == 1
    run.unit.view_age_s = float("inf")
    run.pair.pump()
    assert run.statuses == {"deploy": Status.READY}
    (given_back,) = _events(run, TicketUnallocated)
    assert given_back.reason.startswith("what is known of the agents is inf s old")
    assert run.pair.held(AGENT) == 0
    run.unit.view_age_s = 0.0
    while run.statuses["deploy"] is Status.READY:
        run.fire(run.waits()[0])
    assert len(_events(run, TicketAllocated)) == 2
    run.finish()
    assert run.statuses == {"deploy": Status.COMPLETED}


def test_somebody_is_told_when_it_lasts() -> None:
    run = Run(decision(DEPLOY))
    run.unit.view_age_s = OLD_S
    run.publish()
    begun = run.unit.now
    while run.unit.now - begun < 1_000_000_000:
        run.fire(run.waits()[0])
    (incident,) = _events(run, IncidentOpened)
    assert incident.kind is Kind.AGENTS_BUSY
    assert "what is known of the agents is 31 s old" in incident.summary
    assert "full, silent" not in incident.summary

"""A frozen deployment is held, with a word of why; others go on, and so does it when the freeze ends."""

from itertools import pairwise
from typing import Any

import pytest

from neural_hive.aggregates.agent import AGENT as AGENTS
from neural_hive.aggregates.freeze import FREEZE, DeployFreeze
from neural_hive.aggregates.freeze_policy import Scope
from neural_hive.aggregates.incident import INCIDENT, IncidentOpened, IncidentResolved, Kind, incident_id_of
from neural_hive.aggregates.pheromone import TRAIL
from neural_hive.aggregates.tally import HELD_QUEUE, READY_QUEUE
from neural_hive.aggregates.ticket import (
    HoldingFreeze,
    Status,
    TicketAllocated,
    TicketDispatched,
    TicketHeld,
    TicketReleased,
    TicketUnallocated,
    ViewPosition,
)
from neural_hive.aggregates.vocabulary import Outcome, TaskType
from neural_hive.aggregates.workflow import Status as WorkflowStatus
from neural_hive.aggregates.workflow import WorkflowWaiting
from neural_hive.streams.orchestrator.freezes import FREEZES_TOLD_MAX
from neural_hive.streams.orchestrator.market import ALLOCATED_MAX
from neural_hive.streams.orchestrator.messages import PauseWorkflow, ResumeWorkflow
from neural_hive.streams.orchestrator.waiting import BUSY
from tests.aggregates.making import AGENT, decision, task
from tests.orchestrator.chill import deploy, freeze, frozen
from tests.orchestrator.running import PLANS, Run

FRESH_S, OLD_S = 30.0, 31.0
HOUR_US = 3_600_000_000


def events(run: Run, *kinds: type[Any]) -> list[Any]:
    return [written.event for written in run.unit.log if isinstance(written.event, kinds)]


def incidents(run: Run, kind: Kind = Kind.DEPLOY_FROZEN) -> list[IncidentOpened]:
    return [event for event in events(run, IncidentOpened) if event.kind is kind]


def look(run: Run, times: int = 1) -> None:
    """The workflow's timer, some times."""
    for _ in range(times):
        run.fire(run.waits()[0])


def test_it_is_held_once_with_what_that_was_decided_from() -> None:
    run = Run(decision(deploy("a", namespace="eu")))
    run.pair.freezes = {"f-1": freeze()}
    run.unit.positions, run.unit.view_age_s = {1: 70, 0: 50}, 2.0
    run.publish()
    look(run, 5)
    (held,) = events(run, TicketHeld)
    ids = run.ticket("a").created.ticket_id, run.decision.decision_id
    seen = tuple(ViewPosition(of.topic, (50, 70), 2_000) for of in (AGENTS, TRAIL, FREEZE))
    by = (HoldingFreeze("f-1", "policy-f-1", 3, Scope.SERVICE, "checkout"),)
    assert held == TicketHeld(*ids, "checkout", "eu", by, 1, seen, held.held_at)
    assert run.ticket("a").held == by
    assert run.statuses == {"a": Status.READY} and run.pair.held(AGENT) == 0
    assert not events(run, TicketAllocated)
    waiting = events(run, WorkflowWaiting)
    assert {w.reason for w in waiting} == {"frozen by policy policy-f-1 for service checkout"}


def test_it_is_looked_at_again_within_fifteen_seconds() -> None:
    run = frozen(deploy("a"))
    times = [run.unit.now]
    for _ in range(6):
        look(run)
        times.append(run.unit.now)
    assert max(after - before for before, after in pairwise(times)) <= 15_000_000


def test_it_goes_on_by_itself_when_the_freeze_ends() -> None:
    run = frozen(deploy("a"))
    run.pair.freezes = {}
    run.unit.positions = {0: 9}
    look(run)
    assert run.statuses == {"a": Status.ASSIGNED}
    (released,) = events(run, TicketReleased)
    assert [view.next_offsets for view in released.views] == [(9,)] * 3
    assert run.ticket("a").held == () and run.ticket("a").held_count == 0
    run.finish()
    assert run.statuses == {"a": Status.COMPLETED}


def test_an_incident_is_open_for_as_long_as_it_is_held() -> None:
    run = frozen(deploy("a"), deploy("b", service="till"), by=(freeze(scope=Scope.GLOBAL, subject=""),))
    assert [(i.ticket_ids, i.summary) for i in incidents(run)] == [
        (
            (run.ticket(name).created.ticket_id,),
            f"task {name} waits: frozen by policy policy-f-1 for everything",
        )
        for name in ("a", "b")
    ]
    assert not events(run, IncidentResolved)
    run.pair.freezes = {"f-2": freeze("f-2")}
    look(run)
    assert [e.incident_id for e in events(run, IncidentResolved)] == [incident_of(run, "b")]
    run.pair.freezes = {}
    look(run)
    assert {e.incident_id for e in events(run, IncidentResolved)} == {
        incident_of(run, "a"),
        incident_of(run, "b"),
    }
    assert len(incidents(run)) == 2


def incident_of(run: Run, name: str) -> str:
    ticket = run.ticket(name).created
    return incident_id_of(ticket.workflow_id, Kind.DEPLOY_FROZEN, ticket.ticket_id)


def test_others_go_on() -> None:
    other_type = task("c", parameters={"service": "checkout"})
    run = frozen(deploy("a"), deploy("b", service="till"), other_type, task("d", task_type=TaskType.DEPLOY))
    assert run.statuses == {
        "a": Status.READY,
        "b": Status.ASSIGNED,
        "c": Status.ASSIGNED,
        "d": Status.ASSIGNED,
    }
    assert [run.ticket(name).held != () for name in "abcd"] == [True, False, False, False]


@pytest.mark.parametrize(
    ("by", "is_held"),
    [
        (freeze(scope=Scope.NAMESPACE, subject="eu"), True),
        (freeze(scope=Scope.NAMESPACE, subject="us"), False),
        (freeze(scope=Scope.GLOBAL, subject=""), True),
        (freeze(scope=Scope.SERVICE, subject="eu"), False),
    ],
)
def test_scopes(by: DeployFreeze, is_held: bool) -> None:
    run = frozen(deploy("a", namespace="eu"), by=(by,))
    assert (run.statuses["a"] is Status.READY) == is_held == bool(events(run, TicketHeld))


def test_a_service_that_a_task_before_it_names_is_known_before_it_is_given_out() -> None:
    run = frozen(task("build"), deploy("a", "build", service="${tasks.build.outputs.name}"))
    run.answer(run.dispatch_of("build"), outputs={"name": "checkout"})
    (held,) = events(run, TicketHeld)
    assert held.service == "checkout"
    look(run, 3)
    assert len(events(run, TicketHeld)) == 1 and not events(run, TicketReleased)
    run.pair.freezes = {"f-1": freeze(subject="till")}
    look(run)
    assert run.dispatch_of("a").parameters["service"] == "checkout"


def test_what_was_deployed_is_undone_in_a_freeze() -> None:
    run = Run(decision(deploy("a", compensation=("undo",)), task("b", "a")))
    run.publish()
    run.answer(run.waiting[0])
    run.pair.freezes = {"f-1": freeze()}
    run.unit.view_ages_s["freezes"] = OLD_S  # nor does it wait for news of them
    run.answer(run.dispatch_of("b"), Outcome.FAILED)
    assert run.workflow.status is WorkflowStatus.COMPENSATING
    assert run.dispatch_of("a").compensates
    run.answer(run.dispatch_of("a"))
    assert run.statuses["a"] is Status.COMPENSATED and not events(run, TicketHeld)


def test_what_is_undone_does_not_stand_behind_what_is_frozen() -> None:
    run = Run(decision(deploy("a", compensation=("undo",)), task("b", "a")), capacity=1)
    run.publish()
    run.answer(run.waiting[0])
    run.pair.freezes = {"f-1": freeze()}
    other = Run(decision(*(deploy(f"t{n}") for n in range(3)), decision_id="d-2"), pair=run.pair)
    other.publish("plan 2")
    run.answer(run.dispatch_of("b"), Outcome.FAILED)
    assert run.dispatch_of("a").compensates
    assert set(other.statuses.values()) == {Status.READY}


def test_old_news_of_freezes_hold_deployments_back() -> None:
    run = Run(decision(deploy("a"), task("b")))
    run.unit.view_ages_s["freezes"] = OLD_S
    run.publish()
    assert run.statuses == {"a": Status.READY, "b": Status.ASSIGNED}
    assert events(run, WorkflowWaiting)[-1].reason == (
        "what is known of the freezes is 31 s old, and DEPLOY tasks wait for what is less than 30 s"
    )
    assert not events(run, TicketHeld), "nobody knows whether it is frozen"
    run.unit.view_ages_s["freezes"] = FRESH_S
    look(run)
    assert run.statuses["a"] is Status.ASSIGNED


def test_nothing_is_let_go_on_old_news() -> None:
    run = frozen(deploy("a"))
    run.pair.freezes = {}
    run.unit.view_ages_s["freezes"] = OLD_S
    look(run, 3)
    assert run.ticket("a").held and not events(run, TicketReleased)
    run.unit.view_ages_s["freezes"] = 0.0
    look(run)
    assert run.statuses["a"] is Status.ASSIGNED


@pytest.mark.parametrize("is_old", [False, True])
def test_a_freeze_between_choice_and_slot_gives_the_slot_back(is_old: bool) -> None:
    run = Run(decision(deploy("a")))
    run.unit.handle(PLANS, run.decision, "plan")
    assert len(events(run, TicketAllocated)) == 1
    if is_old:
        run.unit.view_ages_s["freezes"] = float("inf")
    else:
        run.pair.freezes = {"f-1": freeze()}
    run.pair.pump()
    assert run.statuses == {"a": Status.READY} and run.pair.held(AGENT) == 0
    (given_back,) = events(run, TicketUnallocated)
    if is_old:
        assert given_back.reason.startswith("what is known of the freezes is inf s old")
    else:
        assert given_back.reason == "frozen by policy policy-f-1 for service checkout"
    assert len(events(run, TicketHeld)) == len(incidents(run)) == (0 if is_old else 1)
    run.pair.freezes, run.unit.view_ages_s = {}, {}
    while run.statuses["a"] is Status.READY:
        look(run)
    run.finish()
    assert run.statuses == {"a": Status.COMPLETED}


def test_other_freezes_are_said_again_and_the_same_ones_are_not() -> None:
    run = frozen(deploy("a"), deploy("b"))
    run.pair.freezes["f-2"] = freeze("f-2", "", Scope.GLOBAL)
    look(run, 2)
    del run.pair.freezes["f-1"]
    look(run, 2)
    told = [[f.freeze_id for f in held.freezes] for held in events(run, TicketHeld)]
    assert told == [["f-1"]] * 2 + [["f-1", "f-2"]] * 2 + [["f-2"]] * 2
    assert len(incidents(run)) == 2 and not events(run, IncidentResolved, TicketReleased)


def test_many_freezes_are_counted_and_the_first_ones_told() -> None:
    many = tuple(freeze(f"f-{n:03}", "", Scope.GLOBAL) for n in range(FREEZES_TOLD_MAX + 5))
    run = frozen(deploy("a"), by=many[::-1])
    (held,) = events(run, TicketHeld)
    assert [f.freeze_id for f in held.freezes] == [f.freeze_id for f in many[:FREEZES_TOLD_MAX]]
    assert held.freeze_count == len(many)
    assert events(run, WorkflowWaiting)[-1].reason.endswith(", and by 5 more freezes")


def test_a_freeze_alone_is_nobodys_fault() -> None:
    run = frozen(deploy("a"), capacity=1)
    long = (task(f"x{n}", timeout_ms=2 * HOUR_US // 1_000) for n in range(4))
    Run(decision(*long, decision_id="d-2", deadline_ms=4 * HOUR_US // 1_000), pair=run.pair).publish("plan 2")
    begun = run.unit.now
    while run.unit.now - begun < HOUR_US:
        look_at(run)
    assert len(events(run, TicketDispatched)) == 1, "the agent is busy"
    run.pair.freezes = {}
    look_at(run, 3)
    assert events(run, WorkflowWaiting)[-1].reason == BUSY
    assert not run.ticket("a").held
    assert incident_id_of("d-1", Kind.AGENTS_BUSY) not in {
        i.incident_id for i in incidents(run, Kind.AGENTS_BUSY)
    }


def look_at(run: Run, times: int = 1) -> None:
    """The timer of the run's own workflow, some times."""
    for _ in range(times):
        run.fire(next(timer for timer in run.waits() if timer.aggregate_id == run.decision.decision_id))


def test_who_waits_for_busy_agents_beside_a_freeze_is_told_of() -> None:
    run = frozen(deploy("a"), task("b", timeout_ms=HOUR_US // 1_000), task("c"), capacity=1)
    begun = run.unit.now
    while run.unit.now - begun < 1_000_000_000:
        look(run)
    assert events(run, WorkflowWaiting)[-1].reason.endswith(
        "frozen by policy policy-f-1 for service checkout"
    )
    (busy,) = incidents(run, Kind.AGENTS_BUSY)
    assert run.ticket("a").created.ticket_id not in busy.ticket_ids


def test_a_pause_and_a_stop_end_it() -> None:
    run = frozen(deploy("a"))
    run.ask(PauseWorkflow("d-1", "why"), "pause")
    (released,) = events(run, TicketReleased)
    assert released.views == () and run.ticket("a").held == ()
    assert len(events(run, IncidentResolved)) == 1
    run.ask(ResumeWorkflow("d-1", "why"), "resume")
    assert run.ticket("a").held and len(incidents(run)) == 2
    run.stop()
    assert run.statuses == {"a": Status.CANCELLED} and run.ticket("a").held == ()
    assert len(events(run, IncidentResolved)) == 2
    assert not any(run.unit.states[INCIDENT.name, e.incident_id].is_open for e in incidents(run))


def test_thousands_are_held_and_let_go_a_part_at_a_time() -> None:
    count = 2 * ALLOCATED_MAX + 10
    run = frozen(*(deploy(f"t{n}") for n in range(count)))
    while len(events(run, TicketHeld)) < count:
        parts = len(events(run, TicketHeld))
        look(run)
        assert len(events(run, TicketHeld)) - parts <= ALLOCATED_MAX
    assert run.unit.first(READY_QUEUE) == [] and len(run.unit.first(HELD_QUEUE, count)) == count
    before = run.unit.work.copy()
    look(run)
    assert sum((run.unit.work - before).values()) < 50, "what is held costs nothing to look at"
    run.pair.freezes = {}
    begun = run.unit.now
    while len(events(run, TicketDispatched)) < count:
        look(run)
    assert run.unit.now - begun < 20_000_000
    assert run.unit.first(HELD_QUEUE) == []
    assert run.unit.folded() == run.unit.states


def test_deployments_of_many_services_that_wait_for_a_busy_agent_are_not_looked_through() -> None:
    services = 100
    run = Run(decision(*(deploy(f"t{n}-{m}", service=f"s{n}") for n in range(services) for m in range(5))), 1)
    run.publish()
    before = run.unit.work.copy()
    run.answer(run.waiting[0])
    assert sum((run.unit.work - before).values()) < 6 * services

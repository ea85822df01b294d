"""Tickets and the slots of agents: orchestrator and registry together, with the messages between them."""

from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_hive.aggregates import tally
from neural_hive.aggregates.decision import DecisionConsolidated
from neural_hive.aggregates.incident import IncidentOpened, IncidentResolved, Kind, Severity
from neural_hive.aggregates.slot import SlotGranted
from neural_hive.aggregates.slot import Status as SlotStatus
from neural_hive.aggregates.ticket import (
    UNFINISHED,
    TicketAllocated,
    TicketDispatched,
    TicketUnallocated,
)
from neural_hive.aggregates.vocabulary import DeliveryMode, Outcome, Priority, RiskBand
from neural_hive.aggregates.workflow import (
    IntegrityChecked,
    WorkflowFailed,
    WorkflowWaitEnded,
    WorkflowWaiting,
)
from neural_hive.aggregates.workflow import Status as WorkflowStatus
from neural_hive.streams.orchestrator.flow import Limits
from neural_hive.streams.orchestrator.messages import (
    AdjustQos,
    CancelWorkflow,
    CompleteTicket,
    PauseWorkflow,
    ResumeWorkflow,
    RetryTicket,
)
from neural_hive.streams.registry.messages import COMMANDS as REGISTRY
from neural_hive.streams.registry.messages import DeregisterAgent
from tests.aggregates.making import AGENT, decision, task
from tests.orchestrator.crowd import Crowd, events_of, plan
from tests.orchestrator.pair import Pair
from tests.orchestrator.running import COMMANDS, PLANS, Run


def settled(pair: Pair, *agents: str) -> None:
    """No slot is asked for or held any more, as either system knows it, and each event has its own key."""
    for agent_id in agents:
        assert pair.held(agent_id) == 0
        assert pair.orchestrator.count(tally.outstanding(agent_id)) == 0
    slots = [state for (kind, _), state in pair.registry.states.items() if kind == "slot"]
    assert not {slot.status for slot in slots} & {SlotStatus.REQUESTED, SlotStatus.GRANTED}
    for written in pair.orchestrator.log:
        event = written.event
        assert written.routing_id == getattr(event, "workflow_id", getattr(event, "decision_id", None))
    for granted in events_of(pair.registry, SlotGranted):
        assert 1 <= granted.held <= granted.capacity


def test_no_more_is_given_out_than_the_agent_has_room_for() -> None:
    run = Run(plan("d-1", 20), capacity=3)
    run.publish()
    most = 0
    while run.waiting:
        most = max(most, len(run.waiting))
        assert len(run.waiting) == run.pair.held(AGENT)
        run.answer(run.waiting[0])
    assert most == 3
    assert run.workflow.status is WorkflowStatus.COMPLETED
    settled(run.pair, AGENT)


def test_the_decision_tells_what_it_was_made_from() -> None:
    crowd = Crowd(*((f"agent-{n}", 1) for n in range(7)))
    crowd.publish(plan("d-1", 7))
    chosen = events_of(crowd.unit, TicketAllocated)
    assert [event.agent_id for event in chosen] == [f"agent-{n}" for n in range(7)], (
        "all have something to do"
    )
    for event in chosen:
        assert len(event.candidates) == 5
        (own,) = [one for one in event.candidates if one.agent_id == event.agent_id]
        assert (own.score, own.health, own.pheromone, own.telemetry) == (event.score, 1.0, 0.5, 1.0)


def test_who_did_well_is_chosen_first() -> None:
    crowd = Crowd(("agent-1", 1), ("agent-2", 1))
    crowd.publish(plan("d-1", 2))
    for given_out, outcome in zip(list(crowd.waiting), (Outcome.FAILED, Outcome.COMPLETED), strict=True):
        crowd.answer(given_out, outcome)
    crowd.publish(plan("d-2", 1))
    assert crowd.waiting[0].allocated_agent_id == "agent-2"


def test_a_small_plan_is_not_held_up_by_a_large_one() -> None:
    crowd = Crowd((AGENT, 4))
    crowd.publish(plan("large", 1_000))
    crowd.publish(plan("small", 3))
    while len([d for d in crowd.order if d.workflow_id == "small"]) < 3:
        crowd.answer(crowd.waiting[0])
    assert len(crowd.order) <= 4 + 8 + 3, (
        "but for what was asked for before, the small plan is served at once"
    )


def test_priority_is_a_larger_share_and_nobody_starves() -> None:
    crowd = Crowd((AGENT, 1))
    crowd.publish(plan("low", 40, priority=Priority.LOW))
    crowd.publish(plan("critical", 40, priority=Priority.CRITICAL))
    for _ in range(20):
        crowd.answer(crowd.waiting[0])
    shares = Counter(given_out.workflow_id for given_out in crowd.order)
    assert shares["critical"] > 3 * shares["low"] / 2
    assert shares["low"] >= 3


def served_first(crowd: Crowd, first: DecisionConsolidated, second: DecisionConsolidated) -> Counter[str]:
    """How many tickets of each of two plans that come one after the other are given out at first."""
    crowd.publish(first)
    crowd.publish(second)
    for _ in range(40):
        crowd.answer(crowd.waiting[0])
    return Counter(given_out.workflow_id for given_out in crowd.order)


def test_risk_is_a_larger_share_too() -> None:
    risky = plan("risky", 60, risk_band=RiskBand.CRITICAL)
    shares = served_first(Crowd((AGENT, 1)), plan("safe", 60), risky)
    assert shares["risky"] > 2 * shares["safe"] > 0


def test_the_critical_path_does_not_wait_behind_all_that_became_ready_before() -> None:
    """A chain of long tasks beside many short ones: its second task comes when all the others wait already."""
    chain = [task("c0", estimated_duration_ms=90), task("c1", "c0", estimated_duration_ms=90)]
    others = [task(f"t{n}", estimated_duration_ms=1) for n in range(100)]
    crowd = Crowd((AGENT, 1))
    crowd.publish(decision(*chain, *others))
    assert crowd.waiting[0].task_id == "c0"
    while "c1" not in [given_out.task_id for given_out in crowd.order]:
        crowd.answer(crowd.waiting[0])
    assert len(crowd.order) < 50


def test_another_priority_moves_what_waits() -> None:
    crowd = Crowd((AGENT, 1))
    crowd.publish(plan("d-1", 30))
    crowd.publish(plan("d-2", 30))
    crowd.tell(COMMANDS, AdjustQos("d-2", "hurry", Priority.CRITICAL), "adjust")
    crowd.tell(COMMANDS, AdjustQos("d-1", "no hurry", Priority.LOW), "adjust too")
    for _ in range(20):
        crowd.answer(crowd.waiting[0])
    shares = Counter(given_out.workflow_id for given_out in crowd.order[4:])
    assert shares["d-2"] > 3 * shares["d-1"]


def test_what_nobody_can_do_holds_up_nobody_else() -> None:
    crowd = Crowd((AGENT, 4))
    unable = decision(
        *(task(f"t{n}", required_capabilities=("gpu",)) for n in range(400)), decision_id="unable"
    )
    crowd.publish(unable)
    crowd.publish(plan("able", 2))
    assert [given_out.workflow_id for given_out in crowd.waiting] == ["able", "able"]


def test_more_requirements_than_can_be_looked_at_hold_up_nobody_for_ever() -> None:
    crowd = Crowd((AGENT, 4))
    strange = (task(f"t{n}", required_capabilities=(f"c{n}",)) for n in range(1_000))
    crowd.publish(decision(*strange, decision_id="strange"))
    crowd.publish(plan("able", 1))
    looks = 0
    while not crowd.waiting and looks < 60:
        looks += 1
        crowd.unit.fire(next(timer for timer in crowd.unit.timers() if timer.name == "wait"))
        crowd.pair.pump()
        crowd.note()
    assert [given_out.workflow_id for given_out in crowd.waiting] == ["able"]


def test_without_an_agent_a_workflow_waits_and_there_is_an_incident_until_one_comes() -> None:
    run = Run(
        decision(task("a", required_capabilities=("gpu",)), risk_band=RiskBand.HIGH),
        capacity=4,
    )
    run.publish()
    (waiting,) = events_of(run.unit, WorkflowWaiting)
    assert waiting.reason == "no registered, healthy agent does EXECUTE tasks with the capabilities gpu"
    began = run.unit.now
    while not events_of(run.unit, IncidentOpened):
        run.fire(run.waits()[0])
    (opened,) = events_of(run.unit, IncidentOpened)
    assert 60_000_000 <= opened.opened_at - began <= 76_000_000
    assert (opened.kind, opened.severity) == (Kind.NO_AGENT, Severity.HIGH)
    assert opened.ticket_ids == (run.ticket("a").created.ticket_id,)
    run.fire(run.waits()[0])
    assert len(events_of(run.unit, IncidentOpened)) == 1
    run.pair.register("agent-2", 1, "gpu")
    run.fire(run.waits()[0])
    assert run.waiting[0].allocated_agent_id == "agent-2"
    assert len(events_of(run.unit, IncidentResolved)) == len(events_of(run.unit, WorkflowWaitEnded)) == 1
    run.finish()
    assert run.workflow.status is WorkflowStatus.COMPLETED
    settled(run.pair, AGENT, "agent-2")


def stalled(capacity: int, size: int) -> Run:
    """A workflow on an agent that works on `capacity` tickets and says nothing more of them."""
    tasks = (task(f"t{n}", timeout_ms=7_200_000) for n in range(size))
    run = Run(decision(*tasks), capacity)
    run.publish()
    for dispatch in run.waiting:
        run.start(dispatch)
    return run


@pytest.mark.parametrize("size", [2, 3, 9])
def test_an_agent_that_gets_on_with_nothing_makes_an_incident_that_ends_when_it_does(size: int) -> None:
    """Of nine tickets most wait for an agent to be chosen, of two or three all that wait were promised a slot."""
    run = stalled(1, size)
    began = run.unit.now
    while not events_of(run.unit, IncidentOpened):
        run.fire(run.unit.timers()[0])
    (opened,) = events_of(run.unit, IncidentOpened)
    assert (opened.kind, opened.severity) == (Kind.AGENTS_BUSY, Severity.LOW)
    assert 900_000_000 <= opened.opened_at - began <= 1_000_000_000
    assert "no agent has taken a ticket" in opened.summary
    assert opened.summary.endswith("agent-1. They are full, silent, or turn tickets away")
    assert len(opened.ticket_ids) == size - 1
    for _ in range(20):
        run.fire(run.unit.timers()[0])
    assert len(events_of(run.unit, IncidentOpened)) == 1
    run.answer(run.waiting[0])
    while not events_of(run.unit, IncidentResolved):
        run.fire(run.unit.timers()[0])
    run.finish()
    assert run.workflow.status is WorkflowStatus.COMPLETED
    settled(run.pair, AGENT)


def test_a_large_plan_that_gets_on_makes_no_incident() -> None:
    run = stalled(1, 12)
    began = run.unit.now
    while run.waiting:
        run.unit.now += 600_000_000
        for timer in [timer for timer in run.unit.timers() if timer.due <= run.unit.now]:
            if timer in run.unit.timers():
                run.fire(timer)
        run.answer(run.waiting[0])
        for dispatch in run.waiting:
            run.start(dispatch)
    assert run.unit.now - began > 7_000_000_000
    assert run.workflow.status is WorkflowStatus.COMPLETED
    assert not events_of(run.unit, IncidentOpened)


def test_agents_that_turn_every_ticket_away_make_an_incident() -> None:
    run = Run(plan("d-1", 2), capacity=4)
    assert run.unit.view("agents").value.keys() == {AGENT}
    run.pair.views_are_stale = True
    run.pair.registry.handle(REGISTRY, DeregisterAgent(AGENT, "it leaves"), "unheard")
    run.publish()
    while not events_of(run.unit, IncidentOpened):
        run.fire(run.unit.timers()[0])
    assert not run.waiting
    assert [event.kind for event in events_of(run.unit, IncidentOpened)] == [Kind.AGENTS_BUSY]
    run.stop()
    assert len(events_of(run.unit, IncidentResolved)) == 1


def test_the_limits_are_settings() -> None:
    run = Run(plan("d-1", 1), pair=Pair("", 0, Limits(allocation_s=5)))
    run.publish()
    began = run.unit.now
    while not events_of(run.unit, IncidentOpened):
        run.fire(run.waits()[0])
    assert 5_000_000 <= run.unit.now - began < 10_000_000


def test_a_workflow_that_is_stopped_while_it_waits_waits_no_more() -> None:
    run = Run(plan("d-1", 2), capacity=0)
    run.publish()
    while not events_of(run.unit, IncidentOpened):
        run.fire(run.waits()[0])
    run.stop()
    assert run.unit.timers() == []
    assert len(events_of(run.unit, IncidentResolved)) == 1


def test_an_agent_that_leaves_is_asked_no_more() -> None:
    crowd = Crowd(("agent-1", 1), ("agent-2", 1))
    crowd.publish(plan("d-1", 6))
    crowd.pair.deregister("agent-1")
    turned_away = events_of(crowd.unit, TicketUnallocated)
    assert {event.agent_id for event in turned_away} == {"agent-1"}
    crowd.note()
    crowd.end()
    later = [d.allocated_agent_id for d in crowd.order[2:]]
    assert set(later) == {"agent-2"}
    assert crowd.unit.states["workflow", "d-1"].status is WorkflowStatus.COMPLETED
    settled(crowd.pair, "agent-1", "agent-2")


def test_a_pause_gives_back_what_was_asked_for() -> None:
    crowd = Crowd((AGENT, 2))
    crowd.publish(plan("d-1", 10))
    crowd.tell(COMMANDS, PauseWorkflow("d-1", "why"), "pause")
    assert crowd.unit.count(tally.outstanding(AGENT)) == crowd.pair.held(AGENT) == 2
    for given_out in list(crowd.waiting):
        crowd.answer(given_out)
    assert crowd.pair.held(AGENT) == 0
    assert "wait" not in {timer.name for timer in crowd.unit.timers()}
    crowd.tell(COMMANDS, ResumeWorkflow("d-1", "go on"), "resume")
    assert len(crowd.waiting) == 2
    crowd.end()
    settled(crowd.pair, AGENT)


def test_a_grant_that_comes_after_a_stop_is_given_back_already() -> None:
    run = Run(plan("d-1", 3), capacity=2)
    run.unit.handle(PLANS, run.decision, "plan")
    run.pair.step([])
    run.unit.handle(COMMANDS, PauseWorkflow("d-1", "why"), "pause")
    run.unit.handle(COMMANDS, ResumeWorkflow("d-1", "go on"), "resume")
    run.stop()
    run.pair.pump()
    assert not events_of(run.unit, TicketDispatched)
    settled(run.pair, AGENT)


def test_a_counter_that_is_wrong_is_found_at_the_end() -> None:
    run = Run(decision(task("a"), task("b")))
    run.publish()
    run.unit.counters[tally.completed("d-1")] += 1
    run.unit.counters[tally.failed("d-1")] -= 1
    run.finish("a")
    (checked,) = events_of(run.unit, IntegrityChecked)
    assert not checked.sound
    assert checked.findings == (
        "completed: 2 were counted, 1 are there",
        "failed: 0 were counted, 1 are there",
    )
    (failed,) = events_of(run.unit, WorkflowFailed)
    assert failed.reason.startswith("its tickets are not what was counted of them (completed: 2 were counted")
    opened = {event.kind for event in events_of(run.unit, IncidentOpened)}
    assert opened == {Kind.WORKFLOW_FAILED, Kind.INTEGRITY}


def test_a_workflow_that_is_stopped_is_looked_over_too() -> None:
    run = Run(plan("d-1", 2))
    run.publish()
    run.unit.counters[tally.failed("d-1")] += 1
    run.stop()
    (checked,) = events_of(run.unit, IntegrityChecked)
    assert checked.findings == ("failed: 1 were counted, 0 are there",)
    assert [event.kind for event in events_of(run.unit, IncidentOpened)] == [Kind.INTEGRITY]
    assert run.workflow.status is WorkflowStatus.CANCELLED


def test_each_step_is_measured() -> None:
    run = Run(decision(task("a"), task("b", "a")))
    run.publish()
    run.finish()
    assert run.unit.measured == {"C1": 1, "C2": 1, "C3": 2, "C4": 2, "C6": 1}


@st.composite
def plans(draw: st.DrawFn) -> list[DecisionConsolidated]:
    found = []
    for number in range(draw(st.integers(1, 3))):
        tasks = []
        for n in range(draw(st.integers(1, 6))):
            needed = draw(st.lists(st.sampled_from(range(n)), unique=True, max_size=2)) if n else []
            tasks.append(
                task(
                    f"t{n}",
                    *(f"t{m}" for m in needed),
                    max_retries=draw(st.integers(0, 1)),
                    compensation=draw(st.sampled_from([(), ("undo",)])),
                    required_capabilities=draw(st.sampled_from([(), (), ("gpu",)])),
                )
            )
        priority = draw(st.sampled_from([Priority.LOW, Priority.NORMAL, Priority.CRITICAL]))
        mode = draw(st.sampled_from([*[DeliveryMode.AT_LEAST_ONCE] * 2, DeliveryMode.AT_MOST_ONCE]))
        found.append(decision(*tasks, decision_id=f"d-{number}", priority=priority, delivery_mode=mode))
    return found


def requests(crowd: Crowd, workflow_id: str) -> st.SearchStrategy[Any]:
    """What people may ask of a workflow and its tickets."""
    tickets = [
        ticket_id
        for (kind, ticket_id), state in crowd.unit.states.items()
        if kind == "ticket" and state.created.workflow_id == workflow_id
    ]
    deadlines_ms, priorities = st.sampled_from([0, 3_600_000, 36_000_000]), st.sampled_from(list(Priority))
    return st.one_of(
        st.just(PauseWorkflow(workflow_id, "why")),
        st.just(ResumeWorkflow(workflow_id, "why")),
        st.just(CancelWorkflow(workflow_id, "why")),
        st.builds(AdjustQos, st.just(workflow_id), st.just("why"), priorities, deadlines_ms),
        st.builds(RetryTicket, st.just(workflow_id), st.sampled_from(tickets), st.just("why")),
        st.builds(CompleteTicket, st.just(workflow_id), st.sampled_from(tickets), st.just("why")),
    )


ENDED = (WorkflowStatus.COMPLETED, WorkflowStatus.FAILED, WorkflowStatus.CANCELLED)


@settings(max_examples=200, deadline=None)
@given(plans(), st.integers(1, 3), st.data())
def test_every_slot_comes_back_whatever_happens_meanwhile(
    wanted: list[DecisionConsolidated], capacity: int, data: st.DataObject
) -> None:
    """Results, silence, what people ask, agents that come and go, while messages between the systems are under way."""
    crowd = Crowd(("agent-1", capacity))
    crowd.pair.register("agent-2", capacity, "gpu")
    unpublished, passed = list(wanted), 0
    actions = ["deliver", "deliver", "answer", "answer", "start", "publish", "time", "ask", "ask", "agent"]
    for asked in range(data.draw(st.integers(5, 60))):
        action = data.draw(st.sampled_from(actions))
        started = [written.event.workflow_id for written in crowd.unit.log if written.aggregate == "workflow"]
        if action == "deliver":
            crowd.pair.step([])
            crowd.note()
        elif action == "publish" and unpublished:
            crowd.publish(unpublished.pop(), deliver=False)
        elif action in ("answer", "start") and crowd.waiting:
            given_out = data.draw(st.sampled_from(crowd.waiting))
            if action == "start":
                crowd.start(given_out, deliver=False)
            else:
                crowd.answer(given_out, data.draw(st.sampled_from(list(Outcome)[1:])), deliver=False)
        elif action == "time" and passed < 20 and (timers := crowd.unit.timers()):
            passed += 1
            crowd.unit.fire(timers[0])
            crowd.note()
        elif action == "ask" and started:
            message = data.draw(requests(crowd, data.draw(st.sampled_from(sorted(set(started))))))
            crowd.tell(COMMANDS, message, f"ask {asked}", False)
        elif action == "agent":
            if data.draw(st.booleans()):
                crowd.pair.register("agent-2", capacity, "gpu")
            else:
                crowd.pair.deregister("agent-2")
            crowd.note()
        assert crowd.pair.held("agent-1") <= capacity
        assert crowd.pair.held("agent-2") <= capacity
    for each in wanted:
        if each not in unpublished:
            crowd.tell(COMMANDS, ResumeWorkflow(each.decision_id, "go on"), f"end {each.decision_id}")
    crowd.pair.register("agent-2", capacity, "gpu")
    crowd.end()
    settled(crowd.pair, "agent-1", "agent-2")
    for (kind, _), state in crowd.unit.states.items():
        if kind == "ticket":
            assert state.status not in UNFINISHED
        elif kind == "workflow":
            assert state.status in ENDED
            assert crowd.unit.count(tally.queued(state.workflow_id)) == 0
    assert all(event.sound for event in events_of(crowd.unit, IntegrityChecked))
    assert crowd.unit.folded() == crowd.unit.states


def test_agents_with_room_are_given_all_of_a_large_plan_at_once() -> None:
    run = Run(plan("d-1", 2_000), capacity=5_000)
    run.publish()
    began, looks = run.unit.now, 0
    while run.waits():
        run.fire(run.waits()[0])
        looks += 1
    assert len(run.waiting) == 2_000
    assert looks == 2_000 // 256
    assert run.unit.now - began < 1_000_000
    assert {event.reason for event in events_of(run.unit, WorkflowWaiting)} == {
        "256 tickets were given out at once, and its next ones follow",
        "the agents that were chosen for its tickets have no slot for them yet",
    }


def test_what_follows_at_once_is_looked_at_once_whoever_it_belongs_to() -> None:
    crowd = Crowd((AGENT, 300))
    crowd.publish(plan("large", 1_000))
    crowd.publish(plan("small", 10))
    looks = 0
    while (timer := crowd.unit.timers()[0]).due <= crowd.unit.now + 1_000:
        crowd.unit.fire(timer)
        crowd.pair.pump()
        crowd.note()
        looks += 1
    assert looks <= 2, "nobody is looked at again and again for nothing"
    assert len(crowd.waiting) == 300
    assert crowd.unit.count(tally.outstanding(AGENT)) == 600


def test_a_repeated_answer_changes_nothing() -> None:
    run = Run(plan("d-1", 1), capacity=1)
    run.unit.handle(PLANS, run.decision, "plan")
    run.pair.step([])
    (granted,) = run.pair.registry.sent
    run.pair.pump()
    before = len(run.unit.log)
    run.unit.receive(granted)
    run.unit.receive(msgspec.structs.replace(granted, message_id="again"))
    assert len(run.unit.log) == before
    assert run.unit.sent == []


def test_a_ticket_that_waits_long_for_one_agent_goes_to_an_idle_one() -> None:
    crowd = Crowd(("agent-1", 1))
    crowd.publish(plan("d-1", 2))
    (running,) = crowd.waiting
    crowd.start(running)
    [asked] = events_of(crowd.unit, TicketAllocated)[1:]
    crowd.pair.register("agent-2", 1)
    while len(crowd.order) == 1:
        timer = crowd.unit.timers()[0]
        assert timer.due < asked.allocated_at + 35_000_000
        crowd.unit.fire(timer)
        crowd.pair.pump()
        crowd.note()
    assert (crowd.order[1].allocated_agent_id, crowd.order[1].attempt) == ("agent-2", 1)
    [turned_away] = events_of(crowd.unit, TicketUnallocated)
    assert turned_away.reason == "no slot of agent-1 was free for 30 s"
    crowd.end()
    settled(crowd.pair, "agent-1", "agent-2")


def test_a_ticket_that_waits_for_the_only_agent_asks_again_less_and_less() -> None:
    crowd = Crowd(("agent-1", 1))
    long = (task(f"t{number}", timeout_ms=3_600_000) for number in range(2))
    crowd.publish(decision(*long, decision_id="d-1"))
    crowd.start(crowd.waiting[0])
    while len(events_of(crowd.unit, TicketUnallocated)) < 4:
        crowd.unit.fire(crowd.unit.timers()[0])
        crowd.pair.pump()
        crowd.note()
    waits_s = [int(event.reason.split()[-2]) for event in events_of(crowd.unit, TicketUnallocated)]
    assert waits_s == [30, 60, 120, 240]
    crowd.end()
    settled(crowd.pair, "agent-1")

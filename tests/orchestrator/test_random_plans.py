"""Random plans with random outcomes: every ticket is accounted for, and nothing runs before its time."""

import itertools
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from neural_hive.aggregates import tally
from neural_hive.aggregates.decision import DecisionConsolidated
from neural_hive.aggregates.ticket import (
    COMPENSATION_TRIES,
    UNFINISHED,
    Status,
    TicketCompleted,
    TicketDispatched,
)
from neural_hive.aggregates.vocabulary import DeliveryMode, Outcome, Priority
from neural_hive.aggregates.workflow import (
    OPEN,
    IntegrityChecked,
    WorkflowCompensating,
    WorkflowPaused,
    WorkflowResumed,
    ticket_id_of,
)
from neural_hive.aggregates.workflow import Status as WorkflowStatus
from neural_hive.streams.orchestrator.messages import (
    AdjustQos,
    CancelWorkflow,
    CompleteTicket,
    PauseWorkflow,
    ResumeWorkflow,
    RetryTicket,
)
from tests.aggregates.making import AGENT, decision, task
from tests.orchestrator.running import COMMANDS, Run

ENDS = {
    Outcome.COMPLETED: Status.COMPLETED,
    Outcome.FAILED: Status.FAILED,
    Outcome.TIMED_OUT: Status.TIMED_OUT,
    Outcome.CANCELLED: Status.CANCELLED,
}
HOUR_MS = 3_600_000
DONE = (Status.COMPLETED, Status.COMPENSATED)


@st.composite
def plans(draw: st.DrawFn) -> DecisionConsolidated:
    size = draw(st.integers(1, 12))
    tasks = []
    for n in range(size):
        needed = draw(st.lists(st.sampled_from(range(n)), unique=True, max_size=4)) if n else []
        names = [f"t{m}" for m in needed]
        command = ("echo", *(f"${{tasks.{name}.outputs.x}}" for name in names if draw(st.booleans())))
        estimate, retries = draw(st.integers(0, 9)), draw(st.sampled_from([0, 0, 1, 2]))
        more = {"max_retries": retries, "compensation": draw(st.sampled_from([(), ("undo",)]))}
        tasks.append(task(f"t{n}", *names, command=command, estimated_duration_ms=estimate, **more))
    mode = draw(st.sampled_from([*[DeliveryMode.AT_LEAST_ONCE] * 2, DeliveryMode.AT_MOST_ONCE]))
    return decision(*draw(st.permutations(tasks)), delivery_mode=mode)


@settings(max_examples=300, deadline=None)
@given(plans(), st.data())
def test_every_run_ends_with_every_ticket_accounted_for(
    plan: DecisionConsolidated, data: st.DataObject
) -> None:
    run = Run(plan)
    run.publish()
    answered: dict[str, Outcome] = {}
    with_x: set[str] = set()
    undone: set[str] = set()
    while run.waiting or run.retries():
        if not run.waiting or (run.retries() and data.draw(st.booleans())):
            run.fire(run.retries()[0])
            continue
        dispatch = data.draw(st.sampled_from(run.waiting))
        if data.draw(st.booleans()):
            run.start(dispatch)
        outcome = data.draw(st.sampled_from([*[Outcome.COMPLETED] * 6, *ENDS]))
        if dispatch.compensates:
            undone |= {dispatch.task_id} if outcome is Outcome.COMPLETED else set()
            run.answer(dispatch, outcome)
            continue
        outputs = {"x": "1"} if data.draw(st.integers(0, 9)) else {}
        run.answer(dispatch, outcome, outputs=outputs)
        answered[dispatch.task_id] = outcome
        (with_x.add if outputs else with_x.discard)(dispatch.task_id)
        if data.draw(st.booleans()):
            assert run.answer(dispatch, outcome, outputs=outputs) == []
    assert {name for name, status in run.statuses.items() if status is Status.COMPENSATED} == undone
    _ended_as_answered(run, answered, with_x)
    _ran_in_order(run)
    _counters_are_right(run)
    assert run.unit.folded() == run.unit.states
    assert run.publish() == []


@settings(max_examples=150, deadline=None)
@given(plans(), st.data())
def test_time_alone_ends_every_run(plan: DecisionConsolidated, data: st.DataObject) -> None:
    """Agents answer, fall silent, or never begin; timers fire in their order until none is left."""
    run = Run(plan)
    run.publish()
    while timers := run.unit.timers():
        if run.waiting and data.draw(st.booleans()):
            dispatch = data.draw(st.sampled_from(run.waiting))
            if data.draw(st.booleans()):
                run.start(dispatch)
            else:
                run.answer(dispatch, data.draw(st.sampled_from(list(ENDS))), outputs={"x": "1"})
        else:
            run.fire(timers[0])
    _counters_are_right(run)
    assert not set(run.statuses.values()) & UNFINISHED
    assert run.workflow.status in (WorkflowStatus.COMPLETED, WorkflowStatus.FAILED)
    assert run.unit.folded() == run.unit.states


@settings(max_examples=150, deadline=None)
@given(plans(), st.data())
def test_pauses_at_any_moment_change_no_end(plan: DecisionConsolidated, data: st.DataObject) -> None:
    run = Run(plan)
    run.publish()
    asked = 0
    while run.workflow.status in (*OPEN, WorkflowStatus.COMPENSATING):
        if data.draw(st.booleans()):
            asked += 1
            message = data.draw(st.sampled_from([PauseWorkflow, ResumeWorkflow]))("d-1", "why", "ann")
            run.ask(message, f"asked {asked}")
            assert run.ask(message, f"asked {asked}") == []
        elif run.waiting:
            dispatch = data.draw(st.sampled_from(run.waiting))
            run.answer(dispatch, data.draw(st.sampled_from(list(ENDS))), outputs={"x": "1"})
        elif run.retries():
            run.fire(run.retries()[0])
        else:
            assert run.workflow.status is WorkflowStatus.PAUSED
            before = len(run.dispatched)
            is_held = not set(run.statuses.values()) & UNFINISHED  # it will be undone
            assert is_held or Status.READY in run.statuses.values()
            run.ask(ResumeWorkflow("d-1", "go on", "ann"), f"go on {before}")
            assert len(run.dispatched) > before
    _ran_in_order(run)
    _counters_are_right(run)
    assert not set(run.statuses.values()) & UNFINISHED
    assert run.unit.folded() == run.unit.states


@settings(max_examples=100, deadline=None)
@given(plans(), st.integers(0, 12))
def test_a_stop_at_any_moment_leaves_no_ticket_unfinished(plan: DecisionConsolidated, steps: int) -> None:
    run = Run(plan)
    run.publish()
    for _ in range(min(steps, len(plan.tasks) - 1)):
        if run.waiting:
            run.answer(run.waiting[-1], outputs={"x": "1"})
    given_out = list(run.waiting)
    if run.workflow.status is WorkflowStatus.RUNNING:
        run.stop()
        assert run.workflow.status is WorkflowStatus.CANCELLED
    _counters_are_right(run)
    assert set(run.statuses.values()) <= {Status.COMPLETED, Status.CANCELLED}
    for dispatch in given_out:
        run.answer(dispatch)
    assert run.workflow.status in (WorkflowStatus.CANCELLED, WorkflowStatus.COMPLETED)
    assert run.unit.folded() == run.unit.states


def asked(run: Run, data: st.DataObject) -> Any:
    """Something that somebody wants of the workflow or one of its tickets."""
    ticket_id = run.ticket(data.draw(st.sampled_from(run.decision.tasks)).task_id).created.ticket_id
    priority = data.draw(st.sampled_from([Priority.UNKNOWN, Priority.LOW, Priority.CRITICAL]))
    deadline_ms = data.draw(st.sampled_from([0, 1_000, HOUR_MS, 10 * HOUR_MS, -1]))
    wanted = [
        *[PauseWorkflow("d-1", "why", "ann")] * 2,
        *[ResumeWorkflow("d-1", "why", "ann")] * 2,
        *[RetryTicket("d-1", ticket_id, "why", "ann")] * 3,
        *[CompleteTicket("d-1", ticket_id, "why", {"x": "2"}, "ann")] * 2,
        AdjustQos("d-1", "why", priority, deadline_ms, "ann"),
        CancelWorkflow("d-1", "why", "ann"),
    ]
    return data.draw(st.sampled_from(wanted))


@settings(max_examples=300, deadline=None)
@given(plans(), st.data())
def test_whatever_people_ask_every_run_ends_soundly(plan: DecisionConsolidated, data: st.DataObject) -> None:
    """Results, silence and time, while people pause, resume, adjust, try again, complete by hand and cancel."""
    run = Run(plan, capacity=data.draw(st.sampled_from([2, 100])))
    run.publish()
    for step in range(data.draw(st.integers(0, 40))):
        match data.draw(st.sampled_from(["ask", "ask", "answer", "answer", "answer", "start", "time"])):
            case "ask":
                message = asked(run, data)
                run.ask(message, f"asked {step}")
                assert run.unit.handle(COMMANDS, message, f"asked {step}", 0) == []
            case "answer" if run.waiting:
                outcome = data.draw(st.sampled_from([*[Outcome.COMPLETED] * 4, *ENDS]))
                run.answer(data.draw(st.sampled_from(run.waiting)), outcome, outputs={"x": "1"})
            case "start" if run.waiting:
                run.start(data.draw(st.sampled_from(run.waiting)))
            case "time" if timers := run.unit.timers():
                run.fire(timers[0])
            case _:
                pass
    run.ask(ResumeWorkflow("d-1", "go on", "ann"), "at last")
    while run.waiting or run.unit.timers():
        if run.waiting:
            run.answer(run.waiting[0], outputs={"x": "1"})
        else:
            run.fire(run.unit.timers()[0])
    assert run.workflow.status in (
        WorkflowStatus.COMPLETED,
        WorkflowStatus.FAILED,
        WorkflowStatus.CANCELLED,
    )
    assert not set(run.statuses.values()) & UNFINISHED
    assert [w.event.sound for w in run.unit.log if isinstance(w.event, IntegrityChecked)] == [True]
    assert run.pair.held(AGENT) == run.unit.count(tally.outstanding(AGENT)) == 0
    _counters_are_right(run)
    _nothing_was_done_that_must_not(run)
    assert run.unit.folded() == run.unit.states


def _nothing_was_done_that_must_not(run: Run) -> None:
    """In a pause nothing is given out; no attempt is given out twice, nothing before what it needs, or too often."""
    needs = {ticket_id_of("d-1", task.task_id): task.dependencies for task in run.decision.tasks}
    paused, begun, completed = False, set(), set()
    for event in (written.event for written in run.unit.log):
        match event:
            case WorkflowPaused() | WorkflowResumed():
                paused = isinstance(event, WorkflowPaused)
            case WorkflowCompensating():
                assert not paused
            case TicketCompleted():
                completed.add(event.ticket_id)
            case TicketDispatched():
                assert not paused
                assert (event.ticket_id, event.attempt) not in begun
                begun.add((event.ticket_id, event.attempt))
                assert completed.issuperset(ticket_id_of("d-1", name) for name in needs[event.ticket_id])
                if run.decision.delivery_mode is DeliveryMode.AT_MOST_ONCE and not event.compensates:
                    assert event.attempt == 1


def _ended_as_answered(run: Run, answered: dict[str, Outcome], with_x: set[str]) -> None:
    needs = {task.task_id: task for task in run.decision.tasks}
    for task_id, status in run.statuses.items():
        dependencies = needs[task_id].dependencies
        if any(run.statuses[name] not in DONE for name in dependencies):
            assert status is Status.CANCELLED
        elif task_id in answered:
            assert status is ENDS[answered[task_id]] or status is Status.COMPENSATED
        else:
            used = [name for name in dependencies if f"${{tasks.{name}.outputs.x}}" in needs[task_id].command]
            assert status is Status.FAILED
            assert not set(used) <= with_x
    all_complete = set(run.statuses.values()) == {Status.COMPLETED}
    assert run.workflow.status is (WorkflowStatus.COMPLETED if all_complete else WorkflowStatus.FAILED)


def _ran_in_order(run: Run) -> None:
    needs = {task.task_id: task.dependencies for task in run.decision.tasks}
    completed: set[str] = set()
    for event in (written.event for written in run.unit.log):
        if isinstance(event, TicketCompleted):
            completed.add(event.ticket_id)
        if isinstance(event, TicketDispatched) and not event.compensates:
            assert all(ticket_id_of("d-1", name) in completed for name in needs[event.task_id])
    for planned in run.decision.tasks:
        undoes = COMPENSATION_TRIES if planned.compensation else 0
        assert run.dispatched.count(planned.task_id) <= planned.max_retries + 1 + undoes
    _undone_in_order(run)


def _undone_in_order(run: Run) -> None:
    """All that could be undone was tried, one after the other, and before what it had depended on; only if the workflow
    failed.
    """
    tasks = {ticket_id_of("d-1", task.task_id): task for task in run.decision.tasks}
    dispatches = (w.event for w in run.unit.log if isinstance(w.event, TicketDispatched))
    undone = list(dict.fromkeys(tries := [event.ticket_id for event in dispatches if event.compensates]))
    assert len(undone) == 1 + sum(a != b for a, b in itertools.pairwise(tries)) or not tries
    could = [t for t, task in tasks.items() if task.compensation and run.statuses[task.task_id] in DONE]
    assert sorted(undone) == (sorted(could) if run.workflow.status is WorkflowStatus.FAILED else [])
    for at, ticket_id in enumerate(undone):
        assert not {ticket_id_of("d-1", name) for name in tasks[ticket_id].dependencies} & set(undone[:at])


def _counters_are_right(run: Run) -> None:
    ended = Counter(run.statuses.values())
    unit = run.unit
    assert unit.count(tally.unfinished("d-1")) == 0
    assert unit.count(tally.completed("d-1")) == ended[Status.COMPLETED] + ended[Status.COMPENSATED]
    assert unit.count(tally.compensated("d-1")) == ended[Status.COMPENSATED]
    assert unit.count(tally.failed("d-1")) == ended[Status.FAILED] + ended[Status.TIMED_OUT]
    assert unit.count(tally.cancelled("d-1")) == ended[Status.CANCELLED]

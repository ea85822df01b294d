"""What may happen to a workflow, and what may not."""

from typing import Any

import msgspec
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from neural_hive.aggregates.aggregate import Rejected, event_of
from neural_hive.aggregates.vocabulary import Priority
from neural_hive.aggregates.workflow import (
    OPEN,
    WORKFLOW,
    AdjustService,
    AwaitAgents,
    EndWait,
    FinishWorkflow,
    IntegrityChecked,
    PauseWork,
    PlanRejected,
    ResumeWork,
    StartWorkflow,
    Status,
    StopWorkflow,
    WorkflowCancelled,
    WorkflowCommand,
    WorkflowCommandRefused,
    WorkflowCompensating,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowStarted,
    ticket_id_of,
)
from tests.aggregates.making import NOW, decision, task
from tests.grammar import given

START = StartWorkflow(decision(task("a"), task("b", "a"), task("c"), requested_by="ann"), NOW)
BAD = StartWorkflow(decision(task("a", "b"), task("b", "a")), NOW)
(STARTED,) = given(WORKFLOW).when(START).events
(REFUSED,) = given(WORKFLOW).when(BAD).events
FINISH = FinishWorkflow(3, 0, 0, NOW + 7_000_000)
UNDO = FinishWorkflow(1, 1, 1, NOW, "", 0, ("t-1",))
PAUSE = PauseWork("wait", "ann", NOW)
RESUME = ResumeWork("go on", "ann", NOW)
STOP = StopWorkflow("changed our mind", "ann", 1, 2, NOW + 1_000)


def checked(completed: int, failed: int, cancelled: int, compensated: int = 0) -> IntegrityChecked:
    return IntegrityChecked("d-1", 3, completed, failed, cancelled, compensated, True, ())


def test_a_valid_plan_starts() -> None:
    assert isinstance(STARTED, WorkflowStarted)
    assert (STARTED.workflow_id, STARTED.task_count, STARTED.requested_by) == ("d-1", 3, "ann")
    assert STARTED.deadline_at == NOW + 4 * 3_600_000_000
    assert STARTED.roots == (ticket_id_of("d-1", "a"), ticket_id_of("d-1", "c"))


def test_a_deadline_of_its_own_counts() -> None:
    (started,) = given(WORKFLOW).when(StartWorkflow(decision(task("a"), deadline_ms=5), NOW)).events
    assert started.deadline_at == NOW + 5_000


def test_an_invalid_plan_is_refused_with_reasons() -> None:
    assert isinstance(REFUSED, PlanRejected)
    assert REFUSED.reasons == ("the dependencies form a cycle, each task needing the next: a -> b -> a",)


def test_a_decision_without_a_usable_id_is_rejected() -> None:
    given(WORKFLOW).when(StartWorkflow(decision(task("a"), decision_id=""), NOW)).then_rejected(
        "decision_id must be"
    )


def test_a_decision_is_carried_out_once() -> None:
    given(WORKFLOW, STARTED).when(START).then_nothing()
    given(WORKFLOW, STARTED).when(BAD).then_rejected("accepted before with another content")
    given(WORKFLOW, STARTED, WorkflowCompleted("d-1", 3, 1)).when(START).then_nothing()


def test_a_refused_decision_may_be_corrected() -> None:
    given(WORKFLOW, REFUSED).when(BAD).then_nothing()
    given(WORKFLOW, REFUSED).when(START).then(STARTED)


def test_the_end_depends_on_the_tickets() -> None:
    given(WORKFLOW, STARTED).when(FINISH).then(checked(3, 0, 0), WorkflowCompleted("d-1", 3, 7_000))
    failed = given(WORKFLOW, STARTED).when(FinishWorkflow(1, 1, 1, NOW)).events
    reason = "of 3 tasks 1 failed and 1 were cancelled"
    assert failed == [checked(1, 1, 1), WorkflowFailed("d-1", 1, 1, 1, reason, 0)]


def test_a_workflow_whose_tickets_are_not_what_was_counted_has_failed() -> None:
    wrong = FinishWorkflow(3, 0, 0, NOW, findings=("completed: 3 were counted, 2 are there",))
    events = given(WORKFLOW, STARTED).when(wrong).events
    assert events[0] == IntegrityChecked("d-1", 3, 3, 0, 0, 0, False, wrong.findings)
    assert events[1].reason.startswith("its tickets are not what was counted of them (completed: 3 were")
    given(WORKFLOW, STARTED).when(wrong, wrong).then_nothing()
    fewer = FinishWorkflow(2, 0, 0, NOW, findings=("tickets: 3 were counted, 2 are there",))
    given(WORKFLOW, STARTED).when(fewer).then_types(IntegrityChecked, WorkflowFailed)


def test_a_workflow_that_waits_is_looked_at_ever_less_often() -> None:
    state, at, waits = given(WORKFLOW, STARTED).state, NOW, []
    for _ in range(6):
        (waiting,) = WORKFLOW.decide(state, AwaitAgents(2, "busy", True, at))
        assert (waiting.since, waiting.stranded_since, waiting.ready_count) == (NOW, NOW, 2)
        state = WORKFLOW.evolve(state, waiting)
        assert WORKFLOW.decide(state, AwaitAgents(2, "busy", True, at)) == []
        waits.append((waiting.look_again_at - at) // 1_000_000)
        at = WORKFLOW.timers(state)["wait"]
    assert waits == [1, 2, 4, 8, 15, 15]
    (busy,) = WORKFLOW.decide(state, AwaitAgents(2, "busy", False, at))
    assert (busy.since, busy.stranded_since) == (NOW, 0)
    (ended,) = WORKFLOW.decide(state, EndWait(at))
    rested = WORKFLOW.evolve(state, ended)
    assert "wait" not in WORKFLOW.timers(rested)
    assert WORKFLOW.decide(rested, EndWait(at)) == []
    assert WORKFLOW.timers(WORKFLOW.evolve(state, WorkflowFailed("d-1", 1, 1, 1, "", 0))) == {}


def test_a_workflow_that_has_not_ended_has_a_deadline() -> None:
    assert WORKFLOW.timers(given(WORKFLOW, STARTED).state) == {"deadline": STARTED.deadline_at}
    assert WORKFLOW.timers(given(WORKFLOW, REFUSED).state) == {}
    assert WORKFLOW.timers(given(WORKFLOW, STARTED, WorkflowCompleted("d-1", 3, 1)).state) == {}
    _, failed = given(WORKFLOW, STARTED).when(FinishWorkflow(1, 0, 2, NOW, "too late")).events
    assert failed.reason == "too late: of 3 tasks 0 failed and 2 were cancelled"


def test_a_workflow_that_failed_ends_after_its_compensation() -> None:
    reason = "of 3 tasks 1 failed and 1 were cancelled"
    compensating = WorkflowCompensating("d-1", ("t-1",), reason, NOW)
    given(WORKFLOW, STARTED).when(UNDO).then(compensating)
    given(WORKFLOW, STARTED, compensating).when(UNDO).then_nothing()
    end = FinishWorkflow(1, 1, 1, NOW, compensated_count=1)
    failed = WorkflowFailed("d-1", 1, 1, 1, reason, 0, 1)
    given(WORKFLOW, STARTED, compensating).when(end).then(checked(1, 1, 1, 1), failed)
    given(WORKFLOW, STARTED, compensating).when(STOP).then_types(WorkflowCommandRefused)
    assert WORKFLOW.timers(given(WORKFLOW, STARTED, compensating).state) == {}


def test_the_end_is_refused_while_a_ticket_is_not_accounted_for() -> None:
    given(WORKFLOW, STARTED).when(FinishWorkflow(2, 0, 0, NOW)).then_rejected("2 of 3 tickets")
    given(WORKFLOW, REFUSED).when(FinishWorkflow(0, 0, 0, NOW)).then_rejected("REJECTED has no work")
    given(WORKFLOW).when(FINISH).then_rejected("no such workflow")


def test_a_running_workflow_can_be_stopped_once() -> None:
    stopped = WorkflowCancelled("d-1", "changed our mind", "ann", 1, 2, 1)
    given(WORKFLOW, STARTED).when(STOP).then(checked(1, 0, 2), stopped)
    given(WORKFLOW, STARTED).when(STOP, STOP).then_nothing()
    given(WORKFLOW, STARTED, WorkflowCompleted("d-1", 3, 1)).when(STOP).then(
        WorkflowCommandRefused(
            "d-1", "CancelWorkflow", "a workflow that is COMPLETED cannot be stopped", "ann"
        )
    )
    given(WORKFLOW).when(STOP).then_rejected("no such workflow")


commands: st.SearchStrategy[WorkflowCommand] = st.one_of(
    st.sampled_from([START, BAD, FINISH, STOP, PAUSE, RESUME]),
    st.builds(
        AdjustService,
        st.sampled_from(list(Priority)),
        st.integers(-1, 9),
        st.just("why"),
        st.just("ann"),
        st.just(NOW),
    ),
    st.just(UNDO),
    st.builds(AwaitAgents, st.just(2), st.just("busy"), st.booleans(), st.integers(NOW, NOW + 9**9)),
    st.just(EndWait(NOW)),
    st.builds(FinishWorkflow, st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.just(NOW)),
)


@settings(deadline=None)
@for_all(st.lists(commands, max_size=10))
def test_any_commands_leave_a_history_that_ends_once(order: list[WorkflowCommand]) -> None:
    state: Any = None
    log: list[Any] = []
    for command in order:
        before = state
        log += (events := _decided(state, command))
        for event in events:
            state = WORKFLOW.evolve(state, event)
        assert not _decided(state, command), "a repeated command yields something new"
        if before is not None and before.status is Status.COMPENSATING:
            assert state.status in (Status.COMPENSATING, Status.FAILED)
        if before is not None and before.status not in (*OPEN, Status.REJECTED, Status.COMPENSATING):
            assert state.status is before.status
    folded = None
    for event in log:
        stored = event_of(WORKFLOW, type(event).__name__, msgspec.to_builtins(event))
        folded = WORKFLOW.evolve(folded, stored)
    assert folded == state


def _decided(state: Any, command: WorkflowCommand) -> list[Any]:
    try:
        return WORKFLOW.decide(state, command)
    except Rejected:
        return []

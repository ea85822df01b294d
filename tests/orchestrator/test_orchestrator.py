"""The orchestrator's handlers, on a unit of work in memory."""

from collections import Counter

import msgspec
import pytest

from neural_hive.aggregates.aggregate import Rejected
from neural_hive.aggregates.incident import Kind, Severity
from neural_hive.aggregates.ticket import (
    Status,
    TicketAllocated,
    TicketCommandRefused,
    TicketCompensationFailed,
    TicketCompensationPlanned,
    TicketCompleted,
    TicketCreated,
    TicketDispatched,
    TicketFailed,
    TicketReady,
    TicketResultRefused,
    TicketRetryScheduled,
    TicketStarted,
)
from neural_hive.aggregates.vocabulary import Outcome, Priority, Task, Vote
from neural_hive.aggregates.workflow import (
    IntegrityChecked,
    PlanRejected,
    WorkflowCancelled,
    WorkflowCommandRefused,
    WorkflowCompensating,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowOverdue,
    WorkflowPaused,
    WorkflowResumed,
)
from neural_hive.aggregates.workflow import Status as WorkflowStatus
from neural_hive.schemas.codec import (
    EventEncoder,
    avro_string,
    decode,
    encode_message,
    event_context,
    event_source,
)
from neural_hive.schemas.envelope import Header
from neural_hive.schemas.topics import TOPICS
from neural_hive.schemas.topics import Kind as TopicKind
from neural_hive.schemas.varint import avro_long
from neural_hive.settings import Settings
from neural_hive.streams.orchestrator import course as orchestrator_course
from neural_hive.streams.orchestrator import dispatch as orchestrator_dispatch
from neural_hive.streams.orchestrator.course import _plan as plan_compensations
from neural_hive.streams.orchestrator.dispatch import DISPATCH_BYTES_MAX
from neural_hive.streams.orchestrator.flow import Limits
from neural_hive.streams.orchestrator.messages import (
    AdjustQos,
    CancelWorkflow,
    CompleteTicket,
    PauseWorkflow,
    ReportResult,
    ReportStart,
    ResumeWorkflow,
    RetryTicket,
)
from neural_hive.streams.orchestrator.system import build
from neural_hive.streams.registry.messages import (
    AttemptsLost,
    AttemptsSettled,
    SlotRef,
    SlotsDenied,
    SlotsGranted,
)
from neural_hive.streams.systems import SYSTEMS
from tests.aggregates.making import AGENT, artifact, decision, task
from tests.orchestrator.chill import deploy, frozen
from tests.orchestrator.crowd import Crowd, plan
from tests.orchestrator.memory_unit import Timer
from tests.orchestrator.running import RESULTS, Run

DIAMOND = decision(task("a"), task("b", "a"), task("c", "a"), task("d", "b", "c"))


def started(*tasks: object, **changes: object) -> Run:
    run = Run(decision(*tasks, **changes))  # type: ignore[arg-type]
    run.publish()
    return run


def test_a_plan_becomes_tickets_and_those_that_wait_for_nothing_are_dispatched() -> None:
    run = Run(DIAMOND)
    events = run.publish()
    given_out = [TicketReady, TicketAllocated, TicketDispatched]
    assert [type(event) for event in events[1:]] == [TicketCreated] * 4 + given_out
    assert run.dispatched == ["a"]


def test_dependents_follow_once_all_they_need_is_complete() -> None:
    run = Run(DIAMOND)
    run.publish()
    run.answer(run.waiting[0])
    assert sorted(run.dispatched) == ["a", "b", "c"]
    run.answer(run.dispatch_of("b"))
    assert run.ticket("d").status is Status.PENDING
    run.answer(run.dispatch_of("c"))
    assert run.dispatched[-1] == "d"
    events = run.answer(run.dispatch_of("d"))
    ends = [TicketStarted, TicketCompleted, IntegrityChecked, WorkflowCompleted]
    assert [type(event) for event in events] == ends
    assert events[2] == IntegrityChecked("d-1", 4, 4, 0, 0, 0, True, ())
    assert events[-1].completed_count == 4


def test_the_critical_path_is_dispatched_first() -> None:
    run = started(
        task("short"),
        task("long", estimated_duration_ms=90),
        task("head"),
        task("tail", "head", estimated_duration_ms=99),
    )
    assert run.dispatched == ["head", "long", "short"]


def test_a_failure_cancels_what_depends_on_it_and_nothing_else() -> None:
    run = started(task("a"), task("b", "a"), task("c", "b"), task("x"), task("y", "x"), task("z", "c", "y"))
    run.finish("a")
    ended = {"a": Status.FAILED, "x": Status.COMPLETED, "y": Status.COMPLETED}
    assert run.statuses == {**dict.fromkeys("bcz", Status.CANCELLED), **ended}
    checked, failed, incident = (written.event for written in run.unit.log[-3:])
    assert isinstance(failed, WorkflowFailed)
    assert (failed.completed_count, failed.failed_count, failed.cancelled_count) == (2, 1, 3)
    assert isinstance(checked, IntegrityChecked)
    assert checked.sound
    assert (incident.kind, incident.severity) == (Kind.WORKFLOW_FAILED, Severity.LOW)
    assert incident.ticket_ids == (run.ticket("a").created.ticket_id,)


def test_a_task_is_tried_again_and_what_waits_for_it_goes_on() -> None:
    run = started(task("a", max_retries=2), task("b", "a"))
    for attempt in (1, 2):
        events = run.answer(run.dispatch_of("a"), Outcome.FAILED, error="no")
        assert isinstance(events[-1], TicketRetryScheduled)
        assert run.waiting == []
        (timer,) = run.retries()
        assert timer.due - run.unit.now == 1_000_000 * 2 ** (attempt - 1)
        given_out = [TicketReady, TicketAllocated, TicketDispatched]
        assert [type(event) for event in run.fire(timer)] == given_out
        assert run.waiting[0].attempt == attempt + 1
    run.finish()
    assert run.dispatched == ["a", "a", "a", "b"]
    assert run.workflow.status is WorkflowStatus.COMPLETED


def test_a_task_that_fails_again_and_again_fails() -> None:
    run = started(task("a", max_retries=2), task("b", "a"))
    run.finish("a")
    assert run.dispatched == ["a", "a", "a"]
    assert run.statuses == {"a": Status.FAILED, "b": Status.CANCELLED}
    assert run.workflow.status is WorkflowStatus.FAILED


def test_a_stop_takes_a_retry_back() -> None:
    run = started(task("a", max_retries=2))
    run.answer(run.waiting[0], Outcome.FAILED)
    run.stop()
    assert run.retries() == []
    assert run.workflow.status is WorkflowStatus.CANCELLED


def timer_of(run: Run, name: str) -> Timer:
    return next(timer for timer in run.unit.timers() if timer.name == name)


def test_a_silent_agent_is_not_waited_for() -> None:
    run = started(task("a", max_retries=1), task("b", "a"))
    for attempt in (1, 2):
        dispatch = run.waiting.pop()
        assert dispatch.attempt == attempt
        run.start(dispatch)
        run.fire(timer_of(run, "timeout"))
        if attempt == 1:
            run.fire(timer_of(run, "retry"))
            (refused,) = run.answer(dispatch)
            assert isinstance(refused, TicketResultRefused)
    assert run.statuses == {"a": Status.TIMED_OUT, "b": Status.CANCELLED}
    assert run.workflow.status is WorkflowStatus.FAILED
    assert run.unit.timers() == []


def test_at_the_deadline_what_is_unfinished_is_cancelled() -> None:
    run = Run(DIAMOND)
    run.publish()
    run.answer(run.waiting[0])
    *_, incident, checked, failed = run.fire(timer_of(run, "deadline"))
    assert isinstance(failed, WorkflowFailed)
    assert isinstance(checked, IntegrityChecked)
    assert (incident.kind, len(incident.ticket_ids)) == (Kind.DEADLINE_PASSED, 3)
    assert failed.reason.startswith("the deadline of the workflow has passed: of 4 tasks 0 failed and 3 were")
    assert failed.duration_ms == 4 * 3_600_000
    assert run.unit.timers() == []


def paused(*tasks: object, **changes: object) -> Run:
    run = started(*tasks, **changes)
    (event,) = run.ask(PauseWorkflow("d-1", "wait", "ann"), "pause")
    assert isinstance(event, WorkflowPaused)
    return run


def test_nothing_is_dispatched_while_a_workflow_is_paused() -> None:
    run = paused(task("a"), task("b", "a"), task("c", "a"), task("x", max_retries=1))
    run.answer(run.dispatch_of("a"))
    run.answer(run.dispatch_of("x"), Outcome.FAILED)
    run.fire(timer_of(run, "retry"))
    assert run.statuses == {"a": Status.COMPLETED, **dict.fromkeys("bcx", Status.READY)}
    assert run.waiting == []
    assert run.ask(PauseWorkflow("d-1", "wait", "ann"), "pause again") == []
    run.ask(ResumeWorkflow("d-1", "go on", "ann"), "resume")
    assert sorted(dispatch.task_id for dispatch in run.waiting) == ["b", "c", "x"]
    assert run.ask(ResumeWorkflow("d-1", "go on", "ann"), "resume again") == []
    run.finish()
    assert run.workflow.status is WorkflowStatus.COMPLETED


def test_what_runs_when_a_workflow_is_paused_may_end_it() -> None:
    run = paused(task("a"))
    run.finish()
    assert run.workflow.status is WorkflowStatus.COMPLETED
    (refused,) = run.ask(ResumeWorkflow("d-1", "go on", "ann"), "resume")
    assert refused == WorkflowCommandRefused(
        "d-1", "ResumeWorkflow", "a workflow that is COMPLETED cannot be resumed", "ann"
    )


def test_a_paused_workflow_can_be_stopped_and_has_a_deadline() -> None:
    run = paused(task("a"), task("b", "a"))
    run.answer(run.waiting[0])
    assert isinstance(run.stop()[-1], WorkflowCancelled)
    run = paused(task("a"), task("b", "a"))
    assert isinstance(run.fire(timer_of(run, "deadline"))[-1], WorkflowFailed)


def test_a_ticket_is_tried_again_because_somebody_asks() -> None:
    run = started(task("a"), task("b", "a"), task("c"))
    run.answer(run.dispatch_of("a"), Outcome.FAILED)
    again = RetryTicket("d-1", run.ticket("a").created.ticket_id, "the disk is empty now", "ann")
    events = run.ask(again)
    given_out = [TicketReady, TicketAllocated, TicketDispatched]
    assert [type(event) for event in events] == [TicketRetryScheduled, *given_out]
    assert events[0].reason == "ann asked for it: the disk is empty now"
    assert run.ask(again) == []
    (refused,) = run.ask(again, "while it runs")
    assert isinstance(refused, TicketCommandRefused)
    assert "ASSIGNED" in refused.reason
    run.finish()
    assert run.statuses == {"a": Status.COMPLETED, "b": Status.CANCELLED, "c": Status.COMPLETED}
    assert run.workflow.status is WorkflowStatus.FAILED
    (refused,) = run.ask(again, "too late")
    assert "its workflow is FAILED" in refused.reason


def test_a_wait_for_the_next_attempt_is_cut_short() -> None:
    run = started(task("a", max_retries=2))
    run.answer(run.waiting[0], Outcome.FAILED)
    run.fire(timer_of(run, "retry"))
    run.answer(run.waiting[0], Outcome.FAILED)
    run.ask(RetryTicket("d-1", run.ticket("a").created.ticket_id, "now", "ann"))
    assert run.retries() == []
    run.finish()
    assert run.workflow.status is WorkflowStatus.COMPLETED


def test_a_ticket_completed_elsewhere_counts() -> None:
    run = started(task("a"), task("b", "a", command=("echo", "${tasks.a.outputs.x}")))
    first, second = (run.ticket(name).created.ticket_id for name in "ab")
    (refused,) = run.ask(CompleteTicket("d-1", second, "by hand", {}, "ann"), "too early")
    assert isinstance(refused, TicketCommandRefused)
    dispatch = run.waiting.pop()
    events = run.ask(CompleteTicket("d-1", first, "by hand", {"x": "1"}, "ann"), "done")
    assert [type(event) for event in events[:2]] == [TicketStarted, TicketCompleted]
    assert (events[1].completed_by, events[1].remark) == ("ann", "by hand")
    assert run.waiting[0].command == ("echo", "1")
    (late,) = run.answer(dispatch, outputs={"x": "2"})
    assert isinstance(late, TicketResultRefused)
    run.finish()
    assert run.workflow.status is WorkflowStatus.COMPLETED


def test_another_deadline_moves_the_timer_and_later_dispatches() -> None:
    run = started(task("a"), task("b", "a"))
    (adjusted,) = run.ask(AdjustQos("d-1", "it is urgent", Priority.CRITICAL, 9_000_000, "ann"), "adjust")
    deadline_at = run.workflow.started_at + 9_000_000_000
    assert (adjusted.priority, adjusted.deadline_at) == (Priority.CRITICAL, deadline_at)
    assert timer_of(run, "deadline").due == deadline_at
    run.answer(run.waiting[0])
    assert run.waiting[0].deadline_at == deadline_at
    for number, deadline_ms in enumerate((-1, 1, 10**12)):
        (refused,) = run.ask(AdjustQos("d-1", "no", deadline_ms=deadline_ms), f"bad {number}")
        assert isinstance(refused, WorkflowCommandRefused)


HOUR_MS = 3_600_000


def prolonged(*tasks: object) -> Run:
    """A workflow whose first tasks are dispatched, which had an hour, and has ten now; three have passed."""
    run = started(*tasks, deadline_ms=HOUR_MS)
    run.ask(AdjustQos("d-1", "it takes longer", deadline_ms=10 * HOUR_MS), "longer")
    run.unit.now += 3 * HOUR_MS * 1_000
    return run


def test_what_becomes_ready_after_the_first_deadline_is_dispatched_before_the_second() -> None:
    run = prolonged(task("a"), task("b", "a"))
    run.answer(run.waiting[0])
    assert [dispatch.task_id for dispatch in run.waiting] == ["b"]
    assert run.waiting[0].deadline_at == run.workflow.started_at + 10 * HOUR_MS * 1_000


def test_what_goes_wrong_after_the_first_deadline_is_tried_again_before_the_second() -> None:
    run = prolonged(task("failing", max_retries=1), task("silent", max_retries=1))
    run.answer(run.dispatch_of("failing"), Outcome.FAILED)
    run.start(run.dispatch_of("silent"))
    run.fire(timer_of(run, "timeout"))
    assert run.statuses == {"failing": Status.PENDING, "silent": Status.PENDING}
    run.waiting.clear()
    for timer in run.retries():
        run.fire(timer)
    run.finish()
    assert run.workflow.status is WorkflowStatus.COMPLETED


def test_what_goes_wrong_is_not_tried_again_after_a_deadline_that_was_moved_to_now() -> None:
    run = started(task("a", max_retries=1))
    run.unit.now = run.workflow.started_at + 1_500_000
    run.ask(AdjustQos("d-1", "enough", deadline_ms=3_000))
    run.answer(run.waiting[0], Outcome.FAILED)
    assert run.statuses == {"a": Status.FAILED}


def test_a_request_about_what_is_not_there_is_rejected() -> None:
    run = started(task("a"))
    for message in (
        PauseWorkflow("d-2", "no"),
        ResumeWorkflow("d-2", "no"),
        AdjustQos("d-2", "no", Priority.LOW),
        RetryTicket("d-2", "t", "no"),
        CompleteTicket("d-1", "t", "no"),
    ):
        with pytest.raises(Rejected, match="no such"):
            run.ask(message)


def undoable(task_id: str, *dependencies: str) -> Task:
    return task(task_id, *dependencies, compensation=("undo", task_id))


def test_what_was_completed_is_undone_in_reverse_when_a_workflow_fails() -> None:
    run = started(undoable("a"), task("b", "a"), undoable("c", "b"), undoable("d", "a"), task("e", "c", "d"))
    for name in "abcd":
        run.answer(run.dispatch_of(name), outputs={"x": name})
    compensating = run.answer(run.dispatch_of("e"), Outcome.FAILED)
    planned = [TicketCompensationPlanned] * 3
    given_out = [TicketReady, TicketAllocated, TicketDispatched]
    assert [type(event) for event in compensating[-7:]] == [WorkflowCompensating, *planned, *given_out]
    undone: list[tuple[str, ...]] = []
    while run.waiting or run.retries():
        if not run.waiting:
            run.fire(run.retries()[0])
        (dispatch,) = run.waiting
        assert dispatch.compensates
        undone.append(dispatch.command)
        fails = dispatch.task_id == "c"
        run.answer(dispatch, Outcome.FAILED if fails else Outcome.COMPLETED, error="no")
    assert undone == [("undo", "d"), *[("undo", "c")] * 3, ("undo", "a")]
    ended = {"b": Status.COMPLETED, "c": Status.COMPLETED, "e": Status.FAILED}
    assert run.statuses == {"a": Status.COMPENSATED, "d": Status.COMPENSATED, **ended}
    failed = run.unit.log[-2].event
    assert isinstance(failed, WorkflowFailed)
    assert (failed.completed_count, failed.failed_count, failed.compensated_count) == (4, 1, 2)
    assert failed.reason == "of 5 tasks 1 failed and 0 were cancelled; 1 could not be undone: c"
    assert run.unit.timers() == []
    (left,) = (w.event for w in run.unit.log if getattr(w.event, "kind", "") == Kind.NOT_UNDONE)
    assert left.ticket_ids == (run.ticket("c").created.ticket_id,)
    assert left.summary == "task c could not be undone, after 3 tries: no"


def test_what_a_build_without_plans_left_to_be_undone_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    run = started(undoable("a"), undoable("b", "a"), undoable("c", "b"), task("d", "c"))
    for name in "abc":
        run.answer(run.dispatch_of(name))
    with monkeypatch.context() as patch:
        patch.setattr(orchestrator_course, "_plan", lambda flow, undo: plan_compensations(flow, undo[:1]))
        run.answer(run.dispatch_of("d"), Outcome.FAILED)
    run.finish()
    assert run.dispatched[-3:] == ["c", "b", "a"]
    assert set(run.statuses.values()) == {Status.COMPENSATED, Status.FAILED}


def test_each_ticket_that_could_not_be_undone_has_an_incident_of_its_own() -> None:
    run = started(undoable("a"), undoable("b"), task("c", "a", "b"))
    for name in "ab":
        run.answer(run.dispatch_of(name))
    run.finish("a", "b", "c")
    left = [w.event.ticket_ids for w in run.unit.log if getattr(w.event, "kind", "") == Kind.NOT_UNDONE]
    assert sorted(left) == sorted((run.ticket(name).created.ticket_id,) for name in "ab")
    (failed,) = (w.event for w in run.unit.log if isinstance(w.event, WorkflowFailed))
    assert failed.reason.startswith("of 3 tasks 1 failed and 0 were cancelled; 2 could not be undone: ")


def test_a_compensation_may_use_what_its_task_made() -> None:
    run = started(task("a", compensation=("rm", "${tasks.a.outputs.x}")), undoable("b"), task("c", "a", "b"))
    run.answer(run.dispatch_of("a"), outputs={"y": "1"})
    run.answer(run.dispatch_of("b"))
    run.answer(run.dispatch_of("c"), Outcome.FAILED)
    run.answer(run.dispatch_of("b"))
    failed = [
        written.event for written in run.unit.log if isinstance(written.event, TicketCompensationFailed)
    ]
    assert [event.error for event in failed] == ["task a made none of its outputs named x"]
    assert run.workflow.status is WorkflowStatus.FAILED


def test_a_compensation_that_is_never_done_does_not_hold_the_workflow() -> None:
    run = started(undoable("a"), task("b", "a"))
    run.answer(run.waiting[0])
    run.answer(run.waiting[0], Outcome.TIMED_OUT)
    while timers := run.unit.timers():
        run.waiting.clear()
        run.fire(timers[0])
    assert run.dispatched == ["a", "b", "a", "a", "a"]
    assert run.statuses["a"] is Status.COMPLETED
    assert run.workflow.status is WorkflowStatus.FAILED


def test_a_workflow_that_is_stopped_or_completed_undoes_nothing() -> None:
    run = started(undoable("a"), task("b", "a"))
    run.answer(run.waiting[0])
    run.stop()
    assert run.workflow.status is WorkflowStatus.CANCELLED
    assert run.statuses["a"] is Status.COMPLETED


def held() -> Run:
    """A workflow that has failed while it is paused, with something to be undone."""
    run = started(undoable("a"), task("b", "a"))
    run.answer(run.waiting[0])
    run.ask(PauseWorkflow("d-1", "the target is down", "ann"), "pause")
    events = run.answer(run.waiting[0], Outcome.FAILED)
    assert [type(event) for event in events] == [TicketStarted, TicketFailed]
    assert run.workflow.status is WorkflowStatus.PAUSED
    return run


def test_a_workflow_that_fails_in_a_pause_is_undone_when_it_is_resumed() -> None:
    run = held()
    events = run.ask(ResumeWorkflow("d-1", "it is back", "ann"), "resume")
    given_out = [TicketCompensationPlanned, TicketReady, TicketAllocated, TicketDispatched]
    assert [type(event) for event in events] == [WorkflowResumed, WorkflowCompensating, *given_out]
    run.finish()
    assert run.statuses == {"a": Status.COMPENSATED, "b": Status.FAILED}


def test_what_failed_in_a_pause_may_be_tried_again_instead() -> None:
    run = held()
    run.ask(RetryTicket("d-1", run.ticket("b").created.ticket_id, "the target is back", "ann"), "retry")
    assert run.waiting == []
    run.ask(ResumeWorkflow("d-1", "it is back", "ann"), "resume")
    run.finish()
    assert run.workflow.status is WorkflowStatus.COMPLETED


def test_a_workflow_that_failed_in_a_pause_can_be_stopped_and_undoes_nothing() -> None:
    run = held()
    assert isinstance(run.stop()[-1], WorkflowCancelled)
    assert (run.waiting, run.unit.timers()) == ([], [])
    assert run.statuses["a"] is Status.COMPLETED


def overdue() -> Run:
    """A workflow whose deadline has passed while it was paused, with something to be undone."""
    run = paused(undoable("a"), task("b", "a"))
    run.answer(run.waiting[0])
    *_, late = run.fire(timer_of(run, "deadline"))
    assert late == WorkflowOverdue("d-1", "the deadline of the workflow has passed", run.unit.now)
    return run


def test_a_deadline_that_passes_in_a_pause_is_noticed_once_and_nothing_is_given_out() -> None:
    run = overdue()
    assert run.workflow.status is WorkflowStatus.PAUSED
    assert (run.waiting, run.unit.timers()) == ([], [])
    assert run.statuses == {"a": Status.COMPLETED, "b": Status.CANCELLED}
    (refused,) = run.ask(AdjustQos("d-1", "more time", deadline_ms=20_000_000), "adjust")
    assert refused.reason == "the deadline of the workflow has passed: resume or cancel the workflow"
    _, compensating, *_ = run.ask(ResumeWorkflow("d-1", "it is back", "ann"), "resume")
    assert compensating.reason.startswith(
        "the deadline of the workflow has passed: of 2 tasks 0 failed and 1"
    )
    run.finish()
    assert run.statuses["a"] is Status.COMPENSATED
    assert run.workflow.status is WorkflowStatus.FAILED


def test_what_failed_is_not_tried_again_once_the_deadline_has_passed_in_a_pause() -> None:
    run = started(undoable("a"), task("b"), task("c"))
    run.answer(run.dispatch_of("a"))
    run.ask(PauseWorkflow("d-1", "the target is down", "ann"), "pause")
    run.answer(run.dispatch_of("b"), Outcome.FAILED)
    run.fire(timer_of(run, "deadline"))
    (refused,) = run.ask(RetryTicket("d-1", run.ticket("b").created.ticket_id, "now", "ann"), "retry")
    assert isinstance(refused, TicketCommandRefused)
    assert "the deadline of the workflow has passed" in refused.reason
    assert isinstance(run.stop()[-1], WorkflowCancelled)


def test_an_invalid_plan_leaves_its_refusal_and_no_ticket() -> None:
    run = Run(decision(task("a", "b"), task("b", "a")))
    (refused,) = run.publish()
    assert isinstance(refused, PlanRejected)
    assert "a -> b -> a" in refused.reasons[0]
    assert run.publish("again") == []


def test_a_plan_published_twice_is_carried_out_once() -> None:
    run = Run(DIAMOND)
    run.publish()
    assert run.publish() == []
    assert run.unit.repeats == 1
    assert run.publish("another message with the same decision") == []
    assert run.dispatched == ["a"]


def test_another_plan_under_the_same_decision_is_refused() -> None:
    run = started(task("a"))
    run.decision = decision(task("b"))
    with pytest.raises(Rejected, match="accepted before"):
        run.publish("other")


def test_a_repeated_result_changes_nothing() -> None:
    run = Run(DIAMOND)
    run.publish()
    dispatch = run.waiting[0]
    run.answer(dispatch)
    assert run.answer(dispatch) == []
    assert run.answer(dispatch, message_id="the same, sent anew") == []
    assert run.unit.repeats == 1
    assert sorted(run.dispatched) == ["a", "b", "c"]


def test_a_result_that_contradicts_the_first_is_put_aside() -> None:
    run = started(task("a"))
    dispatch = run.waiting[0]
    run.answer(dispatch)
    (refused,) = run.answer(dispatch, Outcome.FAILED, message_id="late")
    assert isinstance(refused, TicketResultRefused)
    assert run.workflow.status is WorkflowStatus.COMPLETED


def test_a_result_of_another_attempt_or_of_a_ticket_that_waits_is_put_aside() -> None:
    run = Run(DIAMOND)
    run.publish()
    (refused,) = run.answer(msgspec.structs.replace(run.waiting[0], attempt=2))
    assert "about attempt 2" in refused.reason
    pending = run.ticket("d").created
    dispatch = msgspec.structs.replace(run.waiting[0], ticket_id=pending.ticket_id)
    (refused,) = run.answer(dispatch)
    assert "never given to an agent" in refused.reason
    assert run.dispatched == ["a"]


def test_a_start_and_its_repeat() -> None:
    run = started(task("a"))
    assert [type(event) for event in run.start(run.waiting[0])] == [TicketStarted]
    assert run.start(run.waiting[0]) == []
    assert run.ticket("a").status is Status.RUNNING


def test_a_result_for_an_unknown_ticket_or_another_workflow_is_rejected() -> None:
    run = started(task("a"))
    dispatch = run.waiting[0]
    with pytest.raises(Rejected, match="no such ticket"):
        run.answer(msgspec.structs.replace(dispatch, ticket_id="unknown"))
    with pytest.raises(Rejected, match="belongs to workflow d-1"):
        run.answer(msgspec.structs.replace(dispatch, workflow_id="d-2"))
    assert run.ticket("a").status is Status.ASSIGNED


def test_outputs_and_artifacts_reach_those_that_name_them() -> None:
    run = started(
        task("a"),
        task("b", "a"),
        task(
            "c",
            "b",
            command=("install", "${tasks.b.artifacts.w.whl}", "v${tasks.a.outputs.version}", "${HOME}"),
            parameters={"p": "${tasks.a.outputs.version}-${tasks.b.outputs.n}"},
            environment={"SOURCE": "${tasks.a.artifacts.src}"},
        ),
    )
    source, wheel, log = artifact("src", "1"), artifact("w.whl", "2"), artifact("log", "3")
    run.answer(run.waiting[0], outputs={"version": "1.2"}, artifacts=(source,))
    assert run.waiting[0].inputs == (source,)
    run.answer(run.waiting[0], outputs={"n": "7"}, artifacts=(wheel, log))
    dispatch = run.waiting[0]
    assert dispatch.command == ("install", wheel.uri, "v1.2", "${HOME}")
    assert (dispatch.parameters, dispatch.environment) == ({"p": "1.2-7"}, {"SOURCE": source.uri})
    assert set(dispatch.inputs) == {source, wheel, log}


def test_an_output_is_never_read_for_references_again() -> None:
    run = started(task("a"), task("b", "a", command=("echo", "${tasks.a.outputs.x}")))
    run.answer(run.waiting[0], outputs={"x": "${tasks.a.outputs.secret}", "secret": "no"})
    assert run.waiting[0].command == ("echo", "${tasks.a.outputs.secret}")


def test_a_missing_output_fails_the_ticket_and_names_it() -> None:
    run = started(task("a"), task("b", "a", command=("echo", "${tasks.a.outputs.x}")), task("c", "b"))
    run.answer(run.waiting[0], outputs={"y": "1"})
    failed = next(written.event for written in run.unit.log if isinstance(written.event, TicketFailed))
    assert failed.error == "task a made none of its outputs named x"
    assert run.statuses == {"a": Status.COMPLETED, "b": Status.FAILED, "c": Status.CANCELLED}
    assert run.workflow.status is WorkflowStatus.FAILED


def test_what_is_too_large_to_be_passed_on_fails_the_ticket() -> None:
    many = "${tasks.a.outputs.x}" * (DISPATCH_BYTES_MAX // 60_000 + 1)
    run = started(task("a"), task("b", "a", command=("echo", many)))
    run.answer(run.waiting[0], outputs={"x": "x" * 60_000})
    assert run.statuses["b"] is Status.FAILED
    failed = next(written.event for written in run.unit.log if isinstance(written.event, TicketFailed))
    assert failed.error == "what it takes from other tasks is larger than 1,048,576 bytes"


def test_what_many_take_at_once_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orchestrator_dispatch, "RELEASE_BYTES_MAX", 2_500)
    run = started(
        task("a"), *(task(f"b{n}", "a", command=("echo", "${tasks.a.outputs.x}")) for n in range(4))
    )
    run.answer(run.waiting[0], outputs={"x": "x" * 1_000})
    assert Counter(run.statuses.values()) == {Status.COMPLETED: 1, Status.ASSIGNED: 2, Status.READY: 2}
    run.finish()
    assert run.workflow.status is WorkflowStatus.COMPLETED


def test_a_stop_cancels_all_that_is_not_finished() -> None:
    run = Run(DIAMOND)
    run.publish()
    run.answer(run.waiting[0])
    dispatch = run.dispatch_of("b")
    stopped = run.stop()[-1]
    assert isinstance(stopped, WorkflowCancelled)
    assert (stopped.completed_count, stopped.cancelled_count, stopped.requested_by) == (1, 3, "ann")
    assert run.stop(message_id="again") == []
    (refused,) = run.answer(dispatch)
    assert "ended as CANCELLED" in refused.reason
    assert run.workflow.status is WorkflowStatus.CANCELLED


def test_a_stop_of_nothing_is_rejected() -> None:
    run = Run(DIAMOND)
    with pytest.raises(Rejected, match="no such workflow"):
        run.stop()
    run.publish()
    run.finish()
    (refused,) = run.stop()
    assert refused.reason == "a workflow that is COMPLETED cannot be stopped"
    assert run.stop(message_id="again") == []


def stranded() -> Run:
    """A workflow that waits for an agent, is paused meanwhile, is given one that is busy, and then goes on."""
    run = Run(decision(task("a"), task("b"), task("c")), capacity=0)
    run.publish()
    for _ in range(8):
        run.fire(timer_of(run, "wait"))
    run.ask(PauseWorkflow("d-1", "why", "ann"), "pause")
    run.ask(ResumeWorkflow("d-1", "why", "ann"), "resume")
    run.pair.register(AGENT, 1)
    run.fire(timer_of(run, "wait"))
    run.ask(PauseWorkflow("d-1", "why", "ann"), "pause again")
    run.ask(ResumeWorkflow("d-1", "why", "ann"), "resume again")
    run.finish()
    assert run.workflow.status is WorkflowStatus.COMPLETED
    return run


def in_turns() -> Crowd:
    """Two workflows, one after the other."""
    crowd = Crowd((AGENT, 1), limits=Limits(workflows_max=1))
    for name in ("a", "b"):
        crowd.publish(plan(name, 1))
    crowd.end()
    return crowd


def thawed() -> Run:
    """A deployment was frozen, and is not any more."""
    run = frozen(deploy("a"))
    run.pair.freezes = {}
    run.fire(run.waits()[0])
    return run


def test_every_event_has_a_schema_that_keeps_all_of_it() -> None:
    run = started(task("a"), task("b", "a"), task("c"), task("d", "c"), task("e"), task("f", max_retries=1))
    run.start(run.waiting[0])
    run.answer(run.dispatch_of("a"), outputs={"x": "1"}, artifacts=(artifact("w"),), exit_code=0)
    run.answer(run.dispatch_of("c"), Outcome.FAILED, error="no", exit_code=1)
    run.answer(run.dispatch_of("e"), Outcome.TIMED_OUT, error="slow")
    run.answer(msgspec.structs.replace(run.dispatch_of("f"), attempt=9))
    run.answer(run.dispatch_of("f"), Outcome.FAILED)
    run.ask(PauseWorkflow("d-1", "why", "ann"), "1")
    run.ask(ResumeWorkflow("d-1", "why", "ann"), "2")
    run.ask(AdjustQos("d-1", "why", Priority.HIGH, 9_000_000, "ann"), "3")
    run.ask(RetryTicket("d-1", run.ticket("a").created.ticket_id, "why", "ann"), "4")
    run.stop()
    run.ask(PauseWorkflow("d-1", "why", "ann"), "5")
    logs = [run.unit.log, started(task("a", "b"), task("b", "a")).unit.log]
    for outcome in (Outcome.COMPLETED, Outcome.FAILED):
        other = started(undoable("a"), task("b", "a"))
        other.answer(other.waiting[0])
        other.answer(other.waiting[0], Outcome.FAILED)
        other.answer(other.waiting[0], outcome)
        logs.append(other.unit.log)
    logs += [stranded().unit.log, overdue().unit.log]
    for last in ((), ("a",)):
        other = started(task("a"))
        other.finish(*last)
        logs.append(other.unit.log)
    logs += [in_turns().unit.log, thawed().unit.log]
    written = [written for log in logs for written in log]
    for entry in written:
        payload = msgspec.to_builtins(entry.event)
        encoder = EventEncoder(type(entry.event).__name__, entry.aggregate, "v", "p")
        source, context = event_source("t", 0) + avro_long(0), event_context("c", "c", "0" * 32)
        value = encoder.encode(
            b"0" * 36, avro_string("x"), 1, avro_long(1), context, b"0" * 16, 1, source, bytes(32), payload
        )
        assert msgspec.convert(decode(value, "event").payload, type(entry.event)) == entry.event
    known = {event for aggregate in run.unit._aggregates.values() for event in aggregate.events}
    assert {type(entry.event) for entry in written} == known


def test_messages_come_back_from_the_wire_as_they_were() -> None:
    vote = Vote("security", 0.5, 0.9, True, 0.1, 20)
    plan = decision(task("a", parameters={"x": "1"}), task("b", "a", secrets=("token",)), votes=(vote,))
    result = ReportResult("d-1", "t", 1, AGENT, Outcome.FAILED, 1, 2, 3, {"x": "1"}, (artifact("w"),), "no")
    messages = [
        plan,
        result,
        ReportStart("d-1", "t", 1, AGENT, 1),
        CancelWorkflow("d-1", "no", "ann"),
        PauseWorkflow("d-1", "no", "ann"),
        ResumeWorkflow("d-1", "no", "ann"),
        RetryTicket("d-1", "t", "no", "ann"),
        AdjustQos("d-1", "no", Priority.HIGH, 9, "ann"),
        CompleteTicket("d-1", "t", "no", {"x": "1"}, "ann"),
        SlotsGranted(AGENT, "d-1", (SlotRef("t", 1, 1),)),
        SlotsDenied(AGENT, "d-1", (SlotRef("t", 1, 1),), "no"),
        AttemptsLost(AGENT, "d-1", (SlotRef("t", 1, 1),), "gone"),
        AttemptsSettled(AGENT, "d-1", "back"),
    ]
    handled = {name for source in build().inputs.values() for name in source.handlers}
    assert {type(message).__name__ for message in messages} == handled
    for message in messages:
        header = Header("m", type(message).__name__, 1, "d-1", "d-1", "", "0" * 32, "0" * 16, "test")
        value = encode_message(header, msgspec.to_builtins(message))
        assert msgspec.convert(decode(value, "message").payload, type(message)) == message


def test_the_topics_are_declared_as_what_they_are() -> None:
    system = build()
    assert {TOPICS[topic].kind for topic in system.topics} == {TopicKind.INPUT}
    assert {TOPICS[aggregate.topic].kind for aggregate in system.aggregates} == {TopicKind.EVENT}


def test_the_runner_finds_the_orchestrator() -> None:
    assert SYSTEMS["orchestrator"](Settings()).name == "orchestrator"


def test_a_report_that_lacks_optional_parts_is_read() -> None:
    run = started(task("a"))
    dispatch = run.waiting[0]
    record = {
        "workflow_id": "d-1",
        "ticket_id": dispatch.ticket_id,
        "attempt": 1,
        "agent_id": AGENT,
        "outcome": "COMPLETED",
        "started_at": 1,
        "completed_at": 2,
    }
    events = run.unit.handle(RESULTS, msgspec.convert(record, ReportResult), "m")
    assert isinstance(events[-1], WorkflowCompleted)

"""What may happen to a ticket, and what may not."""

from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from neural_hive.aggregates import made, tally
from neural_hive.aggregates.aggregate import Rejected, event_of
from neural_hive.aggregates.backoff import backoff_ms
from neural_hive.aggregates.ticket import (
    GRACE_MS,
    START_WITHIN_MS,
    TICKET,
    TRANSITIONS,
    AllocateTicket,
    CancelTicket,
    CompensateTicket,
    CompleteElsewhere,
    Considered,
    CreateTicket,
    DispatchTicket,
    GiveUpTicket,
    PlanCompensation,
    ReadyTicket,
    RecordResult,
    RecordStart,
    RequeueTicket,
    RetryNow,
    Status,
    TicketAllocated,
    TicketCancelled,
    TicketCommand,
    TicketCompensated,
    TicketCompensationFailed,
    TicketCompleted,
    TicketCreated,
    TicketDispatched,
    TicketFailed,
    TicketReady,
    TicketRequeued,
    TicketResultRefused,
    TicketRetryScheduled,
    TicketStarted,
    TicketTimedOut,
    TicketUnallocated,
    TimeOutTicket,
    UnallocateTicket,
    can_retry,
    content_hash,
    could_not_be_undone,
    is_expired,
    is_finished,
    requirement,
)
from neural_hive.aggregates.ticketing import tickets_of
from neural_hive.aggregates.vocabulary import DeliveryMode, Outcome
from tests.aggregates.making import AGENT, NOW, artifact, decision, task
from tests.grammar import given


def created(**changes: Any) -> CreateTicket:
    tasks = (task("a", **changes), task("b", "a"), task("c", "a"))
    return tickets_of(decision(*tasks), NOW)[0]


def as_event(command: CreateTicket) -> TicketCreated:
    return TicketCreated(**{name: getattr(command, name) for name in command.__struct_fields__})


CREATE = created()
CREATED = as_event(CREATE)
RETRIED = as_event(created(max_retries=2))
IDS = (CREATED.ticket_id, "d-1")
READY = TicketReady(*IDS, NOW, NOW)
CHOSEN = (Considered(AGENT, 0.85, 1.0, 0.5, 1.0),)
ALLOCATE = AllocateTicket(AGENT, 0.85, CHOSEN, NOW)
ALLOCATED = TicketAllocated(*IDS, 1, AGENT, 1, 0.85, CHOSEN, NOW)
DISPATCH = DispatchTicket(AGENT, ("true",), {}, {}, (), NOW)
DISPATCHED = TICKET.decide(given(TICKET, CREATED, READY, ALLOCATED).state, DISPATCH)[0]
BEGINS_BY = NOW + START_WITHIN_MS * 1_000
EXPIRES_AT = NOW + 6 + (1_000 + GRACE_MS) * 1_000
STARTED = TicketStarted(*IDS, 1, AGENT, NOW + 1, EXPIRES_AT)
COMPLETED = TicketCompleted(*IDS, 1, AGENT, NOW + 1, NOW + 5, 0, {"x": "1"}, (artifact("w"),))
ASSIGNED = (CREATED, READY, ALLOCATED, DISPATCHED)
RUNNING = (*ASSIGNED, STARTED)
COMPENSATE = CompensateTicket(NOW + 8, NOW + 8, NOW + 10**9)
UNDO = DispatchTicket(AGENT, ("undo",), {}, {}, (), NOW + 8)
CANCEL = CancelTicket("no longer wanted", NOW + 9)


def result(outcome: Outcome = Outcome.COMPLETED, **changes: Any) -> RecordResult:
    fields: dict[str, Any] = {
        "attempt": 1,
        "agent_id": AGENT,
        "started_at": NOW + 1,
        "completed_at": NOW + 5,
        "exit_code": 0,
        "outputs": {"x": "1"},
        "artifacts": (artifact("w"),),
        "error": "",
        "recorded_at": NOW + 6,
    }
    return RecordResult(outcome=outcome, **{**fields, **changes})


def test_a_ticket_is_created_once() -> None:
    given(TICKET).when(CREATE).then(CREATED)
    given(TICKET, CREATED).when(CREATE).then_nothing()
    other = msgspec.structs.replace(CREATE, plan_id="p-2")
    given(TICKET, CREATED).when(other).then_rejected("exists with another content")


def test_a_command_to_a_ticket_that_does_not_exist_is_rejected() -> None:
    given(TICKET).when(result()).then_rejected("no such ticket")


def test_the_way_to_completion() -> None:
    given(TICKET, CREATED).when(ReadyTicket(NOW, NOW)).then(READY)
    given(TICKET, CREATED, READY).when(ALLOCATE).then(ALLOCATED)
    given(TICKET, CREATED, READY, ALLOCATED).when(DISPATCH).then_types(TicketDispatched)
    given(TICKET, *ASSIGNED).when(RecordStart(1, AGENT, NOW + 1, NOW + 6)).then(STARTED)
    given(TICKET, *RUNNING).when(result()).then(COMPLETED)


def test_a_dispatch_carries_what_the_agent_needs() -> None:
    assert DISPATCHED.task_id == "a"
    assert (DISPATCHED.attempt, DISPATCHED.allocated_agent_id, DISPATCHED.timeout_ms) == (1, AGENT, 1_000)
    assert (DISPATCHED.start_by, DISPATCHED.delivery_mode) == (BEGINS_BY, CREATED.delivery_mode)


def test_nobody_is_given_a_ticket_without_a_slot() -> None:
    given(TICKET, CREATED, READY).when(DISPATCH).then_rejected("no slot of agent-1 was asked for")
    other = msgspec.structs.replace(DISPATCH, agent_id="agent-2")
    given(TICKET, CREATED, READY, ALLOCATED).when(other).then_rejected("no slot of agent-2")


def test_one_agent_is_chosen_at_a_time_and_another_when_it_does_not_take_the_ticket() -> None:
    asked = given(TICKET, CREATED, READY, ALLOCATED)
    asked.when(ALLOCATE).then_nothing()
    for stale in (("agent-2", 1, 1), (AGENT, 2, 1), (AGENT, 1, 2)):
        asked.when(UnallocateTicket(*stale, "busy", NOW)).then_nothing()
    turned_away = UnallocateTicket(AGENT, 1, 1, "busy", NOW + 3)
    asked.when(turned_away).then(TicketUnallocated(*IDS, 1, AGENT, 1, "busy", NOW + 3))
    (again,) = asked.when(turned_away, ALLOCATE).events
    assert (again.attempt, again.allocation) == (1, 2)
    given(TICKET, *ASSIGNED).when(turned_away).then_nothing()


def test_a_ready_ticket_stands_in_queues_until_an_agent_is_chosen() -> None:
    root = {"roots:d-1": ""}
    assert TICKET.queues(given(TICKET, CREATED).state) == root
    waiting = given(TICKET, CREATED, READY)
    kind = requirement(waiting.state)
    place = f"{kind}/{NOW:020d}"
    assert TICKET.queues(waiting.state) == {**root, "ready": place, "ready:d-1": place}
    assert TICKET.queues(waiting.when(ALLOCATE).state) == {**root, "ready:d-1": place}
    assert TICKET.queues(given(TICKET, *ASSIGNED).state) == root
    held = RequeueTicket(0, "paused", NOW + 2)
    waiting.when(held).then_types(TicketRequeued)
    assert TICKET.queues(waiting.when(held).state) == {**root, "ready:d-1": f"{kind}/{0:020d}"}
    waiting.when(ALLOCATE, held).then_types(TicketRequeued, TicketUnallocated)
    waiting.when(ALLOCATE, RequeueTicket(7, "urgent", NOW)).then_nothing()
    waiting.when(held, ALLOCATE).then_nothing()
    given(TICKET, *ASSIGNED).when(held).then_nothing()
    other = given(TICKET, as_event(created(required_capabilities=("gpu",))), READY).state
    assert requirement(other) != kind


def test_what_is_to_be_undone_stands_in_a_queue_until_its_turn_comes() -> None:
    done = (*RUNNING, COMPLETED)
    (planned,) = given(TICKET, *done).when(PlanCompensation(3)).events
    waiting = given(TICKET, *done, planned)
    assert TICKET.queues(waiting.state) == {"roots:d-1": "", "undo:d-1": "000003"}
    waiting.when(PlanCompensation(4)).then_nothing()
    assert "undo:d-1" not in TICKET.queues(waiting.when(COMPENSATE).state)
    assert "undo:d-1" not in TICKET.queues(waiting.when(COMPENSATE, GiveUpTicket("no", NOW)).state)
    given(TICKET, *RUNNING).when(PlanCompensation(1)).then_rejected("RUNNING has done nothing")


def test_an_attempt_that_is_not_begun_in_time_has_timed_out() -> None:
    late_at = BEGINS_BY + GRACE_MS * 1_000
    assigned = given(TICKET, *ASSIGNED)
    assert TICKET.timers(assigned.state) == {"timeout": late_at}
    assigned.when(TimeOutTicket(late_at - 1)).then_nothing()
    assigned.when(TimeOutTicket(late_at)).then_types(TicketTimedOut)
    again = given(TICKET, RETRIED, *ASSIGNED[1:]).when(TimeOutTicket(late_at))
    again.then_types(TicketTimedOut, TicketRetryScheduled)
    once = msgspec.structs.replace(RETRIED, delivery_mode=DeliveryMode.AT_MOST_ONCE)
    given(TICKET, once, *ASSIGNED[1:]).when(TimeOutTicket(late_at)).then_types(TicketTimedOut)
    old = msgspec.structs.replace(DISPATCHED, start_by=0)
    assert TICKET.timers(given(TICKET, *ASSIGNED[:-1], old).state) == {}


def test_a_claim_on_a_slot_is_counted_until_it_ends() -> None:
    counted: Counter[str] = Counter()
    state = None
    for event in (*RUNNING, COMPLETED):
        before, state = state, TICKET.evolve(state, event)
        counted.update(dict(TICKET.counters(event, before, state)))
        claims = counted[tally.outstanding(AGENT)]
        assert claims == (state.slot is not None) == (event in (ALLOCATED, DISPATCHED, STARTED))
        assert counted[tally.queued("d-1")] == (event is READY)


def test_a_result_before_the_start_implies_the_start() -> None:
    given(TICKET, *ASSIGNED).when(result()).then(STARTED, COMPLETED)


@pytest.mark.parametrize(
    ("outcome", "event", "status"),
    [
        (Outcome.COMPLETED, TicketCompleted, Status.COMPLETED),
        (Outcome.FAILED, TicketFailed, Status.FAILED),
        (Outcome.TIMED_OUT, TicketTimedOut, Status.TIMED_OUT),
        (Outcome.CANCELLED, TicketCancelled, Status.CANCELLED),
    ],
)
def test_each_outcome_ends_the_ticket_and_a_repeat_changes_nothing(
    outcome: Outcome, event: type[Any], status: Status
) -> None:
    report = result(outcome, error="" if outcome is Outcome.COMPLETED else "no")
    given(TICKET, *RUNNING).when(report).then_types(event)
    assert given(TICKET, *RUNNING).when(report).state.status is status
    given(TICKET, *RUNNING).when(report, report).then_nothing()


def test_an_unknown_outcome_is_rejected() -> None:
    given(TICKET, *RUNNING).when(result(Outcome.UNKNOWN)).then_rejected("outcome is missing")


@pytest.mark.parametrize(
    ("history", "report", "reason"),
    [
        ((CREATED,), result(), "never given to an agent"),
        ((CREATED, READY), result(), "never given to an agent"),
        ((CREATED,), RecordStart(1, AGENT, NOW, NOW + 6), "never given to an agent"),
        (RUNNING, result(attempt=2), "about attempt 2, and the ticket's last is 1"),
        (RUNNING, result(attempt=0), "about attempt 0"),
        (RUNNING, RecordStart(2, AGENT, NOW, NOW + 6), "about attempt 2"),
        (RUNNING, result(agent_id="agent-2"), "was given to agent-1"),
        (RUNNING, result(completed_at=NOW), "ended before it began"),
        ((*RUNNING, COMPLETED), result(Outcome.FAILED), "ended as COMPLETED already"),
        ((*RUNNING, COMPLETED), result(outputs={"x": "2"}), "ended as COMPLETED already"),
        ((*RUNNING, TicketCancelled(*IDS, "stop", NOW)), result(), "ended as CANCELLED already"),
    ],
)
def test_a_report_that_cannot_be_true_is_put_aside_once(
    history: tuple[Any, ...], report: RecordStart | RecordResult, reason: str
) -> None:
    when = given(TICKET, *history).when(report)
    when.then_types(TicketResultRefused)
    assert reason in when.events[0].reason
    assert when.state.status is given(TICKET, *history).state.status
    given(TICKET, *history).when(report, report).then_nothing()


def test_a_late_start_of_the_same_attempt_is_nothing_new() -> None:
    given(TICKET, *RUNNING).when(RecordStart(1, AGENT, NOW + 2, NOW + 6)).then_nothing()
    given(TICKET, *RUNNING, COMPLETED).when(RecordStart(1, AGENT, NOW + 2, NOW + 6)).then_nothing()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"outputs": {"x": "y" * made.OUTPUT_BYTES_MAX}}, "make a file of them"),
        ({"artifacts": (artifact("w"),) * (made.ARTIFACTS_MAX + 1)}, "make an archive of them"),
        ({"artifacts": (artifact("w" * 70_000), artifact("v" * 70_000))}, "names and URIs"),
    ],
)
def test_a_result_too_large_for_the_log_fails_the_ticket_and_says_why(
    changes: dict[str, Any], reason: str
) -> None:
    (failed,) = given(TICKET, *RUNNING).when(result(**changes)).events
    assert isinstance(failed, TicketFailed)
    assert reason in failed.error
    assert (failed.outputs, failed.artifacts) == ({}, ())


def test_what_a_stranger_writes_is_cut() -> None:
    (refused,) = given(TICKET, *RUNNING).when(result(agent_id="x" * 100_000)).events
    assert len(refused.agent_id) == 128
    (cancelled,) = given(TICKET, *RUNNING).when(CancelTicket("x" * 100_000, NOW)).events
    assert len(cancelled.reason) == 1_000


def test_a_long_error_is_cut() -> None:
    (failed,) = given(TICKET, *RUNNING).when(result(Outcome.FAILED, error="x" * 100_000)).events
    assert len(failed.error) == 16_384


def test_a_ticket_whose_inputs_are_missing_fails_without_an_attempt() -> None:
    give_up = GiveUpTicket("task x made none of its outputs named y", NOW)
    when = given(TICKET, CREATED, READY).when(give_up)
    when.then_types(TicketFailed)
    assert (when.state.status, when.state.attempt) == (Status.FAILED, 0)
    given(TICKET, *RUNNING).when(give_up).then_rejected("RUNNING is not waiting")


@pytest.mark.parametrize(
    ("history", "attempt"),
    [((CREATED,), ()), ((CREATED, READY), ()), (ASSIGNED, (1, AGENT)), (RUNNING, (1, AGENT))],
)
def test_an_unfinished_ticket_can_be_cancelled(history: tuple[Any, ...], attempt: tuple[Any, ...]) -> None:
    given(TICKET, *history).when(CANCEL).then(TicketCancelled(*IDS, "no longer wanted", NOW + 9, *attempt))
    given(TICKET, *history).when(CANCEL, CANCEL).then_nothing()


def test_a_finished_ticket_stays_as_it_is() -> None:
    given(TICKET, *RUNNING, COMPLETED).when(CANCEL).then_nothing()
    given(TICKET, *RUNNING, COMPLETED).when(ReadyTicket(NOW)).then_nothing()
    given(TICKET, *RUNNING, COMPLETED).when(DISPATCH).then_rejected("COMPLETED cannot become ASSIGNED")
    given(TICKET, CREATED, CREATED).when(DISPATCH).then_rejected("PENDING cannot become ASSIGNED")
    cancelled = TicketCancelled(*IDS, "stop", NOW)
    given(TICKET, CREATED, cancelled).when(ReadyTicket(NOW)).then_rejected("CANCELLED cannot become READY")


def test_helpers() -> None:
    running = given(TICKET, *RUNNING).state
    once_more = msgspec.structs.replace(CREATED, task=task("a", max_retries=1))
    failed = msgspec.structs.replace(
        given(TICKET, *RUNNING).when(result(Outcome.FAILED)).state, created=once_more
    )
    completed = given(TICKET, *RUNNING, COMPLETED).state
    deadline = CREATED.deadline_at
    assert not is_expired(running, deadline)
    assert is_expired(running, deadline + 1)
    assert not is_expired(completed, deadline + 1)
    assert can_retry(failed, deadline)
    assert not can_retry(failed, deadline + 1)
    assert not can_retry(completed, NOW)
    at_most_once = msgspec.structs.replace(once_more, delivery_mode=DeliveryMode.AT_MOST_ONCE)
    assert not can_retry(msgspec.structs.replace(failed, created=at_most_once), NOW)
    assert not can_retry(msgspec.structs.replace(failed, attempt=2), NOW)
    assert msgspec.structs.replace(failed, attempt=3).retry_count == 2
    assert given(TICKET, CREATED).state.retry_count == 0
    assert content_hash(running) == content_hash(completed)
    other = given(TICKET, msgspec.structs.replace(CREATED, plan_id="p-2")).state
    assert content_hash(other) != content_hash(running)


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.TIMED_OUT])
def test_what_went_wrong_is_tried_again_after_a_wait(outcome: Outcome) -> None:
    when = given(TICKET, RETRIED, *RUNNING[1:]).when(result(outcome, error="no"))
    ended, again = when.events
    assert isinstance(ended, TicketFailed | TicketTimedOut)
    assert again == TicketRetryScheduled(*IDS, 1, NOW + 6 + 1_000_000, "no")
    waiting = when.state
    assert (waiting.status, TICKET.timers(waiting)) == (Status.PENDING, {"retry": again.due_at})
    assert given(TICKET, RETRIED, *RUNNING[1:]).when(result(outcome), result(outcome)).events == []
    ready = given(TICKET, RETRIED, *RUNNING[1:], *when.events, READY)
    (dispatched,) = ready.when(ALLOCATE, DISPATCH).events
    assert dispatched.attempt == 2


def test_a_stale_attempt_is_put_aside_and_the_next_one_counts() -> None:
    failed = given(TICKET, RETRIED, *RUNNING[1:]).when(result(Outcome.FAILED)).events
    second = (RETRIED, *RUNNING[1:], *failed, READY, msgspec.structs.replace(DISPATCHED, attempt=2))
    given(TICKET, *second[:-2]).when(result()).then_types(TicketResultRefused)
    given(TICKET, *second).when(result()).then_types(TicketResultRefused)
    given(TICKET, *second).when(result(attempt=2)).then_types(TicketStarted, TicketCompleted)


def test_the_last_attempt_is_the_last() -> None:
    third = msgspec.structs.replace(DISPATCHED, attempt=3)
    when = given(TICKET, RETRIED, READY, third).when(result(Outcome.FAILED, attempt=3))
    when.then_types(TicketStarted, TicketFailed)
    assert when.state.retry_count == 2


def test_nothing_is_tried_again_after_the_deadline() -> None:
    late = msgspec.structs.replace(DISPATCHED, deadline_at=NOW + 1_000_000)
    given(TICKET, RETRIED, READY, late, STARTED).when(result(Outcome.FAILED)).then_types(TicketFailed)


def test_what_is_delivered_at_most_once_is_never_tried_again() -> None:
    once = msgspec.structs.replace(RETRIED, delivery_mode=DeliveryMode.AT_MOST_ONCE)
    given(TICKET, once, *RUNNING[1:]).when(result(Outcome.FAILED)).then_types(TicketFailed)


def test_what_is_delivered_exactly_once_is_tried_again_only_if_it_never_began() -> None:
    once = msgspec.structs.replace(RETRIED, delivery_mode=DeliveryMode.EXACTLY_ONCE)
    assigned, running = given(TICKET, once, *ASSIGNED[1:]), given(TICKET, once, *RUNNING[1:])
    late = TimeOutTicket(BEGINS_BY + GRACE_MS * 1_000)
    assigned.when(late).then_types(TicketTimedOut, TicketRetryScheduled)
    assigned.when(result(Outcome.TIMED_OUT)).then_types(TicketTimedOut, TicketRetryScheduled)
    assigned.when(result(Outcome.FAILED)).then_types(TicketStarted, TicketFailed)
    running.when(result(Outcome.FAILED)).then_types(TicketFailed)
    running.when(result(Outcome.TIMED_OUT)).then_types(TicketTimedOut)
    lost = running.when(TimeOutTicket(EXPIRES_AT))
    lost.then_types(TicketTimedOut)
    assert not can_retry(lost.state, NOW)
    # The second attempt is judged by itself: it has begun.
    second = (*assigned.when(late).events, READY, ALLOCATED, msgspec.structs.replace(DISPATCHED, attempt=2))
    again = given(TICKET, once, *ASSIGNED[1:], *second)
    again.when(result(Outcome.FAILED, attempt=2)).then_types(TicketStarted, TicketFailed)
    # Whoever has looked may ask.
    asked = RetryNow("the target has nothing of it", "ann", NOW + 9)
    given(TICKET, once, *RUNNING[1:], *lost.events).when(asked).then_types(TicketRetryScheduled)


def test_a_ticket_that_waits_for_its_next_attempt_can_be_cancelled() -> None:
    failed = given(TICKET, RETRIED, *RUNNING[1:]).when(result(Outcome.FAILED)).events
    when = given(TICKET, RETRIED, *RUNNING[1:], *failed).when(CANCEL)
    when.then_types(TicketCancelled)
    assert TICKET.timers(when.state) == {}


def test_an_attempt_that_is_not_heard_of_has_timed_out() -> None:
    assert TICKET.timers(given(TICKET, *RUNNING).state) == {"timeout": EXPIRES_AT}
    given(TICKET, *RUNNING).when(TimeOutTicket(EXPIRES_AT - 1)).then_nothing()
    when = given(TICKET, *RUNNING).when(TimeOutTicket(EXPIRES_AT))
    when.then_types(TicketTimedOut)
    assert (when.state.status, TICKET.timers(when.state)) == (Status.TIMED_OUT, {})
    retried = given(TICKET, RETRIED, *RUNNING[1:])
    retried.when(TimeOutTicket(EXPIRES_AT)).then_types(TicketTimedOut, TicketRetryScheduled)
    given(TICKET, *RUNNING, COMPLETED).when(TimeOutTicket(EXPIRES_AT)).then_nothing()


def test_a_start_of_before_time_outs_never_expires() -> None:
    stored = {"ticket_id": IDS[0], "workflow_id": "d-1", "attempt": 1, "agent_id": AGENT, "started_at": NOW}
    old = given(TICKET, *ASSIGNED, event_of(TICKET, "TicketStarted", stored)).state
    assert (old.status, TICKET.timers(old)) == (Status.RUNNING, {})


def undoing(*history: Any) -> Any:
    """A compensation that an agent has."""
    ready = given(TICKET, *history).when(COMPENSATE).events
    chosen = given(TICKET, *history, *ready).when(ALLOCATE).events
    given_out = given(TICKET, *history, *ready, *chosen).when(UNDO).events
    return given(TICKET, *history, *ready, *chosen, *given_out)


GIVEN_AGAIN = (ReadyTicket(NOW, NOW), ALLOCATE, UNDO)


def test_what_was_done_is_undone_once() -> None:
    done = (*RUNNING, COMPLETED)
    (ready,) = given(TICKET, *done).when(COMPENSATE).events
    assert (ready.compensates, ready.expires_at) == (True, COMPENSATE.expires_at)
    waiting = given(TICKET, *done, ready)
    assert TICKET.timers(waiting.state) == {"timeout": COMPENSATE.expires_at}
    waiting.when(COMPENSATE).then_nothing()
    waiting.when(CANCEL).then_nothing()
    waiting.when(TimeOutTicket(COMPENSATE.expires_at)).then_types(TicketCompensationFailed)
    (given_out,) = waiting.when(ALLOCATE, UNDO).events
    assert (given_out.attempt, given_out.compensates, given_out.command) == (2, True, ("undo",))
    given_back = undoing(*done)
    given_back.when(COMPENSATE).then_nothing()
    given_back.when(CANCEL).then_nothing()
    given_back.when(result()).then_types(TicketResultRefused)
    given_back.when(result(attempt=2)).then_types(TicketStarted, TicketCompensated)
    undone = given_back.when(result(attempt=2)).state
    assert (undone.status, undone.made.outputs) == (Status.COMPENSATED, {"x": "1"})
    given_back.when(result(attempt=2), COMPENSATE).then_nothing()
    given(TICKET, *RUNNING).when(COMPENSATE).then_rejected("RUNNING has done nothing")


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.TIMED_OUT, Outcome.CANCELLED])
def test_what_cannot_be_undone_is_tried_three_times_and_stays_completed(outcome: Outcome) -> None:
    before: list[TicketCommand] = []
    for attempt, wait_us in ((2, 1_000_000), (3, 2_000_000)):
        failing = result(outcome, attempt=attempt)
        when = undoing(*RUNNING, COMPLETED).when(*before, failing)
        when.then_types(TicketStarted, TicketCompensationFailed, TicketRetryScheduled)
        assert when.state.status is Status.PENDING
        assert TICKET.timers(when.state) == {"retry": failing.recorded_at + wait_us}
        assert when.state.made.outputs == {"x": "1"}, "it is what shall be undone"
        undoing(*RUNNING, COMPLETED).when(*before, failing, failing).then_nothing()
        (ready,) = undoing(*RUNNING, COMPLETED).when(*before, failing, ReadyTicket(NOW, NOW)).events
        assert (ready.compensates, ready.expires_at) == (True, COMPENSATE.expires_at)
        before += [failing, *GIVEN_AGAIN]
    last = undoing(*RUNNING, COMPLETED).when(*before, result(outcome, attempt=4))
    last.then_types(TicketStarted, TicketCompensationFailed)
    assert (last.state.status, TICKET.timers(last.state)) == (Status.COMPLETED, {})
    assert could_not_be_undone(last.state)


def test_what_is_undone_at_the_second_try_is_undone() -> None:
    tried = [result(Outcome.FAILED, attempt=2), *GIVEN_AGAIN]
    when = undoing(*RUNNING, COMPLETED).when(*tried, result(attempt=3))
    when.then_types(TicketStarted, TicketCompensated)
    assert not could_not_be_undone(when.state)


def test_a_silent_compensation_is_tried_again_and_once_means_once() -> None:
    given_back = undoing(*RUNNING, COMPLETED)
    (late_at,) = TICKET.timers(given_back.state).values()
    given_back.when(TimeOutTicket(late_at)).then_types(TicketCompensationFailed, TicketRetryScheduled)
    for mode in (DeliveryMode.AT_MOST_ONCE, DeliveryMode.EXACTLY_ONCE):
        once = msgspec.structs.replace(CREATED, delivery_mode=mode)
        given_back = undoing(once, *RUNNING[1:], COMPLETED)
        given_back.when(result(Outcome.FAILED, attempt=2)).then_types(TicketStarted, TicketCompensationFailed)


def test_what_cannot_be_given_out_is_not_undone() -> None:
    missing = GiveUpTicket("not there", NOW + 9)
    done = given(TICKET, *RUNNING, COMPLETED)
    done.when(COMPENSATE, missing).then_types(TicketCompensationFailed)
    done.when(COMPENSATE, missing, COMPENSATE).then_nothing()


def test_waits_double_up_to_five_minutes() -> None:
    assert [backoff_ms(n) for n in (1, 2, 3, 9, 10, 1_000)] == [
        1_000,
        2_000,
        4_000,
        256_000,
        300_000,
        300_000,
    ]


def test_a_retry_takes_back_what_the_failure_moved() -> None:
    running = given(TICKET, RETRIED, *RUNNING[1:]).state
    moved: Counter[str] = Counter()
    for event in given(TICKET, RETRIED, *RUNNING[1:]).when(result(Outcome.FAILED)).events:
        after = TICKET.evolve(running, event)
        for name, change in TICKET.counters(event, running, after):
            moved[name] += change
        running = after
    assert moved.pop(tally.outstanding(AGENT)) == -1
    assert set(moved.values()) == {0}


def test_the_end_of_a_ticket_moves_its_dependents_and_its_workflow_once() -> None:
    running = given(TICKET, *RUNNING).state
    moved = dict(TICKET.counters(COMPLETED, running, TICKET.evolve(running, COMPLETED)))
    opened = {tally.open_dependencies(ticket_id): -1 for ticket_id in CREATED.dependents}
    assert len(opened) == 2
    given_back = {tally.outstanding(AGENT): -1}
    assert moved == {tally.unfinished("d-1"): -1, tally.completed("d-1"): 1, **opened, **given_back}
    completed = TICKET.evolve(running, COMPLETED)
    refused = TicketResultRefused(*IDS, 1, AGENT, "stale")
    assert dict(TICKET.counters(refused, completed, TICKET.evolve(completed, refused))) == {}


commands: st.SearchStrategy[TicketCommand] = st.one_of(
    st.just(CREATE),
    st.just(ReadyTicket(NOW, NOW)),
    st.builds(RequeueTicket, st.sampled_from([0, NOW, NOW + 5]), st.just("why"), st.just(NOW)),
    st.just(ALLOCATE),
    st.builds(
        UnallocateTicket,
        st.sampled_from([AGENT, "agent-2"]),
        st.integers(1, 2),
        st.integers(1, 3),
        st.just("why"),
        st.just(NOW),
    ),
    st.just(DISPATCH),
    st.just(GiveUpTicket("nothing there", NOW)),
    st.builds(
        RecordStart, st.integers(0, 2), st.sampled_from([AGENT, "agent-2"]), st.just(NOW), st.just(NOW + 6)
    ),
    st.builds(
        result,
        st.sampled_from(list(Outcome)),
        attempt=st.integers(0, 2),
        agent_id=st.sampled_from([AGENT, "agent-2"]),
        completed_at=st.integers(NOW - 1, NOW + 5),
    ),
    st.just(CANCEL),
    st.just(COMPENSATE),
    st.builds(PlanCompensation, st.integers(1, 2)),
    st.just(RetryNow("again", "ann", NOW + 7)),
    st.just(CompleteElsewhere({"x": "1"}, "by hand", "ann", NOW + 7)),
    st.builds(TimeOutTicket, st.integers(EXPIRES_AT - 1, EXPIRES_AT + 1)),
)


WAY: list[TicketCommand] = [
    CREATE,
    ReadyTicket(NOW, NOW),
    ALLOCATE,
    DISPATCH,
    RecordStart(1, AGENT, NOW, NOW + 6),
]


@settings(deadline=None)
@for_all(st.sampled_from([0, 2]), st.integers(1, len(WAY)), st.lists(commands, max_size=12))
def test_any_commands_leave_an_allowed_history(retries: int, steps: int, others: list[TicketCommand]) -> None:
    order = [created(max_retries=retries), *WAY[1:steps], *others]
    state, log = None, []
    for command in order:
        before = state
        events = _decided(state, command)
        for event in events:
            after = TICKET.evolve(state, event)
            assert state is None or after.status is state.status or after.status in TRANSITIONS[state.status]
            state = after
        log += events
        assert not _decided(state, command), "a repeated command yields something new"
        if (
            before is not None
            and is_finished(before)
            and not isinstance(command, RetryNow | CompensateTicket)
        ):
            assert state is not None
            assert state.status is before.status
    folded = None
    for event in log:
        stored = event_of(TICKET, type(event).__name__, msgspec.to_builtins(event))
        folded = TICKET.evolve(folded, stored)
    assert folded == state


def _decided(state: Any, command: TicketCommand) -> list[Any]:
    try:
        return TICKET.decide(state, command)
    except Rejected:
        return []

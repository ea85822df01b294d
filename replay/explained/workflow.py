"""Why a workflow ended, or stands, as it does."""

from collections.abc import Iterator, Sequence
from typing import Final

from neural_hive.aggregates.incident import IncidentOpened, IncidentResolved
from neural_hive.aggregates.ticket import (
    TicketCancelled,
    TicketCompensated,
    TicketCompensationFailed,
    TicketCompleted,
    TicketCreated,
    TicketDispatched,
    TicketFailed,
    TicketRetryScheduled,
    TicketTimedOut,
)
from neural_hive.aggregates.workflow import (
    IntegrityChecked,
    PlanRejected,
    Status,
    Workflow,
    WorkflowAdmitted,
    WorkflowCancelled,
    WorkflowCommandRefused,
    WorkflowCompensating,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowOverdue,
    WorkflowPaused,
    WorkflowQosAdjusted,
    WorkflowQueued,
    WorkflowResumed,
    WorkflowStarted,
    WorkflowWaitEnded,
    WorkflowWaiting,
)
from neural_hive.replay.changes import time_text
from neural_hive.replay.explained.sentence import (
    SHOWN_MAX,
    Fact,
    Sentence,
    between,
    counted,
    last_of,
    listed,
    of,
    quoted,
    tell,
)

TOLD_OF_TICKETS: Final = (
    TicketCreated,
    TicketDispatched,
    TicketCompleted,
    TicketFailed,
    TicketTimedOut,
    TicketRetryScheduled,
    TicketCancelled,
    TicketCompensated,
    TicketCompensationFailed,
)
_ENDS: Final = (WorkflowCompleted, WorkflowFailed, WorkflowCancelled, PlanRejected)


def explain_workflow(workflow: Workflow, own: Sequence[Fact], related: Sequence[Fact]) -> Iterator[Sentence]:
    """`own`: the workflow's events in their order; `related`: those of its tickets and incidents, by time."""
    yield _standing(workflow, own)
    names = {f.aggregate_id: f.event.task.task_id for f in of(related, TicketCreated)}
    for fact, earlier in zip(own, (None, *own), strict=False):
        yield from _step(fact, earlier, own)
        if isinstance(fact.event, WorkflowCompensating):
            yield from _troubles(related, names)
            yield from _undone(related, names)
    if not of(own, WorkflowCompensating):
        yield from _troubles(related, names)
    if workflow.status in (Status.RUNNING, Status.COMPENSATING, Status.PAUSED):
        yield _progress(workflow, related, names)
    for fact in of(related, IncidentOpened):
        solved = next((f for f in of(related, IncidentResolved) if f.aggregate_id == fact.aggregate_id), None)
        end = f"resolved at {solved.when}: {solved.event.reason}" if solved else "it is still open"
        what = f"{fact.event.severity} incident {fact.event.kind}"
        yield tell(f"At {fact.when} a {what} was opened, {quoted(fact.event.summary)}; {end}.", fact, solved)


def _standing(workflow: Workflow, own: Sequence[Fact]) -> Sentence:
    name = f"Workflow {workflow.workflow_id} (plan {workflow.plan_id})"
    end = last_of(own, *_ENDS)
    match end.event if end else None:
        case WorkflowCompleted() as event if end:
            done = counted(event.completed_count, "task")
            return tell(
                f"{name} is COMPLETED since {end.when}: all of its {done}, in {_took(event.duration_ms)}.",
                end,
            )
        case WorkflowFailed() as event if end:
            return tell(
                f"{name} FAILED at {end.when}, after {_took(event.duration_ms)}: {event.reason}.", end
            )
        case WorkflowCancelled() as event if end:
            who = event.requested_by or "somebody"
            return tell(f"{name} was CANCELLED at {end.when} by {who}: {quoted(event.reason)}.", end)
        case PlanRejected() as event if end:
            return tell(f"{name} was REJECTED at {end.when}: {'; '.join(event.reasons)}.", end)
    why = f", since {workflow.failure}" if workflow.failure else ""
    return tell(f"{name} is {workflow.status}{why}.", own[-1])


def _step(fact: Fact, earlier: Fact | None, own: Sequence[Fact]) -> Iterator[Sentence]:
    event, at = fact.event, fact.when
    match event:
        case WorkflowStarted():
            tasks, due = counted(event.task_count, "task"), time_text(event.deadline_at)
            who = f", for {event.requested_by}" if event.requested_by else ""
            yield tell(f"It began at {at} with {tasks}{who}; its deadline: {due}.", fact)
        case WorkflowQueued():
            yield tell(
                f"It waited for its turn: {event.active_count} went on, and no more than {event.limit} may.",
                fact,
            )
        case WorkflowAdmitted():
            waited = f", after {between(earlier.at, fact.at)}" if earlier else ""
            yield tell(f"Its turn came at {at}{waited}.", fact)
        case WorkflowPaused() | WorkflowResumed():
            what = "paused" if isinstance(event, WorkflowPaused) else "resumed"
            yield tell(f"{event.requested_by or 'Somebody'} {what} it at {at}: {quoted(event.reason)}.", fact)
        case WorkflowQosAdjusted():
            to = f"priority {event.priority} and deadline {time_text(event.deadline_at)}"
            yield tell(
                f"{event.requested_by or 'Somebody'} gave it {to} at {at}: {quoted(event.reason)}.", fact
            )
        case WorkflowOverdue():
            yield tell(f"At {at} its deadline passed in the pause: it is to be undone once it goes on.", fact)
        case WorkflowCommandRefused():
            who = event.requested_by or "somebody"
            yield tell(f"At {at} {event.command}, asked by {who}, was refused: {event.reason}.", fact)
        case WorkflowWaiting() if earlier is None or not isinstance(earlier.event, WorkflowWaiting):
            yield _wait(fact, own)
        case WorkflowCompensating():
            undo = counted(len(event.ticket_ids), "task")
            yield tell(
                f"At {at} it had failed ({event.reason}), and {undo} had to be undone, the last first.", fact
            )
        case IntegrityChecked() if not event.sound:
            yield tell(
                f"At its end its tickets were not what was counted of them: {listed(event.findings)}.", fact
            )


def _wait(fact: Fact, own: Sequence[Fact]) -> Sentence:
    later = [f for f in of(own, WorkflowWaitEnded, *_ENDS) if f.at >= fact.at]
    until = f" until {later[0].when}, {between(fact.at, later[0].at)}," if later else ""
    ready = counted(fact.event.ready_count, "ticket")
    return tell(f"From {fact.when}{until} {ready} waited for agents: {fact.event.reason}.", fact, *later[:1])


def _troubles(related: Sequence[Fact], names: dict[str, str]) -> Iterator[Sentence]:
    """The tickets that went wrong for good, and those that were cancelled, by the reason."""
    last: dict[str, Fact] = {}
    for fact in of(related, *TOLD_OF_TICKETS):
        last[fact.aggregate_id] = fact
    wrong = [f for f in last.values() if isinstance(f.event, TicketFailed | TicketTimedOut)]
    for fact in wrong[:SHOWN_MAX]:
        how = "failed" if isinstance(fact.event, TicketFailed) else "timed out"
        attempt = f" on attempt {fact.event.attempt}" if fact.event.attempt else ""
        name = names.get(fact.aggregate_id, fact.aggregate_id)
        yield tell(f"Task {name} {how} at {fact.when}{attempt}: {quoted(fact.event.error)}.", fact)
    if len(wrong) > SHOWN_MAX:
        yield tell(f"{len(wrong) - SHOWN_MAX:,} more tasks went wrong.", *wrong[SHOWN_MAX : 2 * SHOWN_MAX])
    by_reason: dict[str, list[Fact]] = {}
    for fact in of(last.values(), TicketCancelled):
        by_reason.setdefault(fact.event.reason, []).append(fact)
    for reason, cancelled in list(by_reason.items())[:SHOWN_MAX]:
        tasks = listed([names.get(f.aggregate_id, f.aggregate_id) for f in cancelled])
        was = "was" if len(cancelled) == 1 else "were"
        yield tell(f"{tasks} {was} cancelled, since {reason}.", *cancelled[:SHOWN_MAX])


def _undone(related: Sequence[Fact], names: dict[str, str]) -> Iterator[Sentence]:
    done = of(related, TicketCompensated)
    if done:
        tasks = listed([names.get(f.aggregate_id, f.aggregate_id) for f in done])
        yield tell(f"Undone, in this order: {tasks}, the last one at {done[-1].when}.", *done[:SHOWN_MAX])
    for fact in of(related, TicketCompensationFailed)[:SHOWN_MAX]:
        name = names.get(fact.aggregate_id, fact.aggregate_id)
        yield tell(f"An attempt to undo {name} failed at {fact.when}: {quoted(fact.event.error)}.", fact)


def _progress(workflow: Workflow, related: Sequence[Fact], names: dict[str, str]) -> Sentence:
    last = {fact.aggregate_id: fact for fact in of(related, *TOLD_OF_TICKETS)}
    done, given = of(last.values(), TicketCompleted), of(last.values(), TicketDispatched)
    agents = listed([f"{names.get(f.aggregate_id)} at agent {f.event.allocated_agent_id}" for f in given])
    at_work = f"; given to agents: {agents}" if given else ""
    return tell(
        f"So far {len(done):,} of {workflow.task_count:,} tasks are completed{at_work}.", *given[:SHOWN_MAX]
    )


def _took(duration_ms: int) -> str:
    return between(0, duration_ms * 1_000)

"""Why a ticket ended, or stands, as it does."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from neural_hive.aggregates.slot import SlotRequested
from neural_hive.aggregates.ticket import (
    Status,
    Ticket,
    TicketAllocated,
    TicketCancelled,
    TicketCommandRefused,
    TicketCompensated,
    TicketCompensationFailed,
    TicketCompensationPlanned,
    TicketCompleted,
    TicketCreated,
    TicketDispatched,
    TicketFailed,
    TicketHeld,
    TicketReady,
    TicketReleased,
    TicketResultRefused,
    TicketRetryScheduled,
    TicketStarted,
    TicketTimedOut,
    TicketUnallocated,
)
from neural_hive.aggregates.vocabulary import DeliveryMode
from neural_hive.aggregates.workflow import (
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowWaiting,
)
from neural_hive.replay.changes import time_text
from neural_hive.replay.explained.exceptions import exceptions_of, explain_exceptions
from neural_hive.replay.explained.sentence import (
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

_ENDS: Final = (
    TicketCompleted,
    TicketFailed,
    TicketTimedOut,
    TicketCancelled,
    TicketCompensated,
    TicketCompensationFailed,
)


def explain_ticket(ticket: Ticket, own: Sequence[Fact], related: Sequence[Fact]) -> Iterator[Sentence]:
    """`own`: the ticket's events in their order; `related`: those of its workflow, in the order of their times."""
    created = of(own, TicketCreated)[0]
    others = {f.event.ticket_id: f for f in of(related, TicketCreated)}
    yield _standing(ticket, own, others, related)
    task, content = ticket.created.task, ticket.created
    yield tell(
        f"It was made at {created.when} of task {task.task_id} ({task.task_type}) of plan {content.plan_id}, for "
        f"workflow {content.workflow_id}; {counted(task.max_retries + 1, 'attempt')} at most.",
        created,
    )
    yield from _course(ticket, own, related, others)
    yield from explain_exceptions(exceptions_of(own), related)
    yield from _no_more(ticket, own)
    yield from _refusals(own)
    if ended := last_of(related, WorkflowCompleted, WorkflowFailed, WorkflowCancelled):
        yield tell(f"Its workflow ended at {ended.when}: {_workflow_end(ended)}.", ended)


def _standing(
    ticket: Ticket, own: Sequence[Fact], others: Mapping[str, Fact], related: Sequence[Fact]
) -> Sentence:
    name = f"Ticket {ticket.created.task.task_id} ({ticket.created.ticket_id})"
    most = ticket.created.task.max_retries + 1  # more are made for a person who asks, and to undo
    attempts = f"attempt {ticket.attempt}" + (f" of {most}" if ticket.attempt <= most else "")
    end = last_of(own, *_ENDS)
    match ticket.status:
        case Status.COMPLETED | Status.COMPENSATED | Status.CANCELLED | Status.FAILED | Status.TIMED_OUT if (
            end
        ):
            return tell(f"{name} is {ticket.status} since {end.when}, {attempts}: {_end_words(end)}.", end)
        case Status.PENDING if ticket.retry_at is not None:
            due = time_text(ticket.retry_at)
            return tell(
                f"{name} is PENDING: its next attempt is due at {due}.", last_of(own, TicketRetryScheduled)
            )
        case Status.PENDING:
            open_ones = [_task(others, t) for t in _open_dependencies(ticket, related)]
            return tell(f"{name} is PENDING: it waits for {listed(open_ones)}.", own[-1])
        case Status.READY:
            ready = last_of(own, TicketReady)
            asked = f"a slot of agent {ticket.slot.agent_id}" if ticket.slot else "an agent"
            waits = f"{asked}" if ticket.place else "its workflow, which is paused"
            held = last_of(own, TicketHeld) if ticket.held else None
            if held is not None:
                waits = f"the end of what holds it back: {_frozen(held)}"
            return tell(
                f"{name} is READY since {ready.when if ready else '?'}, and waits for {waits}.", ready, held
            )
        case Status.ASSIGNED:
            given = last_of(own, TicketDispatched)
            return tell(
                f"{name} is ASSIGNED: {attempts} is agent {ticket.agent_id}'s, which has not begun.", given
            )
        case _:
            start = last_of(own, TicketStarted)
            until = f", until {time_text(ticket.expires_at)} at most" if ticket.expires_at else ""
            return tell(
                f"{name} is {ticket.status}: agent {ticket.agent_id} works on {attempts}{until}.", start
            )


def _end_words(end: Fact) -> str:
    event = end.event
    match event:
        case TicketCompleted() if event.completed_by:
            return f"{event.completed_by} said that it is done ({quoted(event.remark)})"
        case TicketCompleted():
            return f"agent {event.agent_id} completed it{_exit(event.exit_code)}"
        case TicketFailed():
            if not event.agent_id:
                return f"it was given to no agent, {quoted(event.error)}"
            said = f"said {quoted(event.error)}" if event.error else "gave no reason"
            return f"agent {event.agent_id} {said}"
        case TicketTimedOut():
            return f"it timed out, {quoted(event.error)}"
        case TicketCancelled():
            return f"it was cancelled, since {event.reason}"
        case TicketCompensated():
            return f"agent {event.agent_id} has undone what it had done"
        case _:
            return f"what it had done could not be undone: {quoted(event.error)}"


def _frozen(held: Fact) -> str:
    """By which policies, and what for."""
    event = held.event
    policies = sorted({f"{freeze.policy_id} (revision {freeze.policy_revision})" for freeze in event.freezes})
    place = (("service", event.service), ("namespace", event.namespace))
    named = " of " + " in ".join(f"{kind} {name}" for kind, name in place if name)
    what = f"deployments{named if event.service or event.namespace else ''}"
    return f"{what} are frozen by {listed(policies)}"


def _let_go(released: Fact) -> str:
    if released.event.exception_id:
        return f"it was let go although it is frozen, by exception {released.event.exception_id}"
    return "it was not held back any more"


def _exit(code: int | None) -> str:
    return "" if code is None else f" with exit code {code}"


def _course(
    ticket: Ticket, own: Sequence[Fact], related: Sequence[Fact], others: Mapping[str, Fact]
) -> Iterator[Sentence]:
    """Attempt by attempt, from when it was ready to how it ended."""
    ready: Fact | None = None
    given: Fact | None = None
    begun: Fact | None = None
    turned_away: list[Fact] = []
    for fact in own:
        match fact.event:
            case TicketReady():
                ready, turned_away = fact, []
                yield _became_ready(ticket, fact, own, related, others)
            case TicketAllocated() | TicketUnallocated():
                turned_away.append(fact)
            case TicketHeld():
                yield tell(f"At {fact.when} it was held back: {_frozen(fact)}.", fact)
            case TicketReleased():
                yield tell(f"At {fact.when} {_let_go(fact)}.", fact)
            case TicketDispatched():
                given, begun = fact, None
                yield _was_given(fact, ready, turned_away, related)
                if (chosen := last_of(turned_away, TicketAllocated)) and chosen.event.exception_id:
                    by = chosen.event.exception_id
                    yield tell(f"It was frozen then, and went by exception {by}.", chosen)
            case TicketStarted():
                begun = fact
            case TicketRetryScheduled():
                yield _tried_again(fact, own)
            case TicketCompensationPlanned():
                yield tell(f"It stood as number {fact.event.position} among what was to be undone.", fact)
            case event if isinstance(event, _ENDS):
                yield _ended(fact, given, begun)
                given = begun = None


def _tried_again(fact: Fact, own: Sequence[Fact]) -> Sentence:
    """With the reason, if that is another one than how the last attempt ended."""
    end = last_of([f for f in own if f.at <= fact.at], *_ENDS)
    said = quoted(getattr(end.event, "error", "")) if end is not None else ""
    why = quoted(fact.event.reason)
    text = f"It was to be tried again from {time_text(fact.event.due_at)} on"
    return tell(f"{text}." if why == said else f"{text}: {why}.", fact)


def _became_ready(
    ticket: Ticket, fact: Fact, own: Sequence[Fact], related: Sequence[Fact], others: Mapping[str, Fact]
) -> Sentence:
    if fact.event.compensates:
        return tell(f"At {fact.when} it became its turn to be undone.", fact)
    if last_of([f for f in own if f.at <= fact.at], TicketRetryScheduled):
        return tell(f"It was ready again at {fact.when}.", fact)
    needed = [f for f in of(related, TicketCompleted) if f.aggregate_id in ticket.created.dependencies]
    if not needed:
        return tell(f"It depends on nothing, and was ready at {fact.when}.", fact)
    last = {f.aggregate_id: f for f in needed if f.at <= fact.at}
    names = sorted(_task(others, ticket_id) for ticket_id in last)
    were = "was" if len(names) == 1 else "were"
    return tell(
        f"It became ready at {fact.when}, when {listed(names)} {were} completed.", fact, *last.values()
    )


def _was_given(
    fact: Fact, ready: Fact | None, between_them: Sequence[Fact], related: Sequence[Fact]
) -> Sentence:
    event = fact.event
    waited = f" It had waited {between(ready.at, fact.at)} for that" if ready is not None else ""
    away = of(between_them, TicketUnallocated)
    begin = ready.at if ready is not None else 0
    queued = [
        f
        for f in of(related, SlotRequested)
        if f.event.ticket_id == event.ticket_id and begin <= f.at <= fact.at
    ]
    why = [f"agent {f.event.agent_id} had no slot free, {f.event.waiting} waited for one" for f in queued]
    why += [f"agent {f.event.agent_id} did not take it: {f.event.reason}" for f in away]
    noted = [f for f in of(related, WorkflowWaiting) if begin <= f.at <= fact.at and not why]
    why = list(dict.fromkeys(why or [f.event.reason for f in noted]))
    told = f": {'; '.join(why)}" if why else ""
    chosen = of(between_them, TicketAllocated)
    choice = _choice(chosen[-1]) if chosen else ""
    what = "to be undone by" if event.compensates else "to"
    given = (
        f"Attempt {event.attempt} was given {what} agent {event.allocated_agent_id} at {fact.when}{choice}"
    )
    return tell(
        f"{given}.{waited}{told}".removesuffix(".") + ".",
        fact,
        ready,
        *chosen[-1:],
        *queued,
        *away,
        *noted[:1],
    )


def _choice(allocated: Fact) -> str:
    event = allocated.event
    return f", chosen with a score of {event.score:.2f} among {counted(len(event.candidates), 'candidate')}"


def _ended(fact: Fact, given: Fact | None, begun: Fact | None) -> Sentence:
    event = fact.event
    if isinstance(event, TicketCancelled) or given is None:
        return tell(f"At {fact.when} {_end_words(fact)}.", fact)
    start = f" began {between(given.at, begun.at)} later and" if begun is not None else " never began and"
    lasted = between((begun or given).at, fact.at)
    match event:
        case TicketTimedOut():
            how = f"timed out after {lasted}: {quoted(event.error)}"
        case TicketFailed():
            how = f"failed after {lasted}{_exit(event.exit_code)}: {quoted(event.error)}"
        case TicketCompensationFailed():
            how = f"failed to undo it after {lasted}: {quoted(event.error)}"
        case TicketCompensated():
            how = f"had undone it after {lasted}"
        case _:
            how = f"completed it after {lasted}{_exit(event.exit_code)}"
    return tell(f"The attempt{start} {how}.", fact, begun)


def _no_more(ticket: Ticket, own: Sequence[Fact]) -> Iterator[Sentence]:
    """Why what went wrong is not tried again."""
    if ticket.status not in (Status.FAILED, Status.TIMED_OUT) or not ticket.attempt:
        return
    mode, end = ticket.created.delivery_mode, last_of(own, *_ENDS)
    if ticket.attempt > ticket.created.task.max_retries:
        why = "no attempt was left"
    elif mode is DeliveryMode.AT_MOST_ONCE or (
        mode is DeliveryMode.EXACTLY_ONCE and ticket.started_at is not None
    ):
        why = f"it may not be repeated, since its delivery mode is {mode}"
    else:
        why = f"the next attempt would have come after the deadline, {time_text(ticket.deadline_at)}"
    yield tell(f"It is not tried again: {why}.", end)


def _refusals(own: Sequence[Fact]) -> Iterator[Sentence]:
    refused = of(own, TicketResultRefused, TicketCommandRefused)
    if refused:
        what = counted(len(refused), "report or request was", "reports or requests were")
        yield tell(f"{what} refused, the last one since {quoted(refused[-1].event.reason)}.", *refused[-3:])


def _open_dependencies(ticket: Ticket, related: Sequence[Fact]) -> list[str]:
    done = {f.aggregate_id for f in of(related, TicketCompleted)}
    return [ticket_id for ticket_id in ticket.created.dependencies if ticket_id not in done]


def _task(others: Mapping[str, Fact], ticket_id: str) -> str:
    found = others.get(ticket_id)
    return found.event.task.task_id if found is not None else ticket_id


def _workflow_end(ended: Fact) -> str:
    match ended.event:
        case WorkflowCompleted():
            return "all its tasks were completed"
        case WorkflowCancelled():
            return f"{ended.event.requested_by or 'somebody'} cancelled it ({quoted(ended.event.reason)})"
        case _:
            return f"it failed, {ended.event.reason}"

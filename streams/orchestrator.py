"""The orchestrator: a decision becomes tickets, tickets become work, results become the workflow's end.

    plans.consensus          → a workflow and its tickets; those that depend on nothing are dispatched
    execution.results        → a ticket ends; what waited for it alone is dispatched, or cancelled if it failed
                             → the last one has ended and some failed: the completed ones are undone, last first
    timer "retry"            → a ticket whose last attempt went wrong is dispatched again
    timer "timeout"          → a ticket whose agent is silent has timed out
    timer "deadline"         → what is unfinished is cancelled, and the workflow has failed
    orchestration.commands   → a workflow is stopped, paused, resumed; a ticket is tried again or completed
                             → orchestration.workflows, execution.tickets

While a workflow is paused its tickets become ready, and are given to nobody; those that run go on, and count.
All events of a workflow stand in one partition: its tickets know of each other without asking another processor.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from heapq import heapify, heappop, heappush
from typing import Final

import msgspec

from neural_hive.aggregates import tally
from neural_hive.aggregates.aggregate import Event, Rejected
from neural_hive.aggregates.decision import DecisionConsolidated
from neural_hive.aggregates.made import Made, artifact_bytes
from neural_hive.aggregates.references import Filled, fill
from neural_hive.aggregates.ticket import (
    RETRY_TIMER,
    TICKET,
    TIMEOUT_TIMER,
    CancelTicket,
    CompensateTicket,
    CompleteElsewhere,
    DispatchTicket,
    GiveUpTicket,
    ReadyTicket,
    RecordResult,
    RecordStart,
    RefuseRequest,
    RetryNow,
    Ticket,
    TicketCommandRefused,
    TicketCompensated,
    TicketCompensationFailed,
    TicketDispatched,
    TicketResultRefused,
    TicketRetryScheduled,
    TimeOutTicket,
    is_finished,
)
from neural_hive.aggregates.ticket import Status as TicketStatus
from neural_hive.aggregates.ticketing import tickets_of
from neural_hive.aggregates.vocabulary import Artifact
from neural_hive.aggregates.workflow import (
    DEADLINE_TIMER,
    OPEN,
    WORKFLOW,
    AdjustService,
    FinishWorkflow,
    PauseWork,
    PlanRejected,
    ResumeWork,
    StartWorkflow,
    StopWorkflow,
    Workflow,
    WorkflowCompensating,
    WorkflowResumed,
    ticket_id_of,
)
from neural_hive.aggregates.workflow import Status as WorkflowStatus
from neural_hive.streams.kernel.system import System, Unit
from neural_hive.streams.orchestrator_messages import (
    AdjustQos,
    CancelWorkflow,
    CompleteTicket,
    PauseWorkflow,
    ReportResult,
    ReportStart,
    ResumeWorkflow,
    RetryTicket,
)

# What a ticket takes from others: values, and its inputs' names and URIs.
DISPATCH_BYTES_MAX: Final = 1024 * 1024
# The same, of all tickets that one result sets free: they share a transaction.
RELEASE_BYTES_MAX: Final = 64 * 1024 * 1024
_CHANGES_NOTHING: Final = (TicketResultRefused, TicketRetryScheduled, TicketCommandRefused)
COMPENSATION_MS: Final = 4 * 3_600_000  # how long one may wait for its agent
DEADLINE_PASSED: Final = "the deadline of the workflow has passed"


def build(agent_id: str) -> System:
    """The system, with the id of the agent that all work is given to."""
    orchestrator = System(
        "orchestrator", (WORKFLOW, TICKET), (__name__,), repartition="orchestrator.repartition"
    )

    @orchestrator.on("plans.consensus", DecisionConsolidated, route="decision_id")
    def carry_out(unit: Unit, decision: DecisionConsolidated) -> None:
        events = unit.execute(WORKFLOW, decision.decision_id, StartWorkflow(decision, unit.now))
        if not events or isinstance(events[0], PlanRejected):
            return
        tickets = tickets_of(decision, unit.now)
        for ticket in tickets:
            unit.execute(TICKET, ticket.ticket_id, ticket)
        _release(unit, (ticket.ticket_id for ticket in tickets if not ticket.dependencies), agent_id)

    @orchestrator.on("execution.results", ReportStart, route="workflow_id")
    def record_start(unit: Unit, report: ReportStart) -> None:
        _reported(unit, report.ticket_id, report.workflow_id)
        start = RecordStart(report.attempt, report.agent_id, report.started_at, unit.now)
        unit.execute(TICKET, report.ticket_id, start)

    @orchestrator.on("execution.results", ReportResult, route="workflow_id")
    def record_result(unit: Unit, report: ReportResult) -> None:
        _reported(unit, report.ticket_id, report.workflow_id)
        events = unit.execute(TICKET, report.ticket_id, _result(report, unit.now))
        _go_on(unit, report.ticket_id, events, agent_id)

    @orchestrator.on("orchestration.commands", CancelWorkflow, route="workflow_id")
    def stop(unit: Unit, command: CancelWorkflow) -> None:
        _stop(unit, command)

    @orchestrator.on("orchestration.commands", PauseWorkflow, route="workflow_id")
    def pause(unit: Unit, command: PauseWorkflow) -> None:
        pause = PauseWork(command.reason, command.requested_by, unit.now)
        unit.execute(WORKFLOW, command.workflow_id, pause)

    @orchestrator.on("orchestration.commands", ResumeWorkflow, route="workflow_id")
    def resume(unit: Unit, command: ResumeWorkflow) -> None:
        resume = ResumeWork(command.reason, command.requested_by, unit.now)
        events = unit.execute(WORKFLOW, command.workflow_id, resume)
        if events and isinstance(events[0], WorkflowResumed):
            _release(unit, _ready(unit, _workflow(unit, command.workflow_id)), agent_id)
            _finish(unit, command.workflow_id, agent_id)

    @orchestrator.on("orchestration.commands", AdjustQos, route="workflow_id")
    def adjust(unit: Unit, command: AdjustQos) -> None:
        wanted = (command.priority, command.deadline_ms, command.reason, command.requested_by)
        unit.execute(WORKFLOW, command.workflow_id, AdjustService(*wanted, unit.now))

    @orchestrator.on("orchestration.commands", RetryTicket, route="workflow_id")
    def retry(unit: Unit, command: RetryTicket) -> None:
        _reported(unit, command.ticket_id, command.workflow_id)
        workflow, by = unit.load(WORKFLOW, command.workflow_id), command.requested_by
        if workflow is not None and workflow.status not in OPEN:
            over = f"its workflow is {workflow.status}: publish the plan again, as a new decision"
            unit.execute(TICKET, command.ticket_id, RefuseRequest("RetryTicket", over, by))
            return
        events = unit.execute(TICKET, command.ticket_id, RetryNow(command.reason, by, unit.now))
        if events and isinstance(events[0], TicketRetryScheduled):
            _release(unit, [command.ticket_id], agent_id)
            _finish(unit, command.workflow_id, agent_id)

    @orchestrator.on("orchestration.commands", CompleteTicket, route="workflow_id")
    def complete(unit: Unit, command: CompleteTicket) -> None:
        _reported(unit, command.ticket_id, command.workflow_id)
        done = CompleteElsewhere(command.outputs, command.reason, command.requested_by, unit.now)
        _go_on(unit, command.ticket_id, unit.execute(TICKET, command.ticket_id, done), agent_id)

    @orchestrator.on_timer(TICKET, RETRY_TIMER)
    def try_again(unit: Unit, ticket_id: str) -> None:
        _release(unit, [ticket_id], agent_id)
        _finish(unit, _ticket(unit, ticket_id).created.workflow_id, agent_id)

    @orchestrator.on_timer(TICKET, TIMEOUT_TIMER)
    def time_out(unit: Unit, ticket_id: str) -> None:
        events = unit.execute(TICKET, ticket_id, TimeOutTicket(unit.now))
        _go_on(unit, ticket_id, events, agent_id)

    @orchestrator.on_timer(WORKFLOW, DEADLINE_TIMER)
    def give_up(unit: Unit, workflow_id: str) -> None:
        _cancel_unfinished(unit, _workflow(unit, workflow_id).roots, DEADLINE_PASSED)
        _finish(unit, workflow_id, agent_id, DEADLINE_PASSED)

    return orchestrator


def _reported(unit: Unit, ticket_id: str, workflow_id: str) -> None:
    ticket = unit.load(TICKET, ticket_id)
    if ticket is not None and ticket.created.workflow_id != workflow_id:
        raise Rejected(
            f"ticket {ticket_id} belongs to workflow {ticket.created.workflow_id}, not to {workflow_id}"
        )


def _result(report: ReportResult, now: int) -> RecordResult:
    return RecordResult(
        report.attempt,
        report.agent_id,
        report.outcome,
        report.started_at,
        report.completed_at,
        report.exit_code,
        report.outputs,
        report.artifacts,
        report.error,
        now,
    )


def _go_on(unit: Unit, ticket_id: str, events: Sequence[Event], agent_id: str) -> None:
    """What events of a ticket mean to the others, and to the workflow."""
    if events and isinstance(events[-1], TicketCompensated | TicketCompensationFailed):
        workflow = _workflow(unit, _ticket(unit, ticket_id).created.workflow_id)
        _undo(unit, workflow, workflow.compensations.index(ticket_id) + 1, agent_id)
    elif events and not isinstance(events[-1], _CHANGES_NOTHING):
        _follow(unit, ticket_id, agent_id)
        _finish(unit, _ticket(unit, ticket_id).created.workflow_id, agent_id)


def _follow(unit: Unit, ticket_id: str, agent_id: str) -> None:
    """What the end of a ticket means to those that wait for it."""
    ticket = _ticket(unit, ticket_id)
    if ticket.status is not TicketStatus.COMPLETED:
        _cancel_dependents(unit, ticket)
        return
    waiting = ticket.created.dependents
    _release(unit, (t for t in waiting if unit.count(tally.open_dependencies(t)) == 0), agent_id)


def _release(unit: Unit, ticket_ids: Iterable[str], agent_id: str) -> None:
    """Makes tickets of one workflow ready and, unless it is paused, gives them to the agent, the most urgent first."""
    tickets = [ticket for ticket_id in ticket_ids if not is_finished(ticket := _ticket(unit, ticket_id))]
    if not tickets:
        return
    workflow, left = _workflow(unit, tickets[0].created.workflow_id), RELEASE_BYTES_MAX
    for ticket in sorted(tickets, key=lambda ticket: -ticket.created.priority_score):
        unit.execute(TICKET, ticket.created.ticket_id, ReadyTicket(unit.now))
        if workflow.status is not WorkflowStatus.PAUSED:
            left -= _dispatch(unit, ticket, agent_id, left, workflow.deadline_at)


def _ready(unit: Unit, workflow: Workflow) -> list[str]:
    """The tickets that are ready and were given to nobody: what they depend on is complete, back to the roots."""
    ready, waiting, seen = [], list(workflow.roots), set(workflow.roots)
    while waiting:
        ticket = _ticket(unit, waiting.pop())
        if ticket.status is TicketStatus.READY:
            ready.append(ticket.created.ticket_id)
        elif ticket.status is TicketStatus.COMPLETED:
            waiting += [dependent for dependent in ticket.created.dependents if dependent not in seen]
            seen.update(ticket.created.dependents)
    return ready


def _dispatch(unit: Unit, ticket: Ticket, agent_id: str, bytes_left: int, deadline_at: int) -> int:
    """Gives a ticket to the agent, with what it takes from others; how many bytes that is."""
    created = ticket.created

    filled = fill(created.task, _maker(unit, created.workflow_id), DISPATCH_BYTES_MAX)
    inputs = _inputs(unit, ticket, filled)
    taken = filled.taken_bytes + artifact_bytes(inputs)
    missing = "; ".join(filled.missing) or _too_much(taken, bytes_left)
    if missing:
        unit.execute(TICKET, created.ticket_id, GiveUpTicket(missing, unit.now))
        _cancel_dependents(unit, _ticket(unit, created.ticket_id))
        return 0
    command, parameters, environment = filled.command, filled.parameters, filled.environment
    dispatch = DispatchTicket(
        agent_id, command, parameters, environment, inputs, unit.now, deadline_at=deadline_at
    )
    unit.execute(TICKET, created.ticket_id, dispatch)
    return taken


def _maker(unit: Unit, workflow_id: str) -> Callable[[str], Made]:
    """What each task of a workflow has made, by its id."""

    @cache
    def made(task_id: str) -> Made:
        source = unit.load(TICKET, ticket_id_of(workflow_id, task_id))
        return source.made if source is not None else Made()

    return made


def _too_much(taken: int, bytes_left: int) -> str:
    if taken > DISPATCH_BYTES_MAX:
        return f"what it takes from other tasks is larger than {DISPATCH_BYTES_MAX:,} bytes"
    if taken > bytes_left:
        return f"what the tasks that became ready with it take from others is larger than {RELEASE_BYTES_MAX:,} bytes"
    return ""


def _inputs(unit: Unit, ticket: Ticket, filled: Filled) -> tuple[Artifact, ...]:
    """The artifacts of all that the ticket depends on directly, and those that it names, each once."""
    direct = (made for t in ticket.created.dependencies for made in _ticket(unit, t).made.artifacts)
    return tuple({(made.uri, made.name): made for made in (*direct, *filled.artifacts)}.values())


def _cancel_dependents(unit: Unit, failed: Ticket) -> None:
    """Cancels all that can never be ready any more; the other branches go on."""
    reason = f"task {failed.created.task.task_id}, which it depends on, is {failed.status}"
    _cancel_all(unit, failed.created.dependents, reason)


def _cancel_all(unit: Unit, first: Iterable[str], reason: str) -> None:
    """Cancels tickets and all that depend on them. A ticket that was cancelled before is not followed again."""
    waiting = list(first)
    while waiting:
        ticket_id = waiting.pop()
        if unit.execute(TICKET, ticket_id, CancelTicket(reason, unit.now)):
            waiting += _ticket(unit, ticket_id).created.dependents


def _finish(unit: Unit, workflow_id: str, agent_id: str, reason: str = "") -> None:
    """Says how the workflow ended, once no ticket is unfinished and, if it failed, what was done is undone."""
    if unit.count(tally.unfinished(workflow_id)):
        return
    workflow = _workflow(unit, workflow_id)
    failed = unit.count(tally.completed(workflow_id)) < workflow.task_count
    undo = _to_undo(unit, workflow) if failed and workflow.status in OPEN else ()
    events = _say_the_end(unit, workflow_id, reason, undo)
    if events and isinstance(events[0], WorkflowCompensating):
        _undo(unit, _workflow(unit, workflow_id), 0, agent_id)


def _say_the_end(unit: Unit, workflow_id: str, reason: str = "", undo: tuple[str, ...] = ()) -> list[Event]:
    completed, failed = unit.count(tally.completed(workflow_id)), unit.count(tally.failed(workflow_id))
    cancelled = unit.count(tally.cancelled(workflow_id))
    undone = unit.count(tally.compensated(workflow_id))
    finish = FinishWorkflow(completed, failed, cancelled, unit.now, reason, undone, undo)
    return unit.execute(WORKFLOW, workflow_id, finish)


def _to_undo(unit: Unit, workflow: Workflow) -> tuple[str, ...]:
    """Completed tickets that can be undone: the last completed first, and always before what they depended on."""
    completed = _completed(unit, workflow)
    open_dependents = {
        ticket_id: sum(dependent in completed for dependent in ticket.created.dependents)
        for ticket_id, ticket in completed.items()
    }
    order: list[str] = []
    free = [(-(completed[t].completed_at or 0), t) for t, count in open_dependents.items() if not count]
    heapify(free)
    while free:
        _, ticket_id = heappop(free)
        if completed[ticket_id].created.task.compensation:
            order.append(ticket_id)
        for needed in completed[ticket_id].created.dependencies:
            open_dependents[needed] -= 1
            if not open_dependents[needed]:
                heappush(free, (-(completed[needed].completed_at or 0), needed))
    return tuple(order)


def _completed(unit: Unit, workflow: Workflow) -> dict[str, Ticket]:
    """The completed tickets: what one depends on is complete, back to the roots."""
    found, waiting = {}, list(workflow.roots)
    while waiting:
        ticket_id = waiting.pop()
        if ticket_id in found or (ticket := _ticket(unit, ticket_id)).status is not TicketStatus.COMPLETED:
            continue
        found[ticket_id] = ticket
        waiting += ticket.created.dependents
    return found


def _undo(unit: Unit, workflow: Workflow, first: int, agent_id: str) -> None:
    """Gives the next compensation to the agent; after the last one the workflow has failed."""
    for ticket_id in workflow.compensations[first:]:
        events = unit.execute(TICKET, ticket_id, _compensation(unit, _ticket(unit, ticket_id), agent_id))
        if events and isinstance(events[0], TicketDispatched):
            return
    _say_the_end(unit, workflow.workflow_id)


def _compensation(unit: Unit, ticket: Ticket, agent_id: str) -> CompensateTicket:
    task = msgspec.structs.replace(ticket.created.task, command=ticket.created.task.compensation)
    filled = fill(task, _maker(unit, ticket.created.workflow_id), DISPATCH_BYTES_MAX)
    inputs = tuple(
        {(made.uri, made.name): made for made in (*ticket.made.artifacts, *filled.artifacts)}.values()
    )
    missing = "; ".join(filled.missing) or _too_much(
        filled.taken_bytes + artifact_bytes(inputs), DISPATCH_BYTES_MAX
    )
    filling = (filled.command, filled.parameters, filled.environment, inputs)
    deadline_at = unit.now + COMPENSATION_MS * 1_000
    return CompensateTicket(agent_id, *filling, unit.now, deadline_at, missing)


def _stop(unit: Unit, command: CancelWorkflow) -> None:
    workflow_id = command.workflow_id
    workflow = unit.load(WORKFLOW, workflow_id)
    if workflow is not None and workflow.status in OPEN:
        _cancel_unfinished(unit, workflow.roots, f"the workflow was stopped: {command.reason}")
    completed, cancelled = unit.count(tally.completed(workflow_id)), unit.count(tally.cancelled(workflow_id))
    stop = StopWorkflow(command.reason, command.requested_by, completed, cancelled, unit.now)
    unit.execute(WORKFLOW, workflow_id, stop)


def _cancel_unfinished(unit: Unit, roots: Iterable[str], reason: str) -> None:
    """Cancels every ticket that has not ended: all are reached from the roots."""
    waiting, seen = list(roots), set(roots)
    while waiting:
        ticket_id = waiting.pop()
        unit.execute(TICKET, ticket_id, CancelTicket(reason, unit.now))
        for dependent in _ticket(unit, ticket_id).created.dependents:
            if dependent not in seen:
                seen.add(dependent)
                waiting.append(dependent)


def _workflow(unit: Unit, workflow_id: str) -> Workflow:
    workflow = unit.load(WORKFLOW, workflow_id)
    assert workflow is not None, f"workflow {workflow_id} is named by another and has no events"
    return workflow


def _ticket(unit: Unit, ticket_id: str) -> Ticket:
    ticket = unit.load(TICKET, ticket_id)
    assert ticket is not None, f"ticket {ticket_id} is named by another and has no events"
    return ticket

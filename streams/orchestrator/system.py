"""The orchestrator: a decision becomes tickets, tickets become work, results become the workflow's end.

    plans.consensus          → a workflow and its tickets; those that depend on nothing wait for agents, at once or when
                               the workflow's turn comes
    whatever moves a ticket  → for those that wait agents are chosen, and asked for slots → registry.commands
                             → deployments that freezes concern are held until none does, or an exception lets them go
    registry.answers         → who got a slot is dispatched; who got none waits for another choice
                             → an agent with attempts is not heard any more: an incident
    execution.results        → a ticket ends, its slot is given back; what waited for it alone waits for an agent, or is
                               cancelled if it failed
                             → the last one has ended and some failed: the completed ones are undone, last first
    timer "retry"            → a ticket whose last attempt went wrong waits for an agent again
    timer "timeout"          → a ticket whose agent is silent has timed out
    timer "patience"         → a ticket that waits long for a slot of one agent is looked at again
    timer "wait"             → a workflow that waits for agents is looked at again
    timer "deadline"         → what is unfinished is cancelled, and the workflow has failed
    orchestration.commands   → a workflow is stopped, paused, resumed; a ticket is tried again or completed
                             → orchestration.workflows, execution.tickets, orchestration.incidents

While a workflow is paused its tickets become ready, and wait for nobody; those that run go on, and count. If it fails
meanwhile, by them or by its deadline, it is undone when it is resumed.
All events of a workflow stand in one partition: its tickets know of each other without asking another processor.
"""

from collections.abc import Callable
from functools import wraps
from time import perf_counter
from typing import Any, TypeVar

from neural_hive.aggregates import tally
from neural_hive.aggregates.aggregate import Aggregate
from neural_hive.aggregates.decision import TASKS_MAX, DecisionConsolidated
from neural_hive.aggregates.incident import INCIDENT, TICKETS_MAX, Kind
from neural_hive.aggregates.ticket import (
    PATIENCE_TIMER,
    RETRY_TIMER,
    TICKET,
    TIMEOUT_TIMER,
    UNFINISHED,
    CompleteElsewhere,
    RecordResult,
    RecordStart,
    RefuseRequest,
    RequeueTicket,
    RetryNow,
    TicketRetryScheduled,
    TimeOutTicket,
)
from neural_hive.aggregates.ticketing import tickets_of
from neural_hive.aggregates.workflow import (
    DEADLINE_TIMER,
    OPEN,
    WAIT_TIMER,
    WORKFLOW,
    AdjustService,
    PauseWork,
    PlanRejected,
    ResumeWork,
    StartWorkflow,
    Status,
    StopWorkflow,
    WorkflowPaused,
    WorkflowQosAdjusted,
    WorkflowResumed,
)
from neural_hive.streams.agents_view import AGENTS, TRAILS
from neural_hive.streams.exceptions_view import FROZEN
from neural_hive.streams.kernel.system import System, Unit
from neural_hive.streams.orchestrator.allocation import settle
from neural_hive.streams.orchestrator.audit import all_tickets, audit
from neural_hive.streams.orchestrator.course import (
    cancel_unfinished,
    finish,
    go_on,
    make_ready,
    ready_tickets,
    score_of,
    tell,
)
from neural_hive.streams.orchestrator.dispatch import do_without, give_up_place, use_slots
from neural_hive.streams.orchestrator.flow import USUAL_LIMITS, Flow, Limits
from neural_hive.streams.orchestrator.losses import note_lost, note_settled
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
from neural_hive.streams.orchestrator.turns import admit, turn_of
from neural_hive.streams.registry.messages import (
    ANSWERS,
    AttemptsLost,
    AttemptsSettled,
    SlotsDenied,
    SlotsGranted,
)

DEADLINE_PASSED = "the deadline of the workflow has passed"
M = TypeVar("M")
Handler = Callable[[Flow, M], None]


def build(limits: Limits = USUAL_LIMITS) -> System:
    """The system, with the times after which there are incidents."""
    orchestrator = System(
        "orchestrator",
        (WORKFLOW, TICKET, INCIDENT),
        (__name__,),
        repartition="orchestrator.repartition",
        views={"agents": AGENTS, "trails": TRAILS, "freezes": FROZEN},
    )

    def on(topic: str, message: type[M], route: str = "workflow_id") -> Callable[[Handler[M]], Handler[M]]:
        def declare(handler: Handler[M]) -> Handler[M]:
            orchestrator.on(topic, message, route)(_settled(handler, limits))
            return handler

        return declare

    def on_timer(aggregate: Aggregate[Any], name: str) -> Callable[[Handler[str]], Handler[str]]:
        def declare(handler: Handler[str]) -> Handler[str]:
            orchestrator.on_timer(aggregate, name)(_settled(handler, limits))
            return handler

        return declare

    @on("plans.consensus", DecisionConsolidated, "decision_id")
    def carry_out(flow: Flow, decision: DecisionConsolidated) -> None:
        started = perf_counter()
        start = StartWorkflow(decision, flow.now, turn_of(flow, decision))
        events = flow.on_workflow(decision.decision_id, start)
        validated = perf_counter()
        flow.unit.measure("C1", decision.decision_id, validated - started)
        if not events or isinstance(events[0], PlanRejected):
            return
        tickets = tickets_of(decision, flow.now)
        for ticket in tickets:
            flow.on_ticket(ticket.ticket_id, ticket)
        flow.unit.measure("C2", decision.decision_id, perf_counter() - validated)
        if flow.workflow(decision.decision_id).status is Status.RUNNING:
            make_ready(flow, (ticket.ticket_id for ticket in tickets if not ticket.dependencies))

    @on(ANSWERS, SlotsGranted)
    def dispatch(flow: Flow, granted: SlotsGranted) -> None:
        use_slots(flow, granted)

    @on(ANSWERS, SlotsDenied)
    def choose_again(flow: Flow, denied: SlotsDenied) -> None:
        do_without(flow, denied)

    @on(ANSWERS, AttemptsLost)
    def lose(flow: Flow, lost: AttemptsLost) -> None:
        note_lost(flow, lost)

    @on(ANSWERS, AttemptsSettled)
    def find_again(flow: Flow, settled: AttemptsSettled) -> None:
        note_settled(flow, settled)

    @on("execution.results", ReportStart)
    def record_start(flow: Flow, report: ReportStart) -> None:
        flow.check(report.ticket_id, report.workflow_id)
        start = RecordStart(report.attempt, report.agent_id, report.started_at, flow.now)
        flow.on_ticket(report.ticket_id, start)

    @on("execution.results", ReportResult)
    def record_result(flow: Flow, report: ReportResult) -> None:
        flow.check(report.ticket_id, report.workflow_id)
        deadline_at = flow.deadline_of(report.workflow_id)
        events = flow.on_ticket(report.ticket_id, _result(report, flow.now, deadline_at))
        go_on(flow, report.ticket_id, events)

    @on("orchestration.commands", CancelWorkflow)
    def stop(flow: Flow, command: CancelWorkflow) -> None:
        _stop(flow, command)

    @on("orchestration.commands", PauseWorkflow)
    def pause(flow: Flow, command: PauseWorkflow) -> None:
        events = flow.on_workflow(
            command.workflow_id, PauseWork(command.reason, command.requested_by, flow.now)
        )
        if events and isinstance(events[0], WorkflowPaused):
            for ticket in ready_tickets(flow, command.workflow_id, TASKS_MAX):
                nowhere = RequeueTicket(0, "its workflow is paused", flow.now)
                flow.on_ticket(ticket.created.ticket_id, nowhere)

    @on("orchestration.commands", ResumeWorkflow)
    def resume(flow: Flow, command: ResumeWorkflow) -> None:
        events = flow.on_workflow(
            command.workflow_id, ResumeWork(command.reason, command.requested_by, flow.now)
        )
        if events and isinstance(events[0], WorkflowResumed):
            _queue_again(flow, command.workflow_id)
            finish(flow, command.workflow_id, flow.workflow(command.workflow_id).overdue)

    @on("orchestration.commands", AdjustQos)
    def adjust(flow: Flow, command: AdjustQos) -> None:
        wanted = (command.priority, command.deadline_ms, command.reason, command.requested_by)
        events = flow.on_workflow(command.workflow_id, AdjustService(*wanted, flow.now))
        if events and isinstance(events[0], WorkflowQosAdjusted):
            _move_in_queue(flow, command.workflow_id)

    @on("orchestration.commands", RetryTicket)
    def retry(flow: Flow, command: RetryTicket) -> None:
        flow.check(command.ticket_id, command.workflow_id)
        workflow, by = flow.unit.load(WORKFLOW, command.workflow_id), command.requested_by
        if workflow is not None and (workflow.status not in OPEN or workflow.overdue):
            why = workflow.overdue or f"its workflow is {workflow.status}"
            over = f"{why}: publish the plan again, as a new decision"
            flow.on_ticket(command.ticket_id, RefuseRequest("RetryTicket", over, by))
            return
        events = flow.on_ticket(command.ticket_id, RetryNow(command.reason, by, flow.now))
        if events and isinstance(events[0], TicketRetryScheduled):
            make_ready(flow, [command.ticket_id])

    @on("orchestration.commands", CompleteTicket)
    def complete(flow: Flow, command: CompleteTicket) -> None:
        flow.check(command.ticket_id, command.workflow_id)
        done = CompleteElsewhere(command.outputs, command.reason, command.requested_by, flow.now)
        go_on(flow, command.ticket_id, flow.on_ticket(command.ticket_id, done))

    @on_timer(TICKET, RETRY_TIMER)
    def try_again(flow: Flow, ticket_id: str) -> None:
        make_ready(flow, [ticket_id])

    @on_timer(TICKET, TIMEOUT_TIMER)
    def time_out(flow: Flow, ticket_id: str) -> None:
        deadline_at = flow.deadline_of(flow.ticket(ticket_id).created.workflow_id)
        go_on(flow, ticket_id, flow.on_ticket(ticket_id, TimeOutTicket(flow.now, deadline_at)))

    @on_timer(TICKET, PATIENCE_TIMER)
    def look_elsewhere(flow: Flow, ticket_id: str) -> None:
        give_up_place(flow, ticket_id)

    @on_timer(WORKFLOW, WAIT_TIMER)
    def look_again(flow: Flow, workflow_id: str) -> None:
        flow.moved = True
        flow.touched[workflow_id] = None

    @on_timer(WORKFLOW, DEADLINE_TIMER)
    def give_up(flow: Flow, workflow_id: str) -> None:
        workflow = flow.workflow(workflow_id)
        late = [t for t, ticket in all_tickets(flow, workflow).items() if ticket.status in UNFINISHED]
        cancel_unfinished(flow, workflow_id, DEADLINE_PASSED)
        summary = f"{DEADLINE_PASSED} with {len(late):,} tickets unfinished"
        tell(flow, workflow, Kind.DEADLINE_PASSED, summary, tuple(late[:TICKETS_MAX]))
        finish(flow, workflow_id, DEADLINE_PASSED)

    return orchestrator


def _settled(handler: Handler[M], limits: Limits) -> Callable[[Unit, M], None]:
    """The handler, and then what its changes mean to those that wait for their turn or for agents."""

    @wraps(handler)
    def handle(unit: Unit, message: M) -> None:
        flow = Flow(unit, limits)
        handler(flow, message)
        admit(flow)
        settle(flow)

    return handle


def _result(report: ReportResult, now: int, deadline_at: int) -> RecordResult:
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
        deadline_at,
    )


def _queue_again(flow: Flow, workflow_id: str) -> None:
    """Lets what became ready in a pause wait for agents, the most urgent first."""
    workflow = flow.workflow(workflow_id)
    tickets = ready_tickets(flow, workflow_id, TASKS_MAX)
    for count, ticket in enumerate(sorted(tickets, key=lambda ticket: -ticket.created.priority_score)):
        at = flow.place(flow.now, count, score_of(ticket, workflow))
        flow.on_ticket(ticket.created.ticket_id, RequeueTicket(at, "its workflow goes on", flow.now))


def _move_in_queue(flow: Flow, workflow_id: str) -> None:
    """Gives a workflow's tickets that wait for agents the places that its priority now gives them."""
    workflow = flow.workflow(workflow_id)
    waiting = [ticket for ticket in ready_tickets(flow, workflow_id, TASKS_MAX) if ticket.is_queued]
    for count, ticket in enumerate(waiting):
        at = flow.place(ticket.ready_at, count, score_of(ticket, workflow))
        reason = f"the priority of its workflow is {workflow.priority}"
        flow.on_ticket(ticket.created.ticket_id, RequeueTicket(at, reason, flow.now))


def _stop(flow: Flow, command: CancelWorkflow) -> None:
    workflow_id = command.workflow_id
    workflow = flow.unit.load(WORKFLOW, workflow_id)
    findings: tuple[str, ...] = ()
    if workflow is not None and workflow.status in OPEN:
        cancel_unfinished(flow, workflow_id, f"the workflow was stopped: {command.reason}")
        findings = audit(flow, workflow).findings
    if workflow is not None and findings:
        tell(flow, workflow, Kind.INTEGRITY, findings[0], ())
    ended = (tally.completed(workflow_id), tally.cancelled(workflow_id))
    completed, cancelled = (flow.unit.count(name) for name in ended)
    failed = flow.unit.count(tally.failed(workflow_id))
    counts = (completed, cancelled, flow.now, failed, findings)
    flow.on_workflow(workflow_id, StopWorkflow(command.reason, command.requested_by, *counts))

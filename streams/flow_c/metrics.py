"""What the orchestrator tells Prometheus of Flow C. Counters count since the process began; gauges are what is now."""

import threading
from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from neural_hive.aggregates.aggregate import Event
from neural_hive.aggregates.incident import IncidentOpened
from neural_hive.aggregates.ticket import (
    TICKET,
    TicketAllocated,
    TicketCancelled,
    TicketCommandRefused,
    TicketCompensated,
    TicketCompensationFailed,
    TicketCompleted,
    TicketCreated,
    TicketDispatched,
    TicketFailed,
    TicketResultRefused,
    TicketRetryScheduled,
    TicketTimedOut,
    TicketUnallocated,
)
from neural_hive.aggregates.vocabulary import TaskType
from neural_hive.aggregates.workflow import (
    WORKFLOW,
    PlanRejected,
    Status,
    WorkflowCancelled,
    WorkflowCommandRefused,
    WorkflowCompensating,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowStarted,
    WorkflowWaiting,
)
from neural_hive.streams.flow_c.active import ACTIVE, Active
from neural_hive.streams.flow_c.steps import Attempt, Step
from neural_hive.streams.kernel.system import Committed, Observed

ASKED_MAX: Final = 100_000  # tickets that have asked for a slot, whose times are remembered in each partition
_WORK: Final = (
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
    30,
    60,
    300,
    900,
    1800,
    3600,
    7200,
    10_800,
    14_400,
    28_800,
    86_400,
)
_STEP: Final = (0.0005, 0.001, 0.005, 0.01, 0.05, *_WORK)
_COMPUTING: Final = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5)
_ENDS: Final[dict[type[Event], str]] = {
    TicketCompleted: "COMPLETED",
    TicketFailed: "FAILED",
    TicketTimedOut: "TIMED_OUT",
    TicketCancelled: "CANCELLED",
}
_COMPENSATION_ENDS: Final[dict[type[Event], str]] = {
    TicketCompensated: "COMPENSATED",
    TicketCompensationFailed: "FAILED",
}
_REFUSALS: Final[dict[type[Event], str]] = {
    TicketResultRefused: "result",
    TicketCommandRefused: "command",
    WorkflowCommandRefused: "command",
}


class FlowCMetrics:
    """The metrics of one process."""

    def __init__(self, active: Active, registry: CollectorRegistry = REGISTRY) -> None:
        self._lock = threading.Lock()
        # By partition: ticket id → when it asked for a slot, µs.
        self._asked_at: dict[int, dict[str, int]] = {}

        def counter(name: str, text: str) -> Counter:
            return Counter(f"neural_hive_flow_c_{name}", text, registry=registry)

        def counters(name: str, text: str, *labels: str) -> Callable[..., Counter]:
            return cache(Counter(f"neural_hive_flow_c_{name}", text, labels, registry=registry).labels)

        def seconds(name: str, text: str, buckets: Iterable[float], *labels: str) -> Histogram:
            return Histogram(
                f"neural_hive_{name}_seconds", text, labels, registry=registry, buckets=tuple(buckets)
            )

        self._validations = counters("validations", "Plans that were looked at", "result")
        self._started = counter("workflows_started", "Workflows that were begun")
        self._ended = counters("workflows_ended", "Workflows that have ended", "status")
        self._success = counter("success", "Workflows that were completed")
        self._failures = counters(
            "failures", "Workflows that have failed, undone yet or not, by why: tasks or deadline", "reason"
        )
        self._violations = counter(
            "sla_violations", "Workflows that their deadline found undone, or that ended after it"
        )
        self._created = counters("tickets_generated", "Tickets that were made of tasks", "task_type")
        self._published = counters("tickets_published", "Attempts that were given to agents", "task_type")
        self._tickets = counters(
            "tickets_ended", "Attempts and tickets that have ended", "task_type", "status"
        )
        self._retries = counters("retries", "Attempts that went wrong and are made again", "task_type")
        self._compensations = counters("compensations", "Compensations that have ended", "status")
        self._refused = counters("refused", "Results and commands that the state did not allow", "what")
        self._waits = counters(
            "waits", "Looks at which tickets of a workflow still waited, by why: no_agent or busy", "reason"
        )
        self._incidents = counters("incidents_opened", "Incidents that were opened", "kind", "severity")
        calls = Counter(
            "neural_hive_service_registry_calls",
            "Slots that were asked for, by the answer",
            ["outcome"],
            registry=registry,
        )
        self._calls = cache(calls.labels)
        self._duration = seconds(
            "flow_c_duration", "From a plan's acceptance to the end of its workflow", _WORK
        )
        self._steps = cache(seconds("flow_c_steps_duration", "How long each step took", _STEP, "step").labels)
        self._compute = cache(
            seconds("flow_c_compute", "How long each step computed", _COMPUTING, "step").labels
        )
        self._latency = seconds("service_registry_latency", "From asking for a slot to the answer", _STEP)
        self._begin_at_zero()
        _gauges(active, registry)

    def _begin_at_zero(self) -> None:
        """What appears with its first count cannot be seen to have grown: what alerts look at is there from now on."""
        for reason in ("tasks", "deadline"):
            self._failures(reason)
        for result in ("accepted", "rejected"):
            self._validations(result)
        for outcome in ("granted", "not_granted"):
            self._calls(outcome)
        for status in _COMPENSATION_ENDS.values():
            self._compensations(status)
        for what in set(_REFUSALS.values()):
            self._refused(what)
        for task_type in TaskType:
            self._created(task_type)
            self._retries(task_type)
            for status in _ENDS.values():
                self._tickets(task_type, status)

    def count(self, committed: Committed, found: Iterable[Step | Attempt]) -> None:
        """One transaction, and what has ended with it. May be called by many threads."""
        with self._lock:
            asked_at = self._asked_at.setdefault(committed.partition, {})
            self._count_events(committed.events, asked_at)
        for step in found:
            if isinstance(step, Step) and step.step != "WORKFLOW":
                self._steps(step.step).observe(step.duration_ms / 1_000)
        for measured in committed.measured:
            self._compute(measured.name).observe(measured.seconds)

    def closed(self, partition: int) -> None:
        """Forgets a partition: its answers are heard elsewhere."""
        with self._lock:
            self._asked_at.pop(partition, None)

    def _count_events(self, events: Iterable[Observed], asked_at: dict[str, int]) -> None:
        for observed in events:
            event = observed.event
            if refused := _REFUSALS.get(type(event)):
                self._refused(refused).inc()
            elif observed.aggregate == WORKFLOW.name:
                self._of_workflow(observed)
            elif observed.aggregate == TICKET.name:
                self._of_ticket(observed, asked_at)
            elif isinstance(event, IncidentOpened):
                self._incidents(event.kind, event.severity).inc()

    def _of_workflow(self, observed: Observed) -> None:
        late = observed.at >= observed.after.deadline_at
        match observed.event:
            case WorkflowStarted():
                self._validations("accepted").inc()
                self._started.inc()
            case PlanRejected():
                self._validations("rejected").inc()
            case WorkflowCompleted(duration_ms=duration_ms):
                self._end("COMPLETED", duration_ms)
                self._success.inc()
                self._violations.inc(late)
            case WorkflowCompensating():
                self._fail(late)
            case WorkflowFailed(duration_ms=duration_ms):
                self._end("FAILED", duration_ms)
                if (
                    observed.before.status is not Status.COMPENSATING
                ):  # else it had failed before it was undone
                    self._fail(late)
            case WorkflowCancelled():
                self._end("CANCELLED", None)
            case WorkflowWaiting(stranded_since=stranded_since):
                self._waits("no_agent" if stranded_since else "busy").inc()

    def _fail(self, late: bool) -> None:
        self._failures("deadline" if late else "tasks").inc()
        self._violations.inc(late)

    def _end(self, status: str, duration_ms: int | None) -> None:
        self._ended(status).inc()
        if duration_ms is not None:  # else somebody stopped it, which says nothing of its speed
            self._duration.observe(duration_ms / 1_000)

    def _of_ticket(self, observed: Observed, asked_at: dict[str, int]) -> None:
        event, ticket_id = observed.event, observed.aggregate_id
        task_type = observed.after.created.task.task_type
        match event:
            case TicketCreated():
                self._created(task_type).inc()
            case TicketAllocated():
                asked_at[ticket_id] = observed.at
                while len(asked_at) > ASKED_MAX:
                    del asked_at[next(iter(asked_at))]
            case TicketUnallocated():
                self._answered("not_granted", asked_at.pop(ticket_id, 0), observed.at)
            case TicketDispatched():
                self._answered("granted", asked_at.pop(ticket_id, 0), observed.at)
                self._published(task_type).inc()
            case TicketRetryScheduled():
                self._retries(task_type).inc()
            case _:
                if ended := _ENDS.get(type(event)):
                    asked_at.pop(ticket_id, None)
                    self._tickets(task_type, ended).inc()
                elif undone := _COMPENSATION_ENDS.get(type(event)):
                    self._compensations(undone).inc()

    def _answered(self, outcome: str, asked_at: int, at: int) -> None:
        if asked_at:  # else it was asked before this processor began
            self._calls(outcome).inc()
            self._latency.observe(max(at - asked_at, 0) / 1e6)


def _gauges(active: Active, registry: CollectorRegistry) -> None:
    """What is now, asked at each scrape."""

    def gauge(name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"neural_hive_flow_c_{name}", text, labels, registry=registry)

    workflows = gauge("workflows_active", "Workflows that go on now", "status")
    for status in ACTIVE:
        workflows.labels(status).set_function(partial(active.count, status))
    short = gauge(
        "workflows_waiting",
        "Workflows whose tickets wait: no_agent could do them, or all who could are busy",
        "reason",
    )
    for reason, nobody_can in (("no_agent", True), ("busy", False)):
        short.labels(reason).set_function(partial(active.short_of_agents, nobody_can))
    gauge("tickets_waiting", "Tickets that are ready, and no agent is chosen for them yet").set_function(
        active.waiting
    )
    gauge(
        "deadline_remaining_seconds",
        "Time to the next deadline; below 0 once it has passed, NaN if nothing goes on",
    ).set_function(active.remaining_s)
    gauge(
        "deadlines_approaching", "Workflows that go on with a tenth of their time left, or less, or none"
    ).set_function(active.approaching)

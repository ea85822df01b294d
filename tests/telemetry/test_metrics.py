"""What Prometheus is told of Flow C: counters of what was committed, and gauges that a restart does not make wrong."""

import math
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from neural_hive.aggregates.incident import INCIDENT, IncidentOpened, Kind, Severity
from neural_hive.aggregates.ticket import TICKET, Ticket, TicketCommandRefused, TicketCompensated
from neural_hive.aggregates.workflow import (
    WORKFLOW,
    Status,
    WorkflowCancelled,
    WorkflowWaitEnded,
    WorkflowWaiting,
)
from neural_hive.streams.flow_c.active import Active
from neural_hive.streams.flow_c.follow import follow
from neural_hive.streams.kernel.system import Committed, Observed, System
from tests.aggregates.making import AGENT
from tests.telemetry.history import BEGAN, HOUR_S, SECOND, History


class Followed:
    """An orchestrator that commits what a test says, and what its metrics are."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.system = System("orchestrator", (), ())
        follow(self.system, None, self.registry)

    def commit(self, *transactions: Any) -> None:
        for transaction in transactions:
            for observer in self.system.observers:
                observer(transaction)

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"neural_hive_{name}", labels)


class Kept:
    """What a partition's state holds after a history: as the kernel shows it."""

    def __init__(self, log: History) -> None:
        self._log = log

    def load(self, aggregate: Any, aggregate_id: str) -> Any:
        return self._log.states.get((aggregate.name, aggregate_id))

    def timers(self) -> Iterator[tuple[str, str, str]]:
        raise AssertionError("whoever goes on stands in a queue, also if nothing is due")

    def ids(self, aggregate: str) -> Iterator[str]:
        raise AssertionError("those that have ended are many")

    def first(self, queue: str, count: int) -> list[str]:
        found = []
        for (_, aggregate_id), state in self._log.states.items():
            aggregate = TICKET if isinstance(state, Ticket) else WORKFLOW
            if (place := aggregate.queues(state).get(queue)) is not None:
                found.append((place, aggregate_id))
        return [aggregate_id for _, aggregate_id in sorted(found)[:count]]


@pytest.fixture
def followed() -> Followed:
    return Followed()


def test_a_workflow_that_is_completed(followed: Followed) -> None:
    log = History()
    followed.commit(
        log.begun(),
        log.commit(1, log.dispatched(log.a, 1)),
        log.commit(2, log.started(log.a, 2)),
        log.commit(4, log.failed(log.a, 2, 4), log.retry(log.a, 5)),
        log.commit(5, log.ready(log.a, 5), log.dispatched(log.a, 5, 2), log.started(log.a, 5, 2)),
        log.commit(8, log.completed(log.a, 5, 8, 2), log.ready(log.b, 8), log.dispatched(log.b, 8)),
        log.commit(9, log.started(log.b, 8), log.completed(log.b, 8, 9), log.workflow_completed(9)),
    )
    value = followed.value
    assert value("flow_c_validations_total", result="accepted") == 1
    assert value("flow_c_workflows_started_total") == 1
    assert value("flow_c_workflows_ended_total", status="COMPLETED") == 1
    assert value("flow_c_success_total") == 1
    assert value("flow_c_sla_violations_total") == 0
    assert value("flow_c_duration_seconds_sum") == 9
    assert value("flow_c_tickets_generated_total", task_type="EXECUTE") == 2
    assert value("flow_c_tickets_published_total", task_type="EXECUTE") == 3
    assert value("flow_c_tickets_ended_total", task_type="EXECUTE", status="COMPLETED") == 2
    assert value("flow_c_tickets_ended_total", task_type="EXECUTE", status="FAILED") == 1
    assert value("flow_c_retries_total", task_type="EXECUTE") == 1
    assert value("flow_c_steps_duration_seconds_count", step="C5") == 3
    assert value("flow_c_steps_duration_seconds_sum", step="C5") == 2 + 3 + 1
    assert value("flow_c_steps_duration_seconds_count", step="C1") == 1
    assert value("flow_c_compute_seconds_sum", step="C2") == 0.004
    assert value("flow_c_workflows_active", status="RUNNING") == 0


def test_failures_by_reason_and_violations(followed: Followed) -> None:
    for end_s in (60, HOUR_S):  # the second one at its deadline, as the timer says it
        log = History()
        followed.commit(log.begun(deadline_s=HOUR_S), log.commit(end_s, log.workflow_failed(end_s)))
    assert followed.value("flow_c_failures_total", reason="tasks") == 1
    assert followed.value("flow_c_failures_total", reason="deadline") == 1
    assert followed.value("flow_c_sla_violations_total") == 1
    assert followed.value("flow_c_workflows_ended_total", status="FAILED") == 2
    assert followed.value("flow_c_success_total") == 0


def test_a_workflow_fails_when_that_is_decided_and_not_when_it_is_undone(followed: Followed) -> None:
    for failed_s, reason in ((60, "tasks"), (HOUR_S, "deadline")):
        log = History()
        followed.commit(log.begun(deadline_s=HOUR_S), log.commit(failed_s, log.compensating(failed_s)))
        assert followed.value("flow_c_failures_total", reason=reason) == 1
        followed.commit(log.commit(2 * HOUR_S, log.workflow_failed(2 * HOUR_S)))
        assert followed.value("flow_c_failures_total", reason=reason) == 1
    assert followed.value("flow_c_sla_violations_total") == 1
    assert followed.value("flow_c_workflows_ended_total", status="FAILED") == 2


def test_what_somebody_stops_violates_nothing(followed: Followed) -> None:
    log = History()
    cancelled = WorkflowCancelled(log.workflow, "changed our mind", "ann", 0, 2, 1)
    followed.commit(log.begun(deadline_s=60), log.commit(61, cancelled))
    assert followed.value("flow_c_workflows_ended_total", status="CANCELLED") == 1
    assert followed.value("flow_c_sla_violations_total") == 0


def test_rejections_refusals_and_compensations(followed: Followed) -> None:
    followed.commit(History().rejected())
    log = History()
    followed.commit(
        log.begun(),
        log.commit(1, log.dispatched(log.a, 1), log.started(log.a, 1), log.completed(log.a, 1, 2)),
        log.commit(3, TicketCommandRefused(log.a, log.workflow, "RetryTicket", "it is done", "ann")),
        log.commit(4, log.compensating(4), log.dispatched(log.a, 4, 2), log.started(log.a, 4, 2)),
        log.commit(5, TicketCompensated(log.a, log.workflow, 2, AGENT, BEGAN, BEGAN + SECOND, 0, ())),
    )
    assert followed.value("flow_c_validations_total", result="rejected") == 1
    assert followed.value("flow_c_workflows_started_total") == 1
    assert followed.value("flow_c_refused_total", what="command") == 1
    assert followed.value("flow_c_compensations_total", status="COMPENSATED") == 1
    assert followed.value("flow_c_workflows_active", status="COMPENSATING") == 1


def test_slots_that_are_asked_for_and_tickets_that_wait(followed: Followed) -> None:
    log = History()
    followed.commit(log.begun())
    assert followed.value("flow_c_tickets_waiting") == 1
    followed.commit(log.commit(1, log.allocated(log.a, 1)))
    assert followed.value("flow_c_tickets_waiting") == 0
    followed.commit(log.commit(3, log.unallocated(log.a, 3)))
    assert followed.value("flow_c_tickets_waiting") == 1
    followed.commit(log.commit(5, log.allocated(log.a, 5, 2)), log.commit(6, log.dispatched(log.a, 6)))
    assert followed.value("flow_c_tickets_waiting") == 0
    assert followed.value("service_registry_calls_total", outcome="not_granted") == 1
    assert followed.value("service_registry_calls_total", outcome="granted") == 1
    assert followed.value("service_registry_latency_seconds_sum") == 2 + 1
    assert followed.value("flow_c_steps_duration_seconds_sum", step="C3") == 6

    # A partition that goes elsewhere takes its tickets along, and its answers are heard there.
    followed.commit(log.commit(7, log.ready(log.b, 7)))
    for opened in followed.system.opened:
        opened(log.partition, Kept(log))
    assert followed.value("flow_c_tickets_waiting") == 1
    followed.commit(log.commit(8, log.allocated(log.b, 8)))
    for closed in followed.system.closed:
        closed(log.partition)
    assert followed.value("flow_c_tickets_waiting") == 0
    for opened in followed.system.opened:
        opened(log.partition, Kept(log))
    assert followed.value("flow_c_tickets_waiting") == 0
    assert followed.value("flow_c_workflows_active", status="RUNNING") == 1
    followed.commit(log.commit(9, log.dispatched(log.b, 9)))
    assert followed.value("service_registry_calls_total", outcome="granted") == 1


def test_that_nobody_can_is_told_apart_from_that_all_are_busy(followed: Followed) -> None:
    busy, stranded = History(0), History(1)
    for log, since in ((busy, 0), (stranded, BEGAN)):
        waiting = WorkflowWaiting(log.workflow, BEGAN, BEGAN + SECOND, 1, "why", since)
        followed.commit(log.begun(), log.commit(1, waiting))
    for reason in ("no_agent", "busy"):
        assert followed.value("flow_c_workflows_waiting", reason=reason) == 1
        assert followed.value("flow_c_waits_total", reason=reason) == 1
    followed.commit(stranded.commit(2, WorkflowWaitEnded(stranded.workflow, BEGAN)))
    assert followed.value("flow_c_workflows_waiting", reason="no_agent") == 0


def test_incidents_by_kind_and_severity(followed: Followed) -> None:
    event = IncidentOpened("i", "w", Kind.NO_AGENT, Severity.HIGH, "nobody can do it", (), BEGAN)
    incident = INCIDENT.evolve(None, event)
    followed.commit(Committed(0, (Observed(INCIDENT.name, "i", event, None, incident, BEGAN),), ()))
    assert followed.value("flow_c_incidents_opened_total", kind="NO_AGENT", severity="HIGH") == 1


def test_gauges_begin_with_the_state_and_forget_what_goes_elsewhere() -> None:
    log, done = History(0), History(1)
    log.begun(deadline_s=1_000)
    done.begun()
    done.commit(9, done.workflow_completed(9))
    now_s = [BEGAN / SECOND + 100]
    active = Active(lambda: now_s[0])
    assert (active.count(Status.RUNNING), active.approaching()) == (0, 0)
    assert math.isnan(active.remaining_s())

    active.opened(0, Kept(log))
    active.opened(1, Kept(done))
    assert active.count(Status.RUNNING) == 1
    assert active.remaining_s() == 900
    assert active.approaching() == 0
    now_s[0] += 801
    assert active.approaching() == 1

    active.follow(0, log.commit(990, log.compensating(990)).events)
    assert (active.count(Status.RUNNING), active.count(Status.COMPENSATING)) == (0, 1)
    now_s[0] += 200
    assert active.remaining_s() == -101

    active.closed(0)
    assert (active.count(Status.COMPENSATING), active.approaching()) == (0, 0)
    # Opened again elsewhere or here.
    active.opened(0, Kept(log))
    assert active.count(Status.COMPENSATING) == 1
    active.follow(0, log.commit(1_300, log.workflow_failed(1_300)).events)
    assert active.count(Status.COMPENSATING) == 0

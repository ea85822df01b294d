"""Which steps and attempts follow from what was committed, and how long they took."""

from typing import Any

import msgspec
import pytest

from neural_hive.schemas.codec import encode_message
from neural_hive.schemas.envelope import Header
from neural_hive.streams.flow_c.steps import (
    ATTEMPTS_TOPIC,
    STEPS_TOPIC,
    Attempt,
    Step,
    Stopwatch,
    messages,
)
from neural_hive.streams.kernel.system import Committed, Measured
from tests.telemetry.history import History


def short(found: list[Step | Attempt]) -> list[tuple[Any, ...]]:
    """Step, status and ms of each step; the attempts apart."""
    return [(one.step, one.status, one.duration_ms) for one in found if isinstance(one, Step)]


def attempts(found: list[Step | Attempt]) -> list[tuple[Any, ...]]:
    return [
        (one.attempt, one.status, one.allocation_ms, one.dispatch_ms, one.execution_ms)
        for one in found
        if isinstance(one, Attempt)
    ]


def measured(watch: Stopwatch, *transactions: Committed) -> list[Step | Attempt]:
    return [one for transaction in transactions for one in watch.measured(transaction)]


def test_a_workflow_from_begin_to_end() -> None:
    log, watch = History(), Stopwatch()
    assert short(watch.measured(log.begun())) == [("C1", "COMPLETED", 2.0), ("C2", "COMPLETED", 4.0)]
    assert short(watch.measured(log.commit(2, log.dispatched(log.a, 2)))) == [("C3", "COMPLETED", 2_000.0)]
    assert short(watch.measured(log.commit(3, log.started(log.a, 2.5)))) == [("C4", "COMPLETED", 500.0)]
    found = watch.measured(log.commit(9, log.completed(log.a, 2.5, 8.5), log.ready(log.b, 9)))
    assert short(found) == [("C5", "COMPLETED", 6_000.0)]
    assert attempts(found) == [(1, "COMPLETED", 2_000.0, 500.0, 6_000.0)]
    [attempt] = [one for one in found if isinstance(one, Attempt)]
    assert (attempt.task_id, attempt.agent_id, attempt.estimated_ms) == ("a", "agent-1", 1_500)
    assert (attempt.plan_id, attempt.task_type, attempt.compensates) == ("p-1", "EXECUTE", False)
    # All of it in one transaction: no step took any time, and each is told all the same.
    everything = (
        log.dispatched(log.b, 9),
        log.started(log.b, 9),
        log.completed(log.b, 9, 9),
        log.workflow_completed(9),
    )
    end = log.commit(9, *everything, measured=(Measured("C6", log.workflow, 0.003),))
    assert short(watch.measured(end)) == [
        ("C3", "COMPLETED", 0.0),
        ("C4", "COMPLETED", 0.0),
        ("C5", "COMPLETED", 0.0),
        ("WORKFLOW", "COMPLETED", 9_000.0),
        ("C6", "COMPLETED", 3.0),
    ]


def test_each_attempt_is_measured_on_its_own() -> None:
    log, watch = History(), Stopwatch()
    watch.measured(log.begun())
    found = measured(
        watch,
        log.commit(1, log.dispatched(log.a, 1)),
        log.commit(2, log.started(log.a, 2)),
        log.commit(4, log.failed(log.a, 2, 4), log.retry(log.a, 10)),
        log.commit(10, log.ready(log.a, 10), log.dispatched(log.a, 11, 2)),
        log.commit(14, log.started(log.a, 13, 2), log.completed(log.a, 13, 14, 2)),
    )
    assert attempts(found) == [
        (1, "FAILED", 1_000.0, 1_000.0, 2_000.0),
        (2, "COMPLETED", 1_000.0, 2_000.0, 1_000.0),
    ]
    assert [(one.step, one.attempt) for one in found if isinstance(one, Step)] == [
        *(("C3", 1), ("C4", 1), ("C5", 1)),
        *(("C3", 2), ("C4", 2), ("C5", 2)),
    ]


def test_a_refused_plan() -> None:
    assert short(Stopwatch().measured(History().rejected())) == [("C1", "REJECTED", 1.0)]


def test_an_agents_clock_that_is_wrong_makes_no_time_that_cannot_be() -> None:
    log, watch = History(), Stopwatch()
    watch.measured(log.begun())
    watch.measured(log.commit(10, log.dispatched(log.a, 10)))
    early, late = log.started(log.a, 5), log.started(log.a, 500)
    assert short(watch.measured(log.commit(12, early))) == [("C4", "COMPLETED", 0.0)]
    assert short(watch.measured(log.commit(12, late))) == [("C4", "COMPLETED", 2_000.0)]


def test_what_is_cancelled_before_it_is_given_to_anyone_is_no_attempt() -> None:
    log, watch = History(), Stopwatch()
    watch.measured(log.begun())
    assert watch.measured(log.commit(1, log.cancelled(log.a, 1), log.cancelled(log.b, 1))) == []


def test_an_attempt_that_never_began_has_no_execution() -> None:
    log, watch = History(), Stopwatch()
    watch.measured(log.begun())
    found = measured(watch, log.commit(1, log.dispatched(log.a, 1)), log.commit(3, log.cancelled(log.a, 3)))
    assert short(found) == [("C3", "COMPLETED", 1_000.0)]
    assert attempts(found) == [(1, "CANCELLED", 1_000.0, None, None)]


def test_what_was_on_its_way_before_this_process_is_not_guessed() -> None:
    log, before = History(), Stopwatch()
    measured(before, log.begun(), log.commit(1, log.dispatched(log.a, 1)))
    before.closed(log.partition)
    for watch in (before, Stopwatch()):
        states = dict(log.states)  # the same for both
        found = measured(
            watch, log.commit(2, log.started(log.a, 2)), log.commit(5, log.completed(log.a, 2, 5))
        )
        assert short(found) == [("C5", "COMPLETED", 3_000.0)]
        assert attempts(found) == [(1, "COMPLETED", None, None, 3_000.0)]
        log.states = states


@pytest.mark.parametrize(("topic", "count"), [(STEPS_TOPIC, 3), (ATTEMPTS_TOPIC, 1)])
def test_measurements_fit_their_schemas_and_repeat_their_ids(topic: str, count: int) -> None:
    log, watch = History(), Stopwatch()
    found = measured(
        watch,
        log.begun(),
        log.commit(2, log.dispatched(log.a, 2)),
        log.commit(4, log.cancelled(log.a, 4)),
    )
    made, again = ([one for one in messages(found) if one.topic == topic] for _ in range(2))
    assert len(made) == count
    assert [one.seed for one in made] == [one.seed for one in again]
    assert len({one.seed for one in made}) == count
    for one in made:
        header = Header("id", one.message_type, 1, one.routing_id, "", "", "", "", "test")
        assert encode_message(header, msgspec.to_builtins(one.payload))

"""Work and bytes per ticket follow its own dependencies, not the size or the shape of its workflow."""

import random
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from neural_hive.aggregates.ticket import Status
from neural_hive.aggregates.vocabulary import Outcome
from neural_hive.aggregates.workflow import Status as WorkflowStatus
from tests.aggregates.making import AGENT, decision, task
from tests.orchestrator.running import Run

Shape = Callable[[int, int], list[str]]


def chain(n: int, size: int) -> list[str]:
    return [f"t{n - 1}"] if n else []


def fan_out(n: int, size: int) -> list[str]:
    return ["t0"] if n else []


def fan_in(n: int, size: int) -> list[str]:
    return [f"t{m}" for m in range(size - 1)] if n == size - 1 else []


def scattered(n: int, size: int) -> list[str]:
    chance = random.Random(n)
    return [f"t{m}" for m in sorted({chance.randrange(n) for _ in range(3)})] if n else []


def independent(n: int, size: int) -> list[str]:
    return []


class Cost(NamedTuple):
    """What a whole run took for each ticket and dependency."""

    operations: float
    size_bytes: float  # of events and rows


def cost_per_part(
    shape: Shape, size: int, failing: tuple[str, ...] = (), capacity: int = 10_000, **changes: Any
) -> Cost:
    """Runs a plan of a shape to its end."""
    needs = {f"t{n}": shape(n, size) for n in range(size)}
    run = Run(decision(*(task(name, *needed, **changes) for name, needed in needs.items())), capacity)
    run.publish()
    run.finish(*failing)
    wanted = WorkflowStatus.FAILED if failing else WorkflowStatus.COMPLETED
    assert run.workflow.status is wanted
    assert len(run.statuses) == size
    assert failing or set(run.statuses.values()) == {Status.COMPLETED}
    parts = size + sum(map(len, needs.values()))
    return Cost(sum(run.unit.work.values()) / parts, run.unit.bytes_written / parts)


def same(small: Cost, large: Cost) -> bool:
    """Whether a large plan costs for each part what a small one does."""
    return large.operations < small.operations * 1.2 and large.size_bytes < small.size_bytes * 1.2


@pytest.mark.parametrize("shape", [chain, fan_out, fan_in, scattered])
def test_a_plan_of_5000_tasks_costs_per_ticket_what_a_small_one_costs(shape: Shape) -> None:
    small, large = cost_per_part(shape, 50), cost_per_part(shape, 5_000)
    assert same(small, large), (small, large)
    assert large.operations < 32


@pytest.mark.parametrize("shape", [chain, fan_out, scattered])
def test_a_failure_of_the_first_task_costs_no_more(shape: Shape) -> None:
    small, large = cost_per_part(shape, 50, ("t0",)), cost_per_part(shape, 5_000, ("t0",))
    assert same(small, large), (small, large)
    assert large.operations < 32


@pytest.mark.parametrize("shape", [independent, fan_out, scattered])
def test_a_long_queue_for_a_busy_agent_costs_no_more(shape: Shape) -> None:
    small, large = cost_per_part(shape, 50, capacity=4), cost_per_part(shape, 5_000, capacity=4)
    assert same(small, large), (small, large)
    assert large.operations < 70


@pytest.mark.parametrize("shape", [chain, independent])
def test_what_is_undone_costs_no_more_in_a_large_plan(shape: Shape) -> None:
    def cost(size: int) -> Cost:
        return cost_per_part(shape, size, (f"t{size - 1}",), capacity=1, compensation=("undo",))

    small, large = cost(50), cost(1_000)
    assert same(small, large), (small, large)


def bytes_per_look(run: Run) -> float:
    """What is written each time a workflow that waits for agents is looked at."""
    before = run.unit.bytes_written
    for _ in range(10):
        run.fire(run.waits()[0])
    return (run.unit.bytes_written - before) / 10


def waiting(size: int) -> Run:
    """Many roots, and work that takes long."""
    run = Run(decision(*(task(f"t{n}", timeout_ms=3_600_000) for n in range(size))), capacity=4)
    run.publish()
    return run


def waiting_to_undo(size: int) -> Run:
    """Much is to be undone, and nobody there to do it."""
    run = Run(decision(*(task(f"t{n}", compensation=("undo",)) for n in range(size))))
    run.publish()
    while len(run.waiting) > 1:
        run.answer(run.waiting[0])
    run.pair.deregister(AGENT)
    run.answer(run.waiting[0], Outcome.FAILED)
    assert run.workflow.status is WorkflowStatus.COMPENSATING
    return run


@pytest.mark.parametrize("kind", [waiting, waiting_to_undo])
def test_a_wait_costs_the_same_whatever_waits(kind: Callable[[int], Run]) -> None:
    assert bytes_per_look(kind(2_000)) < bytes_per_look(kind(50)) * 1.2


def ladder(n: int, size: int) -> list[str]:
    """Pairs, each depending on both of the pair before: the number of paths doubles with every pair."""
    pair = n - n % 2
    return [f"t{pair - 2}", f"t{pair - 1}"] if pair else []


def test_a_stop_looks_at_every_ticket_once_however_many_paths_lead_to_it() -> None:
    run = Run(decision(*(task(f"t{n}", *ladder(n, 24)) for n in range(24))))
    run.publish()
    before = run.unit.work.copy()
    run.stop()
    assert (run.unit.work - before)["executes"] == 24 + 1

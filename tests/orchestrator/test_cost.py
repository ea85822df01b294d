"""The work per ticket follows its own dependencies, not the size or the shape of its workflow."""

import random
from collections.abc import Callable

import pytest

from neural_hive.aggregates.ticket import Status
from neural_hive.aggregates.workflow import Status as WorkflowStatus
from tests.aggregates.making import decision, task
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


def work_per_part(shape: Shape, size: int, failing: tuple[str, ...] = (), capacity: int = 10_000) -> float:
    """Operations per ticket and dependency of a whole run."""
    needs = {f"t{n}": shape(n, size) for n in range(size)}
    run = Run(decision(*(task(name, *needed) for name, needed in needs.items())), capacity)
    run.publish()
    run.finish(*failing)
    wanted = WorkflowStatus.FAILED if failing else WorkflowStatus.COMPLETED
    assert run.workflow.status is wanted
    assert len(run.statuses) == size
    assert failing or set(run.statuses.values()) == {Status.COMPLETED}
    return sum(run.unit.work.values()) / (size + sum(map(len, needs.values())))


@pytest.mark.parametrize("shape", [chain, fan_out, fan_in, scattered])
def test_a_plan_of_5000_tasks_costs_per_ticket_what_a_small_one_costs(shape: Shape) -> None:
    small, large = work_per_part(shape, 50), work_per_part(shape, 5_000)
    assert large < small * 1.2
    assert large < 32


@pytest.mark.parametrize("shape", [chain, fan_out, scattered])
def test_a_failure_of_the_first_task_costs_no_more(shape: Shape) -> None:
    small, large = work_per_part(shape, 50, ("t0",)), work_per_part(shape, 5_000, ("t0",))
    assert large < small * 1.2
    assert large < 32


@pytest.mark.parametrize("shape", [fan_out, scattered])
def test_a_long_queue_for_a_busy_agent_costs_no_more(shape: Shape) -> None:
    small, large = work_per_part(shape, 50, capacity=4), work_per_part(shape, 5_000, capacity=4)
    assert large < small * 1.2
    assert large < 40


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

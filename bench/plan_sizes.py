"""What a task costs in plans of 50, 500 and 5,000: chains, fan-outs and random graphs of tasks that do nothing.

In a chain each task waits for the one before it; in a fan-out all but the first and the last go at once; in a random
graph each needs up to three of those before it.
"""

from collections import defaultdict
from collections.abc import Callable
from random import Random
from typing import Final

from bench.figures import Figures, Goal, Series, ratio
from bench.orchestration import Bench, Clock, Tell, running, task
from bench.worker import NoWork
from neural_hive.aggregates.vocabulary import Task, TaskType

SIZES: Final = (50, 500, 5_000)
ROUNDS: Final = {50: 5, 500: 2, 5_000: 1}  # for each round of the others: they take from a second to minutes
NEEDS_MAX: Final = 3
GROWTH_MAX: Final = 2.0  # a task of the largest plan costs so many times one of the smallest, at most
_TIMEOUT_S: Final = 900.0
_WARM_UP: Final = 50


def chain(size: int) -> tuple[Task, ...]:
    """One after the other."""
    return tuple(_task(number, (number - 1,) if number else ()) for number in range(size))


def fan_out(size: int) -> tuple[Task, ...]:
    """The first one, then all others at once, then the last one."""
    middle = range(1, size - 1)
    return (_task(0, ()), *(_task(number, (0,)) for number in middle), _task(size - 1, tuple(middle)))


def random_graph(size: int) -> tuple[Task, ...]:
    """Each needs up to NEEDS_MAX of those before it, whichever; always the same ones."""
    chance = Random(size)
    return tuple(
        _task(number, tuple(sorted(chance.sample(range(number), min(number, chance.randint(1, NEEDS_MAX))))))
        for number in range(size)
    )


SHAPES: Final[dict[str, Callable[[int], tuple[Task, ...]]]] = {
    "chain": chain,
    "fan-out": fan_out,
    "random": random_graph,
}


def measure(rounds: int, tell: Tell) -> list[Figures]:
    """All shapes and sizes, on one system, each plan alone on it."""
    whole: dict[str, list[float]] = defaultdict(list)
    first: dict[str, list[float]] = defaultdict(list)
    clock = Clock()
    with running() as (settings, _), NoWork(settings.kafka_config(), settings.partitions, clock.told):
        bench = Bench(settings.kafka_config(), clock)
        bench.rate(_WARM_UP, _WARM_UP)
        for _ in range(rounds):
            for size in SIZES:
                for shape, tasks_of in SHAPES.items():
                    tasks, name = tasks_of(size), _name(shape, size)
                    for _ in range(ROUNDS[size]):
                        begun_s, whole_s = bench.alone(tasks, _TIMEOUT_S)
                        first[name].append(begun_s / size * 1e3)
                        whole[name].append(whole_s / size * 1e3)
                    tell(f"{name}: first dispatch after {begun_s:.2f} s, whole {whole_s:.2f} s")
    if clock.failed:
        raise RuntimeError(f"{len(clock.failed)} workflows did not complete: {clock.failed[:5]}")
    return [
        _figures("plan-sizes", "Plan sizes: from the plan to its end, for each task", whole),
        _figures("plan-acceptance", "Plan sizes: from the plan to its first dispatch, for each task", first),
    ]


def _figures(name: str, title: str, found: dict[str, list[float]]) -> Figures:
    series = [Series(name, runs) for name, runs in found.items()]
    goals = [
        Goal(
            f"{shape}: a task of {SIZES[-1]:,} costs {GROWTH_MAX:g} × one of {SIZES[0]}, at most",
            GROWTH_MAX,
            ratio(series, _name(shape, SIZES[-1]), _name(shape, SIZES[0])),
            at_most=True,
        )
        for shape in SHAPES
    ]
    return Figures(name, title, "ms/task", series, goals)


def _name(shape: str, size: int) -> str:
    return f"{shape} of {size:,}"


def _task(number: int, needs: tuple[int, ...]) -> Task:
    return task(f"task-{number}", TaskType.BUILD, tuple(f"task-{needed}" for needed in needs))

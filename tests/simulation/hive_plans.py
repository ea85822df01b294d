"""Random plans: tasks that wait for each other, take from each other, are tried again, and are undone."""

import random

from neural_hive.aggregates.decision import DecisionConsolidated
from neural_hive.aggregates.vocabulary import (
    Consistency,
    DeliveryMode,
    Durability,
    Priority,
    RiskBand,
    SecurityLevel,
    Task,
    TaskType,
)
from tests.simulation.hive_freezes import SERVICES

TASKS_MAX = 6
DELIVERY = (
    DeliveryMode.AT_LEAST_ONCE,
    DeliveryMode.AT_LEAST_ONCE,
    DeliveryMode.AT_MOST_ONCE,
    DeliveryMode.EXACTLY_ONCE,
)
INVALID = 0.05  # how often a plan is one that must be rejected


def random_plan(chance: random.Random, decision_id: str, may_undo: bool) -> DecisionConsolidated:
    """A plan; a few are not valid."""
    tasks = [_task(chance, number, may_undo) for number in range(chance.randint(1, TASKS_MAX))]
    if chance.random() < INVALID:
        tasks.append(tasks[0])
    chance.shuffle(tasks)
    return DecisionConsolidated(
        decision_id,
        "p-1",
        "i-1",
        chance.choice((RiskBand.LOW, RiskBand.HIGH)),
        chance.choice((Priority.LOW, Priority.NORMAL, Priority.HIGH)),
        0.9,
        chance.choice(DELIVERY),
        Consistency.EVENTUAL,
        Durability.PERSISTENT,
        tuple(tasks),
        deadline_ms=chance.choice((60_000, 1_200_000, 3_600_000)),
    )


def _task(chance: random.Random, number: int, may_undo: bool) -> Task:
    needed = [f"t{n}" for n in range(number) if chance.random() < 0.4]
    services = (*SERVICES, *(f"${{tasks.{name}.outputs.x}}" for name in needed))
    place = {"service": chance.choice(services), "namespace": chance.choice(("", "eu"))}
    taken = tuple(f"${{tasks.{name}.outputs.x}}" for name in needed if chance.random() < 0.5)
    return Task(
        f"t{number}",
        chance.choice((TaskType.EXECUTE, TaskType.VALIDATE, TaskType.DEPLOY)),
        chance.choice((1_000, 30_000)),
        SecurityLevel.INTERNAL,
        dependencies=tuple(needed),
        command=("echo", *taken),
        parameters=place,
        required_capabilities=chance.choice(((), (), ("a",), ("a", "b"))),
        estimated_duration_ms=chance.randint(0, 9),
        max_retries=chance.choice((0, 0, 1, 2)),
        compensation=("undo",) if may_undo and chance.random() < 0.3 else (),
    )

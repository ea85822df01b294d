"""Workflows a second, and how long one takes on an idle system: five tasks that do nothing, every event durable.

build → test and validate → deploy → execute, by a broker, orchestrator and registry as `neural-hive up` starts them
(without tables), and a worker that answers each dispatch at once through Kafka.
"""

import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from bench.figures import Figures, Goal, Series
from bench.worker import NoWork
from neural_hive.aggregates.decision import DecisionConsolidated, content_hash
from neural_hive.aggregates.identity import derived_id
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
from neural_hive.connectors.child import Child
from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.connectors.publisher import Publisher
from neural_hive.process import processor_name, processors_of, ready_file
from neural_hive.settings import Settings, load_settings
from neural_hive.system import command_line, prepare_topics

IN_FLIGHT: Final = {50: 2_000, 500: 6_000}  # workflows at once → how many in all
WARM_UP: Final = 300
IDLE: Final = 60  # workflows that each have the system for themselves
RATE_GOAL: Final = 600.0  # workflows/s with 500 in flight
DISPATCH_GOAL_MS: Final = 25.0
WHOLE_GOAL_MS: Final = 150.0
_READY_TIMEOUT_S: Final = 120.0
_END_TIMEOUT_S: Final = 120.0
_PLANS: Final = "plans.consensus"
_DAG: Final = (
    ("build", TaskType.BUILD, ()),
    ("test", TaskType.TEST, ("build",)),
    ("validate", TaskType.VALIDATE, ("build",)),
    ("deploy", TaskType.DEPLOY, ("test", "validate")),
    ("execute", TaskType.EXECUTE, ("deploy",)),
)
Tell = Callable[[str], None]


class Slow(RuntimeError):
    """Nothing ended for a while."""


def task(task_id: str, kind: TaskType, needs: tuple[str, ...]) -> Task:
    """One that does nothing."""
    return Task(
        task_id=task_id,
        task_type=kind,
        timeout_ms=3_600_000,
        security_level=SecurityLevel.INTERNAL,
        dependencies=needs,
        command=("true",),
    )


FIVE: Final = tuple(task(*one) for one in _DAG)


def plan(decision_id: str, tasks: tuple[Task, ...]) -> DecisionConsolidated:
    """An approved plan of these tasks."""
    return DecisionConsolidated(
        decision_id=decision_id,
        plan_id="bench",
        intent_id="bench",
        risk_band=RiskBand.LOW,
        priority=Priority.NORMAL,
        confidence=0.9,
        delivery_mode=DeliveryMode.AT_LEAST_ONCE,
        consistency=Consistency.EVENTUAL,
        durability=Durability.PERSISTENT,
        tasks=tasks,
    )


class Clock:
    """When each workflow was published, first dispatched, and ended, s."""

    def __init__(self) -> None:
        self.published: dict[str, float] = {}
        self.dispatched: dict[str, float] = {}
        self.ended: dict[str, float] = {}
        self.failed: list[str] = []
        self._moved = threading.Condition()

    def told(self, name: str, workflow_id: str) -> None:
        """What the worker hears."""
        with self._moved:
            if name == "TicketDispatched":
                self.dispatched.setdefault(workflow_id, time.monotonic())
                return
            self.ended[workflow_id] = time.monotonic()
            if name != "WorkflowCompleted":
                self.failed.append(workflow_id)
            self._moved.notify_all()

    def wait_until_open(self, at_most: int, timeout_s: float = _END_TIMEOUT_S) -> None:
        """Until so many workflows are open. Raises Slow."""
        with self._moved:
            if not self._moved.wait_for(lambda: len(self.published) - len(self.ended) <= at_most, timeout_s):
                raise Slow(f"{len(self.published) - len(self.ended)} workflows are open")


class Bench:
    """A running system to be measured."""

    def __init__(self, kafka: dict[str, Any], clock: Clock) -> None:
        self._publisher, self._clock = Publisher(kafka, "bench"), clock
        self._count = 0

    def publish(self, tasks: tuple[Task, ...] = FIVE) -> str:
        """One more plan; its workflow's id."""
        decision = plan(f"bench-{self._count}", tasks)
        self._count += 1
        message_id = derived_id(decision.decision_id, content_hash(decision))
        header = self._publisher.header("DecisionConsolidated", message_id, decision.decision_id)
        self._clock.published[decision.decision_id] = time.monotonic()
        self._publisher.publish(_PLANS, header, msgspec.to_builtins(decision), _check)
        self._publisher.poll()
        return decision.decision_id

    def alone(self, tasks: tuple[Task, ...], timeout_s: float = _END_TIMEOUT_S) -> tuple[float, float]:
        """Of a plan that has the system for itself: s until its first dispatch, and until its end."""
        id_ = self.publish(tasks)
        self._publisher.flush(30)
        self._clock.wait_until_open(0, timeout_s)
        clock = self._clock
        return clock.dispatched[id_] - clock.published[id_], clock.ended[id_] - clock.published[id_]

    def rate(self, in_flight: int, count: int) -> float:
        """Workflows/s with so many open: from the first end to the last, of a steady stream."""
        first = len(self._clock.ended)
        for _ in range(count):
            self._clock.wait_until_open(in_flight - 1)
            self.publish()
        self._publisher.flush(30)
        self._clock.wait_until_open(0)
        times = sorted(self._clock.ended.values())[first:]
        return (len(times) - 1) / (times[-1] - times[0])

    def latencies(self, count: int) -> tuple[list[float], list[float]]:
        """Of workflows that have the system for themselves: until the first dispatch and until the end, ms."""
        found = []
        for _ in range(count):
            found.append(self.alone(FIVE))
            time.sleep(0.05)
        return [first * 1e3 for first, _ in found], [whole * 1e3 for _, whole in found]


def _check(problem: str) -> None:
    if problem:
        raise RuntimeError(problem)


@contextmanager
def broker(**changes: Any) -> Iterator[Settings]:
    """A broker with all topics, and the settings that reach it; `changes`: what else they say."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        EmbeddedKafka(Path(folder) / "kafka") as kafka,
    ):
        data = Path(folder) / "data"
        settings = load_settings(running=False, data=data, kafka_bootstrap=kafka.bootstrap, **changes)
        prepare_topics(settings)
        yield settings


@contextmanager
def process(settings: Settings, name: str, *arguments: str) -> Iterator[Child]:
    """One of the system's processes, when it is ready; it is killed at the end."""
    line = command_line(*(arguments or (name,)))
    environment = {**os.environ, **settings.environment()}
    child = Child(line, settings.data / f"{name}.log", environment=environment)
    try:
        wait_ready(settings.data, name, child)
        yield child
    finally:
        child.kill()


@contextmanager
def running() -> Iterator[tuple[Settings, Path]]:
    """Broker, topics, and the processors of all systems."""
    with broker() as settings, processors(settings):
        yield settings, settings.data


@contextmanager
def processors(settings: Settings) -> Iterator[list[Child]]:
    """Those of all systems, as `neural-hive up` starts them."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(process(settings, processor_name(names), "processor", *names))
            for names in processors_of(settings)
        ]


def wait_ready(data: Path, name: str, child: Child) -> None:
    """Until a process of ours does its work. Raises Slow."""
    until = time.monotonic() + _READY_TIMEOUT_S
    while not ready_file(data, name, child.pid).exists():
        if child.exit_code is not None or time.monotonic() > until:
            raise Slow(f"{name} is not ready; exit code {child.exit_code}")
        time.sleep(0.1)


def measure(rounds: int, tell: Tell) -> list[Figures]:
    """All of it, on one system."""
    clock = Clock()
    rates: dict[int, list[float]] = {in_flight: [] for in_flight in IN_FLIGHT}
    dispatch: list[float] = []
    whole: list[float] = []
    with running() as (settings, _):
        kafka = settings.kafka_config()
        with NoWork(kafka, settings.partitions, clock.told):
            bench = Bench(kafka, clock)
            bench.rate(50, WARM_UP)
            for _ in range(rounds):
                first, all_ = bench.latencies(IDLE)
                dispatch.append(statistics.median(first))
                whole.append(statistics.median(all_))
                tell(f"idle: dispatch p50 {dispatch[-1]:.1f} ms, whole p50 {whole[-1]:.1f} ms")
                for in_flight, count in IN_FLIGHT.items():
                    rates[in_flight].append(bench.rate(in_flight, count))
                    tell(f"{in_flight} in flight: {rates[in_flight][-1]:.0f} workflows/s")
    if clock.failed:
        raise RuntimeError(f"{len(clock.failed)} workflows did not complete: {clock.failed[:5]}")
    return [_rates(rates), _latencies(dispatch, whole)]


def _rates(rates: dict[int, list[float]]) -> Figures:
    series = [Series(f"{in_flight} in flight", runs) for in_flight, runs in rates.items()]
    goal = Goal("600 workflows/s with 500 in flight", RATE_GOAL, series[-1].median)
    return Figures("orchestration", "Orchestration: workflows of five tasks", "workflows/s", series, [goal])


def _latencies(dispatch: list[float], whole: list[float]) -> Figures:
    series = [Series("plan to first dispatch, p50", dispatch), Series("whole workflow, p50", whole)]
    goals = [
        Goal("first dispatch in 25 ms", DISPATCH_GOAL_MS, series[0].median, at_most=True),
        Goal("whole workflow in 150 ms", WHOLE_GOAL_MS, series[1].median, at_most=True),
    ]
    return Figures("latency", "Orchestration: one workflow on an idle system", "ms", series, goals)

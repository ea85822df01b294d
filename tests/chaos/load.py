"""What the system has to do: plans by a seed, as fast as they are done or at a rate, and what became of them."""

import random
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
from confluent_kafka import Consumer, TopicPartition

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
from neural_hive.connectors.publisher import Publisher
from neural_hive.schemas.codec import decode
from neural_hive.schemas.envelope import Envelope

PLANS: Final = "plans.consensus"
WORKFLOWS: Final = "orchestration.workflows"
ENDS: Final = frozenset({"WorkflowCompleted", "WorkflowFailed", "WorkflowCancelled", "PlanRejected"})
OPEN_MAX: Final = 200  # workflows that are published and have not ended, unless told otherwise
REPEATED: Final = 0.05  # part of the plans that is published twice
REAL: Final = 0.02  # part of the tasks that is a process of its own
SERVED: Final = 0.05  # part of the deployments that names a service
SERVICES: Final = ("till", "checkout")
TIMEOUT_MS: Final = 120_000
_PAUSE_S: Final = 0.02


def decision(random_: random.Random, decision_id: str) -> DecisionConsolidated:
    """A plan: a chain, or a fan-out and its join."""
    size = random_.randint(3, 10)
    if random_.random() < 0.5:
        needs: list[tuple[str, ...]] = [() if n == 0 else (f"t{n - 1}",) for n in range(size)]
    else:
        middle = tuple(f"t{n}" for n in range(1, size - 1))
        needs = [(), *[("t0",)] * len(middle), middle]
    tasks = tuple(_task(random_, f"t{number}", needed) for number, needed in enumerate(needs))
    return DecisionConsolidated(
        decision_id=decision_id,
        plan_id=f"chaos-{len(tasks)}",
        intent_id="chaos",
        risk_band=RiskBand.LOW,
        priority=random_.choice((Priority.LOW, Priority.NORMAL, Priority.HIGH)),
        confidence=0.9,
        delivery_mode=DeliveryMode.AT_LEAST_ONCE,
        consistency=Consistency.EVENTUAL,
        durability=Durability.PERSISTENT,
        tasks=tasks,
    )


def _task(random_: random.Random, task_id: str, needs: tuple[str, ...]) -> Task:
    idle = (TaskType.BUILD, TaskType.TEST, TaskType.VALIDATE, TaskType.DEPLOY)
    task_type = TaskType.EXECUTE if random_.random() < REAL else random_.choice(idle)
    is_served = task_type is TaskType.DEPLOY and random_.random() < SERVED
    return Task(
        task_id=task_id,
        task_type=task_type,
        parameters={"service": random_.choice(SERVICES)} if is_served else {},
        timeout_ms=TIMEOUT_MS,
        security_level=SecurityLevel.INTERNAL,
        dependencies=needs,
        command=("true",),
        max_retries=5,
    )


class Load:
    """Publishes plans in a thread until told to stop: while fewer than `open_max` are open, or at a rate."""

    def __init__(
        self, kafka: dict[str, Any], seed: int, ended: Callable[[], int], open_max: int = OPEN_MAX
    ) -> None:
        self.tasks: dict[str, int] = {}  # workflow → tasks, of all that was published
        self.undelivered: list[str] = []
        self.repeats = 0
        self._seed, self._ended, self._open_max = seed, ended, open_max
        self._rate_per_s: float | None = None
        self._paced_at, self._paced_from = 0.0, 0
        self._publisher = Publisher(kafka, "chaos")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def pace(self, rate_per_s: float) -> None:
        """From now on so many plans in a second, however many are open."""
        self._paced_at, self._paced_from = time.monotonic(), len(self.tasks)
        self._rate_per_s = rate_per_s

    def stop(self) -> None:
        """Ends when all that was published has arrived."""
        self._stopping.set()
        self._thread.join()
        left = self._publisher.flush(120)
        if left:
            self.undelivered.append(f"{left} plans")

    def _run(self) -> None:
        random_ = random.Random(self._seed)
        while not self._stopping.is_set():
            self._publisher.poll()
            if not self._is_due():
                time.sleep(_PAUSE_S)
                continue
            plan = decision(random_, f"chaos-{self._seed}-{len(self.tasks)}")
            self.tasks[plan.decision_id] = len(plan.tasks)
            self._publish(plan)
            if random_.random() < REPEATED:
                self.repeats += 1
                self._publish(plan)

    def _is_due(self) -> bool:
        """Whether it is time for another plan."""
        if self._rate_per_s is None:
            return len(self.tasks) - self._ended() < self._open_max
        due = self._paced_from + self._rate_per_s * (time.monotonic() - self._paced_at)
        return len(self.tasks) < due

    def _publish(self, plan: DecisionConsolidated) -> None:
        message_id = derived_id(plan.decision_id, content_hash(plan))
        header = self._publisher.header("DecisionConsolidated", message_id, plan.decision_id)
        self._publisher.publish(PLANS, header, msgspec.to_builtins(plan), self._note)

    def _note(self, undelivered: str) -> None:
        if undelivered:
            self.undelivered.append(undelivered)


class Ends:
    """How each workflow has ended so far, as the committed log says."""

    def __init__(self, kafka: dict[str, Any], partitions: int) -> None:
        self.found: dict[str, str] = {}
        self.doubled: list[str] = []
        self.last: tuple[int, int] | None = None  # partition and offset of the last event that was read
        self._consumer = Consumer(
            {
                **kafka,
                "group.id": "chaos.ends",  # a name only: nothing is joined or committed
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "log_level": 2,
            }
        )
        self._consumer.assign([TopicPartition(WORKFLOWS, number, 0) for number in range(partitions)])
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ends", daemon=True)
        self._thread.start()

    def count(self) -> int:
        """How many have ended."""
        return len(self.found)

    def close(self) -> None:
        """Reads no more."""
        self._stopping.set()
        self._thread.join()
        self._consumer.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            for message in self._consumer.consume(1_000, 0.2):
                if message.error() is None:
                    self._note(message.value() or b"")
                    self.last = message.partition(), message.offset()

    def _note(self, value: bytes) -> None:
        event = decode(value, "event")
        assert isinstance(event.head, Envelope)
        if event.schema.name in ENDS:
            if event.head.aggregate_id in self.found:
                self.doubled.append(event.head.aggregate_id)
            self.found[event.head.aggregate_id] = event.schema.name

"""Follows the orchestrator from beside it: Flow C's metrics, and its telemetry.

What it does has no part in any decision: it hears of what is committed already, and may fail or fall behind.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol

from prometheus_client import REGISTRY, CollectorRegistry

from neural_hive.connectors.publisher import Publisher
from neural_hive.streams.flow_c.active import Active
from neural_hive.streams.flow_c.metrics import FlowCMetrics
from neural_hive.streams.flow_c.steps import Stopwatch, messages
from neural_hive.streams.kernel.system import Committed, System
from neural_hive.streams.telemetry import Buffer, Telemetry

ORCHESTRATOR: Final = "orchestrator"
PRODUCER: Final = "telemetry"
LINGER_MS: Final = 100  # longer than it takes to hand over what is flushed together


class FlowCSettings(Protocol):
    """What this takes from the settings."""

    @property
    def telemetry(self) -> bool:
        """Whether steps are published."""
        ...

    @property
    def telemetry_buffer(self) -> int:
        """How many messages may wait while Kafka is away."""
        ...

    @property
    def telemetry_age_s(self) -> float:
        """How long each may wait, s."""
        ...

    def kafka_config(self) -> dict[str, Any]:
        """librdkafka's settings of the connection."""
        ...


@contextmanager
def followed(systems: Sequence[System], settings: FlowCSettings) -> Iterator[None]:
    """Follows the orchestrator, if it is among the systems; at the end publishes what is left, within a limit."""
    orchestrator = next((system for system in systems if system.name == ORCHESTRATOR), None)
    if orchestrator is None or not settings.telemetry:
        if orchestrator is not None:
            follow(orchestrator)
        yield
        return
    kafka = settings.kafka_config()
    buffer = Buffer(
        lambda: Publisher(kafka, PRODUCER, is_traced=False, linger_ms=LINGER_MS),
        settings.telemetry_buffer,
        settings.telemetry_age_s,
    )
    telemetry = Telemetry(buffer)
    follow(orchestrator, telemetry)
    try:
        yield
    finally:
        telemetry.close()


def follow(
    orchestrator: System, telemetry: Telemetry | None = None, registry: CollectorRegistry = REGISTRY
) -> None:
    """Counts and measures what the orchestrator commits from now on; publishes it, if there is a telemetry.

    Once for each registry of metrics: they have one name each.
    """
    active, stopwatch = Active(), Stopwatch()
    metrics = FlowCMetrics(active, registry)

    def committed(transaction: Committed) -> None:
        active.follow(transaction.partition, transaction.events)
        found = stopwatch.measured(transaction)
        metrics.count(transaction, found)
        if telemetry is not None and found:
            telemetry.put(messages(found))

    orchestrator.observers.append(committed)
    orchestrator.opened.append(active.opened)
    orchestrator.closed += [active.closed, stopwatch.closed, metrics.closed]

"""What webhooks tell Prometheus: the processor of what is to be sent, the sender of what it sends."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from neural_hive.aggregates.delivery import DeliveryDead, DeliveryDue, DeliveryScheduled
from neural_hive.streams.kernel.system import Committed, System

_ENQUEUED = Counter("neural_hive_webhooks_enqueued", "Attempts at webhooks that were put into the log")
_DEAD = Counter("neural_hive_webhooks_dead", "Webhooks that are not tried any more")
SENT: Final = Counter(
    "neural_hive_webhooks_sent", "Webhooks that receivers took, by the class of their answer", ("status",)
)
FAILED: Final = Counter("neural_hive_webhooks_failed", "Attempts at webhooks that failed, by why", ("why",))
POSTPONED: Final = Counter(
    "neural_hive_webhooks_postponed", "Attempts at webhooks that were put off, by why", ("why",)
)
SECONDS: Final = Histogram(
    "neural_hive_webhook_duration_seconds",
    "Time of one request, from looking up its host to the end of its answer",
    ("outcome",),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120),
)
QUEUE: Final = Gauge("neural_hive_webhooks_queue_size", "Webhooks that the sender has taken and not finished")
RUNNING: Final = Gauge("neural_hive_webhooks_running", "Requests that wait for their answer")
OPEN: Final = Gauge("neural_hive_webhooks_circuits_open", "Receivers that are left alone for a while")


def watch(system: System) -> None:
    """Counts what the system puts into the log."""
    system.observers.append(_count)


def _count(committed: Committed) -> None:
    for observed in committed.events:
        match observed.event:
            case DeliveryScheduled(attempt=attempt):
                _ENQUEUED.inc(attempt > 0)
            case DeliveryDue():
                _ENQUEUED.inc()
            case DeliveryDead():
                _DEAD.inc()
            case _:
                pass

"""What a worker tells Prometheus of the tickets that it was given."""

import contextlib
from collections.abc import Iterator
from typing import Final

import msgspec
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.samples import Sample

from neural_hive.connectors.process_executor import Report

REFUSED: Final = "none"  # the executor of a ticket that no executor could run

_LABELS = ("task_type", "executor")
_ENDED = Counter("neural_hive_attempts", "Attempts that ended, by how", (*_LABELS, "outcome"))
_SECONDS = Histogram(
    "neural_hive_attempt_seconds",
    "Time from start to end of an attempt",
    _LABELS,
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200),
)
_RUNNING = Gauge("neural_hive_attempts_running", "Attempts that run now", _LABELS)
_MADE_BYTES = Counter("neural_hive_artifact_bytes", "Bytes of the artifacts that attempts left", _LABELS)

_PASSED_OVER = Counter("neural_hive_worker_events_passed_over", "Events of a newer build, of no concern here")


def passed_over() -> None:
    """An event that this build cannot read, and need not, was passed over."""
    _PASSED_OVER.inc()


@contextlib.contextmanager
def running(task_type: str, executor: str) -> Iterator[None]:
    """Counts an attempt among those that run, as long as this lasts."""
    with _RUNNING.labels(task_type, executor).track_inprogress():
        yield


def ended(task_type: str, executor: str, report: Report) -> None:
    """An attempt has ended, or was refused."""
    _ENDED.labels(task_type, executor, report.ended).inc()
    if executor != REFUSED:
        _SECONDS.labels(task_type, executor).observe((report.completed_at - report.started_at) / 1_000_000)
        _MADE_BYTES.labels(task_type, executor).inc(sum(file.size_bytes for file in report.artifacts))


class Standing(msgspec.Struct, frozen=True):
    """How this worker has done since it was started."""

    success_rate: float  # of what it tried; 1 before the first end
    running: int
    latency_ms: int  # the mean of what it tried


def standing() -> Standing:
    """What the metrics say, in a few figures."""
    ended = completed = 0.0
    for sample in _samples(_ENDED, "_total"):
        if sample.labels["executor"] != REFUSED:
            ended += sample.value
            completed += sample.value if sample.labels["outcome"] == "COMPLETED" else 0
    seconds = sum(sample.value for sample in _samples(_SECONDS, "_sum"))
    running = sum(sample.value for sample in _samples(_RUNNING, ""))
    return Standing(completed / ended if ended else 1.0, int(running), round(1_000 * seconds / max(ended, 1)))


def _samples(metric: Counter | Gauge | Histogram, suffix: str) -> list[Sample]:
    [family] = metric.collect()
    return [sample for sample in family.samples if sample.name == family.name + suffix]

"""What a worker tells Prometheus of the tickets that it was given."""

import contextlib
import time
from collections.abc import Iterator
from typing import Final

import msgspec
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.samples import Sample

from neural_hive.connectors.process_attempt import LOG_NAME
from neural_hive.connectors.process_executor import Report
from neural_hive.streams.work_ledger import Dispatch

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
_START_SECONDS = Histogram(
    "neural_hive_attempt_start_seconds",
    "From the dispatch of an attempt, by the broker's clock, to its begin",
    _LABELS,
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120),
)
_SAID_SECONDS = Histogram(
    "neural_hive_attempt_announcement_seconds",
    "How long an attempt waited for Kafka to have its start, in vain too",
    _LABELS,
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 10, 60, 120),
)
_LIMIT_USED = Histogram(
    "neural_hive_attempt_limit_used_ratio",
    "How much of its time limit an attempt took",
    _LABELS,
    buckets=(0.1, 0.25, 0.5, 0.75, 0.9, 1.0),
)
_EXITS = Counter(
    "neural_hive_attempt_exits", "Attempts by their exit code: ok, error, signal, none", (*_LABELS, "how")
)
_AGAIN = Counter("neural_hive_attempts_again", "Attempts that were begun after another had failed", _LABELS)
_UNDOING = Counter("neural_hive_attempts_undoing", "Attempts that were begun to undo a ticket", _LABELS)
_RESUMED = Counter(
    "neural_hive_attempts_resumed", "Attempts that were begun anew, since their worker had ended", _LABELS
)
_MADE = Counter("neural_hive_artifacts", "Artifacts that attempts left, their logs included", _LABELS)
_MADE_BYTES = Counter("neural_hive_artifact_bytes", "Bytes of the artifacts that attempts left", _LABELS)
_LOG_BYTES = Counter(
    "neural_hive_attempt_log_bytes", "Bytes that attempts printed and that were kept", _LABELS
)
_OUTPUTS = Counter("neural_hive_attempt_outputs", "Outputs that attempts left", _LABELS)

_PASSED_OVER = Counter("neural_hive_worker_events_passed_over", "Events of a newer build, of no concern here")


def passed_over() -> None:
    """An event that this build cannot read, and need not, was passed over."""
    _PASSED_OVER.inc()


@contextlib.contextmanager
def announcing(task_type: str, executor: str) -> Iterator[None]:
    """Takes the time until Kafka has the start of an attempt."""
    with _SAID_SECONDS.labels(task_type, executor).time():
        yield


def began(dispatch: Dispatch, executor: str, dispatched_at: int) -> None:
    """An attempt begins that was dispatched at a time (µs)."""
    labels = dispatch.task_type, executor
    _START_SECONDS.labels(*labels).observe(max(time.time_ns() // 1_000 - dispatched_at, 0) / 1_000_000)
    _AGAIN.labels(*labels).inc(dispatch.attempt > 1 and not dispatch.compensates)
    _UNDOING.labels(*labels).inc(dispatch.compensates)
    _RESUMED.labels(*labels).inc(dispatch.begun_at > 0)


@contextlib.contextmanager
def running(task_type: str, executor: str) -> Iterator[None]:
    """Counts an attempt among those that run, as long as this lasts."""
    with _RUNNING.labels(task_type, executor).track_inprogress():
        yield


def ended(task_type: str, executor: str, report: Report, time_limit_s: float = 0.0) -> None:
    """An attempt has ended, or was refused; `time_limit_s` is how long it might have taken."""
    _ENDED.labels(task_type, executor, report.ended).inc()
    if executor == REFUSED:
        return
    labels = task_type, executor
    took_s = (report.completed_at - report.started_at) / 1_000_000
    _SECONDS.labels(*labels).observe(took_s)
    if time_limit_s > 0:
        _LIMIT_USED.labels(*labels).observe(took_s / time_limit_s)
    _EXITS.labels(*labels, _how(report.exit_code)).inc()
    _OUTPUTS.labels(*labels).inc(len(report.outputs))
    _MADE.labels(*labels).inc(len(report.artifacts))
    _MADE_BYTES.labels(*labels).inc(sum(file.size_bytes for file in report.artifacts))
    _LOG_BYTES.labels(*labels).inc(sum(f.size_bytes for f in report.artifacts if f.name == LOG_NAME))


def _how(exit_code: int | None) -> str:
    if exit_code is None:
        return "none"  # it never started, or is a function
    return "ok" if exit_code == 0 else ("signal" if exit_code < 0 else "error")


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

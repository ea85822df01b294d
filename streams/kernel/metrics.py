"""What every partition of every system tells Prometheus."""

from functools import cache

import msgspec
from prometheus_client import Counter, Gauge, Histogram

_LABELS = ("system", "partition")
_RECORDS = Counter("neural_hive_records", "Input records taken, whatever became of them", _LABELS)
_EVENTS = Counter("neural_hive_events", "Events committed", _LABELS)
_REPEATS = Counter("neural_hive_repeats", "Messages that an aggregate had seen before", _LABELS)
_DEAD = Counter("neural_hive_dead_letters", "Records that could not be processed", _LABELS)
_TRANSACTION = Histogram(
    "neural_hive_transaction_seconds",
    "Time of one transaction and the write of its state",
    _LABELS,
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
_BATCH = Histogram(
    "neural_hive_batch_seconds",
    "Time of one batch: its records' handlers, the transaction and the write of the state",
    _LABELS,
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
_BATCH_RECORDS = Histogram(
    "neural_hive_batch_records",
    "Input records of one batch; 0: timers only",
    _LABELS,
    buckets=(0, 1, 10, 100, 1_000, 5_000, 20_000),
)
_RECOVERIES = Counter(
    "neural_hive_recoveries", "Times a partition was opened and its state made whole", _LABELS
)
_FAILED_TIMERS = Counter("neural_hive_timers_failed", "Timers whose handler failed, each try", _LABELS)
_RECOVERY = Gauge("neural_hive_recovery_seconds", "Time of the last recovery from the log", _LABELS)
_QUEUED = Gauge("neural_hive_queued_records", "Records fetched and not yet processed", _LABELS)
_STOPPED = Gauge(
    "neural_hive_partition_stopped",
    "1 while the partition's log is broken or stalled, and it is closed",
    _LABELS,
)
_STATE = Gauge(
    "neural_hive_state_bytes", "Size of a partition's state on the disk, looked at now and then", _LABELS
)


class PartitionMetrics(msgspec.Struct, frozen=True):
    """The metrics of one partition, with their labels set."""

    records: Counter
    events: Counter
    repeats: Counter
    dead_letters: Counter
    transaction_seconds: Histogram
    batch_seconds: Histogram
    batch_records: Histogram
    recoveries: Counter
    failed_timers: Counter
    recovery_seconds: Gauge
    queued: Gauge
    stopped: Gauge
    state_bytes: Gauge


@cache
def of(system: str, partition: int) -> PartitionMetrics:
    """The metrics of a partition of a system."""
    labels = (system, str(partition))
    return PartitionMetrics(
        _RECORDS.labels(*labels),
        _EVENTS.labels(*labels),
        _REPEATS.labels(*labels),
        _DEAD.labels(*labels),
        _TRANSACTION.labels(*labels),
        _BATCH.labels(*labels),
        _BATCH_RECORDS.labels(*labels),
        _RECOVERIES.labels(*labels),
        _FAILED_TIMERS.labels(*labels),
        _RECOVERY.labels(*labels),
        _QUEUED.labels(*labels),
        _STOPPED.labels(*labels),
        _STATE.labels(*labels),
    )

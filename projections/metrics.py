"""What the projector tells Prometheus."""

from collections.abc import Collection, Mapping
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from neural_hive.projections.ranges import Batch, Place

RECORDS: Final = Counter("neural_hive_projector_records_total", "Records archived.", ["topic"])
UNDECODED: Final = Counter(
    "neural_hive_projector_undecoded_total", "Messages kept as raw bytes only.", ["topic"]
)
RETRIES: Final = Counter("neural_hive_projector_retries_total", "Attempts that ClickHouse did not take.")
BATCH_S: Final = Histogram(
    "neural_hive_projector_batch_seconds",
    "Time to write one batch into all tables.",
    buckets=(0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
LAG: Final = Gauge(
    "neural_hive_projector_lag_records", "Records in the log and not yet read.", ["topic", "partition"]
)
STOPPED: Final = Gauge("neural_hive_projector_stopped_partitions", "Partitions that cannot go on.")


def written(batch: Batch, duration_s: float) -> None:
    """Counts a batch that is in all tables."""
    BATCH_S.observe(duration_s)
    for part in batch.parts:
        RECORDS.labels(part.range.topic).inc(part.range.records)
        if undecoded := sum(len(group.offsets) for group in part.groups if group.error):
            UNDECODED.labels(part.range.topic).inc(undecoded)


def tell(lags: Mapping[Place, int], stopped: Collection[Place]) -> None:
    """Sets what is true now."""
    for (topic, partition), lag in lags.items():
        LAG.labels(topic, str(partition)).set(lag)
    STOPPED.set(len(stopped))

"""What is told of SLIs that Prometheus is asked for."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

QUERIES: Final = Counter(
    "neural_hive_sla_prometheus_queries",
    "Queries to Prometheus: answered, refused (the query is wrong, or its value), away (no answer)",
    ("outcome",),
)
SECONDS: Final = Histogram(
    "neural_hive_sla_prometheus_query_duration_seconds",
    "Time of one query to Prometheus, whatever became of it",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
MINUTES: Final = Counter(
    "neural_hive_sla_prometheus_minutes",
    "Minutes of SLOs: counted; empty (Prometheus has nothing of them); wrong (no count; left out); too_old (left out)",
    ("outcome",),
)
WRONG: Final = Gauge(
    "neural_hive_sla_prometheus_wrong",
    "1 while what Prometheus says of an SLO is no count: the log says why",
    ("slo_id",),
)
BEHIND: Final = Gauge(
    "neural_hive_sla_prometheus_behind_seconds",
    "For how long the SLO that is furthest behind waits for its next minute, which could be counted",
)

for outcome in (
    "answered",
    "refused",
    "away",
):  # what appears with its first count cannot be seen to have grown
    QUERIES.labels(outcome)
for outcome in ("counted", "empty", "wrong", "too_old"):
    MINUTES.labels(outcome)

"""What is told of SLIs that Prometheus is asked for."""

import threading
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
UNTOLD: Final = Gauge(
    "neural_hive_sla_prometheus_wrong_untold",
    "SLOs of which what Prometheus says is no count, and that have no series of their own: sla_metrics_slos is less",
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


class WrongSlos:
    """SLOs of which Prometheus says what is no count, and why; only so many have a series, the first of them."""

    def __init__(self, told_max: int) -> None:
        self._told_max = told_max
        self._why: dict[str, str] = {}
        self._told: set[str] = set()
        self._untold: dict[str, None] = {}  # in the order in which they came
        self._lock = threading.Lock()

    def names(self) -> frozenset[str]:
        """The ids of all of them."""
        with self._lock:
            return frozenset(self._why)

    def add(self, slo_id: str, why: str) -> bool:
        """Whether that is news."""
        with self._lock:
            before, self._why[slo_id] = self._why.get(slo_id), why
            if before is None:
                self._untold[slo_id] = None
                self._tell()
        return before != why

    def remove(self, slo_id: str) -> None:
        """It is well, or nobody's any more."""
        with self._lock:
            if self._why.pop(slo_id, None) is None:
                return
            self._untold.pop(slo_id, None)
            if slo_id in self._told:
                self._told.remove(slo_id)
                WRONG.remove(slo_id)
            self._tell()

    def _tell(self) -> None:
        while self._untold and len(self._told) < self._told_max:
            slo_id = next(iter(self._untold))
            del self._untold[slo_id]
            self._told.add(slo_id)
            WRONG.labels(slo_id).set(1)
        UNTOLD.set(len(self._untold))

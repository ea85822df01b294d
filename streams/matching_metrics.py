"""What Prometheus is told of searches for agents: in the read models by a client, and by the orchestrator for its
tickets. They are counted in the process that searches, whether or not anything comes of it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Final

from prometheus_client import Counter, Histogram

CLIENT: Final = "client"
ORCHESTRATOR: Final = "orchestrator"
_COUNTS: Final = (0, 1, 2, 5, 10, 25, 50, 100, 250, 1_000, 10_000)
_LABELS: Final = ("asked_by",)
_REQUESTS = Counter("discovery_requests_total", "Searches for agents", _LABELS)
_DURATION = Histogram(
    "discovery_duration_seconds",
    "Time of one search; a client's reads the read models",
    _LABELS,
    buckets=(0.0001, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
_EVALUATED = Histogram(
    "matching_candidates_evaluated", "Agents that one search looked at", _LABELS, buckets=_COUNTS
)
_MATCHED = Histogram(
    "agents_matched", "Agents that one search found: 0 if none can do the work", _LABELS, buckets=_COUNTS
)
_requests, _duration = cache(_REQUESTS.labels), cache(_DURATION.labels)
_evaluated, _matched = cache(_EVALUATED.labels), cache(_MATCHED.labels)


class Search:
    """One search for agents."""

    def __init__(self, asked_by: str) -> None:
        self._asked_by = asked_by

    def found(self, evaluated: int, matched: int) -> None:
        """How many agents were looked at, and how many of them can do the work."""
        _evaluated(self._asked_by).observe(evaluated)
        _matched(self._asked_by).observe(matched)


@contextmanager
def search(asked_by: str) -> Iterator[Search]:
    """Counts a search and takes its time."""
    _requests(asked_by).inc()
    with _duration(asked_by).time():
        yield Search(asked_by)

"""What the sender tells of what it tells an Alertmanager."""

from typing import Final

from prometheus_client import Counter, Gauge

REQUESTS: Final = Counter(
    "neural_hive_sla_alertmanager_sender_requests",
    "Requests to Alertmanager about alerts or silences: accepted, refused (the same again is refused again), away (no "
    "answer)",
    ("about", "outcome"),
)
ALERTS: Final = Gauge(
    "neural_hive_sla_alertmanager_sender_alerts",
    "Violations that are open, and that Alertmanager was told of",
)
SILENCES: Final = Counter(
    "neural_hive_sla_alertmanager_sender_silences",
    "Silences for exclusions of budgets: made, changed, ended, left (somebody has ended it: it is not made again)",
    ("change",),
)
BEHIND: Final = Gauge(
    "neural_hive_sla_alertmanager_sender_behind_seconds",
    "Since Alertmanager was told all that it shall know; 0 while it is told at once",
)

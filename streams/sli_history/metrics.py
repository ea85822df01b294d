"""What is told of histories that are being counted."""

from typing import Final

from prometheus_client import Counter, Gauge

EVENTS: Final = Counter(
    "neural_hive_sla_history_records", "Records of the log that were read to count what was before SLOs"
)
RANGES: Final = Counter("neural_hive_sla_history_ranges", "Ranges that the SLA calculator was told of")
SLOS: Final = Gauge("neural_hive_sla_history_slos", "SLOs of which not all history is counted yet")
BEHIND: Final = Gauge(
    "neural_hive_sla_history_behind_records",
    "Records of the log, at most, that are still to be looked at for the SLO that is furthest behind",
)
HELD: Final = Gauge(
    "neural_hive_sla_history_held_partitions",
    "Partitions that cannot be read now, so that nothing is counted in them: the log says why",
)
FORGOTTEN: Final = Counter(
    "neural_hive_sla_history_forgotten",
    "Tickets and workflows whose beginning was let go of, since too many were open: what they say may not be counted",
)

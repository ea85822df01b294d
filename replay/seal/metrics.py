"""What sealers and witnesses tell Prometheus. Of each process only what it does."""

from typing import Final

from prometheus_client import Counter, Gauge

CHECKPOINTS: Final = Counter("neural_hive_seal_checkpoints_total", "Checkpoints signed and published.")
RECORDS: Final = Counter("neural_hive_seal_records_total", "Records sealed.")
SIZE: Final = Gauge("neural_hive_seal_size", "Checkpoints that there are: the size of the last one.")
SEALED_AT: Final = Gauge(
    "neural_hive_seal_last_seconds", "When the last checkpoint was signed, s since 1970 UTC."
)
UNSEALED: Final = Gauge("neural_hive_seal_unsealed_records", "Records read that no checkpoint covers yet.")
REFUSED: Final = Gauge(
    "neural_hive_seal_refused",
    "1: the log is not an extension of what was sealed, and nothing more is signed.",
)

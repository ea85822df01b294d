"""The tables and the seal: how far behind the log they are, and whether it is still what it was."""

from typing import Final

from neural_hive.monitoring.model import Dashboard, Row, panel, quantile, rate, total

PROJECTOR: Final = Dashboard(
    "neural-hive-projector",
    "Neural Hive: projector and seal",
    "The way from the log into ClickHouse, and the proof that the log only grew.",
    (
        Row(
            "Projector",
            (
                panel("Lag", (total("neural_hive_projector_lag_records", "topic"), "{{topic}}")),
                panel(
                    "Records archived",
                    (rate("neural_hive_projector_records_total", "topic"), "{{topic}}"),
                    unit="ops",
                ),
                panel(
                    "Time of a batch",
                    (quantile(0.5, "neural_hive_projector_batch_seconds"), "p50"),
                    (quantile(0.95, "neural_hive_projector_batch_seconds"), "p95"),
                    unit="s",
                ),
            ),
        ),
        Row(
            "Trouble",
            (
                panel("Tried again", rate("neural_hive_projector_retries_total"), unit="ops"),
                panel(
                    "Kept as raw bytes",
                    (rate("neural_hive_projector_undecoded_total", "topic"), "{{topic}}"),
                    unit="ops",
                ),
                panel(
                    "Partitions that cannot go on",
                    total("neural_hive_projector_stopped_partitions"),
                    shape="stat",
                ),
            ),
        ),
        Row(
            "Seal",
            (
                panel("Not sealed yet", total("neural_hive_seal_unsealed_records")),
                panel("Age of the last seal", "time() - max(neural_hive_seal_last_seconds)", unit="s"),
                panel("Records sealed", rate("neural_hive_seal_records_total"), unit="ops"),
                panel(
                    "Checkpoints",
                    (total("neural_hive_seal_size"), "signed"),
                    (total("neural_hive_witness_size"), "cosigned"),
                ),
            ),
        ),
        Row(
            "Audit",
            (
                panel(
                    "Findings of the last verification", total("neural_hive_verify_findings"), shape="stat"
                ),
                panel(
                    "Since the last verification", "time() - max(neural_hive_verify_last_seconds)", unit="s"
                ),
                panel("Time that it took", "max(neural_hive_verify_duration_seconds)", unit="s"),
                panel(
                    "Refused to sign",
                    ("neural_hive_seal_refused", "sealer"),
                    ("neural_hive_witness_refused", "witness"),
                    shape="stat",
                ),
            ),
        ),
    ),
)

"""What every system stands on: partitions, transactions, state; and the processes that do the work."""

from typing import Final

from neural_hive.monitoring.model import Dashboard, Limit, Row, panel, quantile, rate, total
from neural_hive.monitoring.orchestrator import LOGS_AND_TRACES, RESOURCES

_PLACE: Final = "{{system}}.{{partition}}"

KERNEL: Final = Dashboard(
    "neural-hive-kernel",
    "Neural Hive: kernel",
    "Lag, batches, transactions, state, dead letters and stalls of every partition.",
    (
        Row(
            "Processes",
            (
                panel(
                    "Answering",
                    ('up{job="neural-hive"}', "{{process}}"),
                    shape="stat",
                    limit=Limit(1, is_max=False),
                ),
                panel(
                    "Ready", ("neural_hive_ready", "{{process}}"), shape="stat", limit=Limit(1, is_max=False)
                ),
                panel("Running, says the supervisor", ("neural_hive_process_running", "{{name}}")),
                panel("Restarts", ("increase(neural_hive_process_restarts_total[1h])", "{{name}}")),
            ),
        ),
        Row(
            "Lag",
            (
                panel(
                    "Records not yet processed",
                    (
                        total("neural_hive_input_lag_records", "system", "topic", "partition"),
                        f"{_PLACE} {{{{topic}}}}",
                    ),
                ),
                panel(
                    "Records fetched and waiting",
                    (total("neural_hive_queued_records", "system"), "{{system}}"),
                ),
                panel(
                    "Records taken", (rate("neural_hive_records_total", "system"), "{{system}}"), unit="ops"
                ),
                panel(
                    "Events committed", (rate("neural_hive_events_total", "system"), "{{system}}"), unit="ops"
                ),
            ),
        ),
        Row(
            "Batches",
            (
                panel(
                    "Records of a batch, p95",
                    (quantile(0.95, "neural_hive_batch_records", "system"), "{{system}}"),
                ),
                panel(
                    "Time of a batch, p95",
                    (quantile(0.95, "neural_hive_batch_seconds", "system"), "{{system}}"),
                    unit="s",
                ),
                panel("Repeats", (rate("neural_hive_repeats_total", "system"), "{{system}}"), unit="ops"),
            ),
        ),
        Row(
            "Transactions",
            (
                panel(
                    "Time, p50 and p99",
                    (quantile(0.5, "neural_hive_transaction_seconds", "system"), "p50 {{system}}"),
                    (quantile(0.99, "neural_hive_transaction_seconds", "system"), "p99 {{system}}"),
                    unit="s",
                ),
                panel(
                    "Each second",
                    (rate("neural_hive_transaction_seconds_count", "system"), "{{system}}"),
                    unit="ops",
                ),
            ),
        ),
        Row(
            "State",
            (
                panel(
                    "On the disk", (total("neural_hive_state_bytes", "system"), "{{system}}"), unit="bytes"
                ),
                panel("Last recovery", ("neural_hive_recovery_seconds", _PLACE), unit="s"),
                panel(
                    "Recoveries", (rate("neural_hive_recoveries_total", "system"), "{{system}}"), unit="ops"
                ),
            ),
        ),
        Row(
            "Dead letters and failures",
            (
                panel(
                    "Dead letters",
                    (rate("neural_hive_dead_letters_total", "system"), "{{system}}"),
                    unit="ops",
                ),
                panel(
                    "Timers that failed",
                    (rate("neural_hive_timers_failed_total", "system"), "{{system}}"),
                    unit="ops",
                ),
                panel(
                    "Records that views could not take",
                    (rate("neural_hive_broadcast_skipped_total", "topic"), "{{topic}}"),
                    unit="ops",
                ),
            ),
        ),
        Row(
            "Stalls",
            (
                panel("Partitions that are stopped", ("neural_hive_partition_stopped == 1", _PLACE)),
                panel(
                    "Hidden by an open transaction",
                    (total("neural_hive_unstable_records", "topic"), "{{topic}}"),
                ),
                panel(
                    "Age of what is read whole",
                    ("max by (topic) (neural_hive_broadcast_age_seconds)", "{{topic}}"),
                    unit="s",
                ),
                panel(
                    "Read anew, since the log had lost it",
                    (rate("neural_hive_broadcast_read_anew_total", "topic"), "{{topic}}"),
                    unit="ops",
                ),
            ),
        ),
        RESOURCES,
        LOGS_AND_TRACES,
    ),
)

"""When a process or a partition does not do its work."""

from typing import Final

from neural_hive.monitoring.kernel import KERNEL
from neural_hive.monitoring.model import Alert, AlertGroup

_PAGE: Final = KERNEL.uid
_DOWN: Final = 'up{job="neural-hive"} == 0'
_RUNS: Final = "neural_hive_process_running"
_PLACE: Final = "{{ $labels.system }}.{{ $labels.partition }}"

KERNEL_ALERTS: Final = AlertGroup(
    "kernel",
    (
        Alert(
            "HiveProcessDown",
            # Not all that may run does; without a supervisor nobody says what does.
            f'{_DOWN} and on (process) label_replace({_RUNS}, "process", "$1", "name", "(.+)") '
            f"or {_DOWN} unless on () {_RUNS}",
            "1m",
            "critical",
            "{{ $labels.process }} does not answer",
            "Prometheus has had no answer from {{ $labels.process }} at {{ $labels.instance }} for a minute.",
            _PAGE,
        ),
        Alert(
            "HiveProcessNotReady",
            "neural_hive_ready == 0",
            "2m",
            "warning",
            "{{ $labels.process }} lives and does not do its work",
            "Its page /ready has said 503 for two minutes; its log says what it waits for.",
            _PAGE,
        ),
        Alert(
            "HiveProcessRestarting",
            "increase(neural_hive_process_restarts_total[15m]) > 3",
            "0m",
            "warning",
            "{{ $labels.name }} is started again and again",
            "The supervisor has started it {{ $value | humanize }} times within 15 minutes.",
            _PAGE,
        ),
        Alert(
            "HivePartitionStopped",
            "neural_hive_partition_stopped == 1",
            "0m",
            "critical",
            f"Partition {_PLACE} may not go on",
            "Its log is broken or stalled. The others go on; nothing of this one is decided until somebody looks.",
            _PAGE,
        ),
        Alert(
            "HiveInputLagGrowing",
            "neural_hive_input_lag_records > 1000 and deriv(neural_hive_input_lag_records[10m]) > 0",
            "10m",
            "warning",
            f"{_PLACE} falls behind",
            "{{ $value | humanize }} records of {{ $labels.topic }} wait, and they become more.",
            _PAGE,
        ),
        Alert(
            "HiveInputStuck",
            "min_over_time(neural_hive_input_lag_records[10m]) > 0 "
            "and on (system, partition) (rate(neural_hive_records_total[10m]) == 0)",
            "5m",
            "critical",
            f"{_PLACE} takes nothing, though records wait",
            "{{ $value | humanize }} records of {{ $labels.topic }} and more have waited for ten minutes.",
            _PAGE,
        ),
        Alert(
            "HiveDeadLetters",
            "sum by (system) (increase(neural_hive_dead_letters_total[15m])) > 0",
            "0m",
            "warning",
            "{{ $labels.system }} could not process records",
            "{{ $value | humanize }} records became dead letters within 15 minutes: the table dead_letters says why.",
            _PAGE,
        ),
        Alert(
            "HiveOpenTransactionStall",
            "min_over_time(neural_hive_unstable_records[5m]) > 0",
            "1m",
            "critical",
            "A transaction on {{ $labels.topic }} does not end",
            "{{ $value | humanize }} records of partition {{ $labels.partition }} are hidden from every reader.",
            _PAGE,
        ),
        Alert(
            "HiveTransactionsSlow",
            "histogram_quantile(0.99, sum by (le, system) (rate(neural_hive_transaction_seconds_bucket[10m]))) > 1",
            "10m",
            "warning",
            "Transactions of {{ $labels.system }} are slow",
            "Their p99 is {{ $value | humanizeDuration }}: look at the brokers and at the disk of the state.",
            _PAGE,
        ),
        Alert(
            "HiveRecoveriesMany",
            "sum by (system) (increase(neural_hive_recoveries_total[15m])) "
            "> 3 * count by (system) (neural_hive_partition_stopped)",
            "0m",
            "warning",
            "{{ $labels.system }} recovers again and again",
            "Its partitions were opened {{ $value | humanize }} times within 15 minutes.",
            _PAGE,
        ),
        Alert(
            "HiveTimersFailing",
            "sum by (system) (increase(neural_hive_timers_failed_total[1h])) > 0",
            "0m",
            "warning",
            "Timers of {{ $labels.system }} fail",
            "{{ $value | humanize }} times within an hour; they are tried again, and the log says why.",
            _PAGE,
        ),
        Alert(
            "HiveBroadcastOld",
            "neural_hive_broadcast_age_seconds > 30",
            "2m",
            "warning",
            "What is known of {{ $labels.topic }} is old",
            "It was last read to its end {{ $value | humanizeDuration }} ago: DEPLOY tickets wait.",
            _PAGE,
        ),
        Alert(
            "HiveErrorsLogged",
            'sum by (process) (increase(neural_hive_log_lines_total{level=~"error|critical"}[15m])) > 0',
            "0m",
            "warning",
            "{{ $labels.process }} logs errors",
            "{{ $value | humanize }} lines of level error or critical within 15 minutes.",
            _PAGE,
        ),
        Alert(
            "HiveTracesDropped",
            "sum by (process) (increase(neural_hive_trace_spans_dropped_total[15m])) > 0",
            "15m",
            "info",
            "Traces of {{ $labels.process }} are incomplete",
            "{{ $value | humanize }} spans were dropped within 15 minutes. No work depends on them.",
            _PAGE,
        ),
    ),
)

"""When budgets run out, deploys are frozen, or nobody counts what is promised."""

from typing import Final

from neural_hive.monitoring.kernel import KERNEL
from neural_hive.monitoring.model import Alert, AlertGroup
from neural_hive.monitoring.projector import PROJECTOR
from neural_hive.monitoring.sla import SLA

_S: Final = "neural_hive_sla"
_OF: Final = 'system=~"sla|sli"'
_OPEN: Final = 'neural_hive_partition_stopped{system="sla"}'
_STOPS: Final = "neural_hive_process_running"
_SLO: Final = "{{ $labels.slo_id }} of {{ $labels.service_name }}"
_LOW: Final = 'status=~"CRITICAL|EXHAUSTED"'

SLA_SYSTEM_ALERTS: Final = AlertGroup(
    "sla-system",
    (
        Alert(
            "SLAManagementSystemDown",
            # It was there within a day, and no partition of it is open now.
            f"count(max_over_time({_OPEN}[1d])) unless count({_OPEN} == 0)",
            "2m",
            "critical",
            "Nobody looks at error budgets",
            "The SLA calculator has run within a day, and none of its {{ $value }} partitions is open now.",
            KERNEL.uid,
        ),
        Alert(
            "HighErrorRate",
            f"(sum(rate(neural_hive_dead_letters_total{{{_OF}}}[10m])) "
            f"+ sum(rate(neural_hive_timers_failed_total{{{_OF}}}[10m]))) "
            f"/ sum(rate(neural_hive_records_total{{{_OF}}}[10m])) > 0.05",
            "5m",
            "warning",
            "Much of what is counted for SLOs cannot be processed",
            "Dead letters and failed looks are {{ $value | humanizePercentage }} of the records of 10 minutes.",
            SLA.uid,
        ),
        Alert(
            "SlowCalculations",
            f"histogram_quantile(0.95, sum by (le) (rate({_S}_calculation_duration_seconds_bucket[10m]))) > 0.5",
            "10m",
            "warning",
            "Looks at error budgets are slow",
            "Their p95 is {{ $value | humanizeDuration }}: with many SLOs, levels and freezes come late.",
            SLA.uid,
        ),
        Alert(
            "SLALogDown",
            f'min by (topic) (neural_hive_broadcast_age_seconds{{topic=~"sla[.].+"}}) > 60 '
            f'or {_STOPS}{{name=~"kafka.*"}} == 0',
            "1m",
            "critical",
            "The log of SLOs does not answer",
            "Nothing is counted and no freeze begins or ends. DEPLOY tickets wait until freezes are known again.",
            KERNEL.uid,
        ),
        Alert(
            "SLAProjectionStoreDown",
            f'{_STOPS}{{name="clickhouse"}} == 0 or (sum(increase(neural_hive_projector_retries_total[10m])) > 3 '
            'and sum(neural_hive_projector_lag_records{topic=~"sla[.].+"}) > 0)',
            "3m",
            "warning",
            "Tables of SLOs and budgets are not written",
            "Budgets are looked at and freezes hold; page, API and `neural-hive slo` show what was written last.",
            PROJECTOR.uid,
        ),
    ),
)

SLA_BUDGET_ALERTS: Final = AlertGroup(
    "sla-budgets",
    (
        Alert(
            "CriticalBudgetExhausted",
            f"{_S}_budget_status == 3",
            "0m",
            "critical",
            f"Nothing is left of the error budget of {_SLO}",
            "More events have gone wrong within its window than its target allows.",
            SLA.uid,
        ),
        Alert(
            "MultipleCriticalBudgets",
            f"sum({_S}_budgets{{{_LOW}}}) >= 3",
            "5m",
            "critical",
            "Three budgets and more have less than a fifth left",
            "It is so with {{ $value }} budgets: look for what they have in common.",
            SLA.uid,
        ),
        Alert(
            "HighBurnRateFast",
            f"{_S}_burn_level >= 2",
            "0m",
            "critical",
            f"The error budget of {_SLO} burns fast",
            "14.4 times too fast within 1 h and 5 m, or 6 times within 6 h and 30 m: it is gone in days.",
            SLA.uid,
        ),
        Alert(
            "HighBurnRateSlow",
            f"{_S}_burn_level == 1",
            "15m",
            "warning",
            f"The error budget of {_SLO} burns",
            "3 times too fast within 24 h and 2 h, or as fast as allowed and more within 3 d and 6 h.",
            SLA.uid,
        ),
    ),
)

SLA_FREEZE_ALERTS: Final = AlertGroup(
    "sla-freezes",
    (
        Alert(
            "FreezeActivated",
            f"sum by (scope) (increase({_S}_freezes_activated_total[10m])) > 0",
            "0m",
            "warning",
            "A freeze of scope {{ $labels.scope }} has begun",
            "{{ $value | humanize }} within 10 minutes: `neural-hive slo freezes` says for which budgets.",
            SLA.uid,
        ),
        Alert(
            "LongRunningFreeze",
            f"max({_S}_freeze_age_seconds) > 86400",
            "5m",
            "warning",
            "A freeze holds for more than a day",
            "The oldest one holds for {{ $value | humanizeDuration }}.",
            SLA.uid,
        ),
        Alert(
            "MultipleActiveFreezes",
            f"sum({_S}_freezes_active) >= 3",
            "5m",
            "warning",
            "Three freezes and more hold at once",
            "{{ $value }} hold: what several services share may be what breaks them.",
            SLA.uid,
        ),
    ),
)

SLA_INDICATOR_ALERTS: Final = AlertGroup(
    "sla-indicators",
    (
        Alert(
            "SLIPrometheusUnanswered",
            f'sum(rate({_S}_prometheus_queries_total{{outcome!="answered"}}[10m])) '
            f"/ sum(rate({_S}_prometheus_queries_total[10m])) > 0.5",
            "5m",
            "warning",
            "Prometheus is asked for SLIs in vain",
            "{{ $value | humanizePercentage }} of the queries of 10 minutes were refused or had no answer.",
            SLA.uid,
        ),
        Alert(
            "SLIMinutesLeftOut",
            f'sum by (outcome) (increase({_S}_prometheus_minutes_total{{outcome=~"wrong|too_old"}}[15m])) > 0',
            "0m",
            "warning",
            "Minutes of SLOs are not counted: {{ $labels.outcome }}",
            "{{ $value | humanize }} minutes were left out within 15 minutes; the log says which and why.",
            SLA.uid,
        ),
        Alert(
            "SLIEventsUncounted",
            f'sum(increase({_S}_events_total{{when="uncounted"}}[1h])) > 0',
            "0m",
            "warning",
            "Events count for no SLO",
            "{{ $value | humanize }} within an hour were older than their window, or an hour and more ahead.",
            SLA.uid,
        ),
        Alert(
            "SLICountingBehind",
            f"max({_S}_prometheus_behind_seconds) > 600 "
            f"or sum(min_over_time(neural_hive_input_lag_records{{{_OF}}}[10m])) > 1000",
            "5m",
            "warning",
            "SLIs are counted late",
            "Prometheus is asked for minutes of ten minutes ago, or 1,000 records wait: budgets look too full.",
            SLA.uid,
        ),
        Alert(
            "SLAAlertmanagerBehind",
            f"min({_S}_alertmanager_sender_behind_seconds) > 300",
            "2m",
            "warning",
            "Alertmanager does not hear of violations",
            "It was last told all {{ $value | humanizeDuration }} ago: after 15 minutes it takes violations for over.",
            SLA.uid,
        ),
    ),
)

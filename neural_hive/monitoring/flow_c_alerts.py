"""When Flow C does not keep what it promises."""

from typing import Final

from neural_hive.monitoring.flow_c import DEADLINE_S, FLOW_C, SUCCESS, SUCCESS_RATE, WORKERS
from neural_hive.monitoring.model import Alert, AlertGroup

_C: Final = "neural_hive_flow_c"
_CALLS: Final = "neural_hive_service_registry_calls_total"
_PAGE: Final = FLOW_C.uid

FLOW_C_ALERTS: Final = AlertGroup(
    "flow-c",
    (
        Alert(
            "FlowCHighLatency",
            f"histogram_quantile(0.95, sum by (le) (rate({_C}_duration_seconds_bucket[15m]))) > {DEADLINE_S}",
            "5m",
            "critical",
            "5 % of workflows and more take longer than 4 hours",
            "The p95 of workflows that ended in the last 15 minutes is {{ $value | humanizeDuration }}.",
            _PAGE,
        ),
        Alert(
            "FlowCLowSuccessRate",
            f"{SUCCESS_RATE} < {SUCCESS:g}",
            "10m",
            "critical",
            "Fewer than 99 % of workflows succeed",
            "{{ $value | humanizePercentage }} of the workflows that ended in the last hour were completed.",
            _PAGE,
        ),
        Alert(
            "FlowCStepTimeout",
            f'sum by (task_type) (increase({_C}_tickets_ended_total{{status="TIMED_OUT"}}[15m])) > 0',
            "0m",
            "warning",
            "Tickets of type {{ $labels.task_type }} run out of time",
            "{{ $value | humanize }} attempts at {{ $labels.task_type }} tickets timed out within 15 minutes.",
            _PAGE,
        ),
        Alert(
            "FlowCNoTicketsGenerated",
            f"(sum(increase({_C}_workflows_started_total[15m])) > 0 "
            f"unless sum(increase({_C}_tickets_generated_total[15m])) > 0) "
            f'or (sum(min_over_time(neural_hive_input_lag_records{{topic="plans.consensus"}}[15m])) > 0 '
            f"unless sum(increase({_C}_validations_total[15m])) > 0)",
            "5m",
            "critical",
            "Plans arrive and no tickets are made of them",
            "For 15 minutes {{ $value | humanize }} plans were begun or lie in the log, and none became tickets.",
            _PAGE,
        ),
        Alert(
            "FlowCWorkersUnavailable",
            f"({WORKERS}) < 1",
            "2m",
            "critical",
            "No healthy worker is registered",
            "Tickets wait until a worker registers, or one that fell silent is heard again.",
            _PAGE,
        ),
        Alert(
            "FlowCTelemetryBufferFull",
            f"{_C}_telemetry_buffer_size / {_C}_telemetry_buffer_limit > 0.9 "
            f'or sum without (reason) (increase({_C}_telemetry_dropped_total{{reason="full"}}[5m])) > 0',
            "5m",
            "warning",
            "Telemetry of Flow C does not reach Kafka",
            "The buffer of measurements is full, and the oldest are dropped. No decision depends on them.",
            _PAGE,
        ),
        Alert(
            "FlowCSLAViolations",
            f"sum(increase({_C}_sla_violations_total[1h])) > 0",
            "0m",
            "critical",
            "Workflows miss their deadline",
            "{{ $value | humanize }} workflows were found undone by their deadline within the last hour.",
            _PAGE,
        ),
        Alert(
            "FlowCWorkerDiscoveryFailures",
            f'sum(min_over_time({_C}_workflows_waiting{{reason="no_agent"}}[5m])) > 0 '
            f'or sum(rate({_CALLS}{{outcome="not_granted"}}[15m])) / sum(rate({_CALLS}[15m])) > 0.5',
            "5m",
            "warning",
            "No agent is found for tickets",
            "Workflows wait since nobody can do their tickets, or most slots that are asked for are not granted.",
            _PAGE,
        ),
    ),
)

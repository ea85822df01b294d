"""The orchestrator in nine rows."""

from typing import Final

from neural_hive.monitoring.flow_c import DEADLINE_S, SUCCESS, SUCCESS_RATE
from neural_hive.monitoring.model import Dashboard, Limit, Row, panel, quantile, rate, total

_C: Final = "neural_hive_flow_c"
_OF: Final = 'system=~"orchestrator.*"'

_OVERVIEW: Final = Row(
    "Overview",
    (
        panel("Workflows started", rate(f"{_C}_workflows_started_total"), unit="ops", shape="stat"),
        panel("Workflows that go on", total(f"{_C}_workflows_active"), shape="stat"),
        panel(
            "Success within the last hour",
            SUCCESS_RATE,
            unit="percentunit",
            shape="gauge",
            limit=Limit(SUCCESS, is_max=False),
        ),
        panel("Workflows ended", (rate(f"{_C}_workflows_ended_total", "status"), "{{status}}"), unit="ops"),
    ),
)
_DURATION: Final = Row(
    "Duration",
    (
        panel(
            "Workflows",
            (quantile(0.5, f"{_C}_duration_seconds"), "p50"),
            (quantile(0.95, f"{_C}_duration_seconds"), "p95"),
            (quantile(0.99, f"{_C}_duration_seconds"), "p99"),
            unit="s",
            limit=Limit(DEADLINE_S),
        ),
        panel("Steps, p95", (quantile(0.95, f"{_C}_steps_duration_seconds", "step"), "{{step}}"), unit="s"),
        panel("Computing, p95", (quantile(0.95, f"{_C}_compute_seconds", "step"), "{{step}}"), unit="s"),
    ),
)
_TICKETS: Final = Row(
    "Tickets",
    (
        panel(
            "Generated and given to agents",
            (rate(f"{_C}_tickets_generated_total"), "generated"),
            (rate(f"{_C}_tickets_published_total"), "given"),
            unit="ops",
        ),
        panel("Ended", (rate(f"{_C}_tickets_ended_total", "status"), "{{status}}"), unit="ops"),
        panel("Waiting for an agent", total(f"{_C}_tickets_waiting")),
    ),
)
_SLA: Final = Row(
    "SLA",
    (
        panel("Violations", rate(f"{_C}_sla_violations_total"), unit="ops"),
        panel("Time to the next deadline", f"min({_C}_deadline_remaining_seconds)", unit="s"),
        panel("Deadlines approaching", total(f"{_C}_deadlines_approaching")),
    ),
)
_RETRY: Final = Row(
    "Retries and compensation",
    (
        panel("Retries", (rate(f"{_C}_retries_total", "task_type"), "{{task_type}}"), unit="ops"),
        panel("Compensations", (rate(f"{_C}_compensations_total", "status"), "{{status}}"), unit="ops"),
        panel("Workflows that wait", (total(f"{_C}_workflows_waiting", "reason"), "{{reason}}")),
    ),
)
_KAFKA: Final = Row(
    "Kafka",
    (
        panel("Lag of inputs", (total("neural_hive_input_lag_records", "topic", where=_OF), "{{topic}}")),
        panel(
            "Records taken",
            (rate("neural_hive_records_total", "system", where=_OF), "{{system}}"),
            unit="ops",
        ),
        panel(
            "Transactions, p95",
            (quantile(0.95, "neural_hive_transaction_seconds", "system", where=_OF), "{{system}}"),
            unit="s",
        ),
        panel(
            "Dead letters",
            (rate("neural_hive_dead_letters_total", "system", where=_OF), "{{system}}"),
            unit="ops",
        ),
    ),
)
_VALIDATIONS: Final = Row(
    "Validations",
    (
        panel("Plans looked at", (rate(f"{_C}_validations_total", "result"), "{{result}}"), unit="ops"),
        panel("Results and commands refused", (rate(f"{_C}_refused_total", "what"), "{{what}}"), unit="ops"),
        panel("Repeats", (rate("neural_hive_repeats_total", "system", where=_OF), "{{system}}"), unit="ops"),
    ),
)
RESOURCES: Final = Row(
    "Resources",
    (
        panel("CPU, cores", ("rate(process_cpu_seconds_total[$__rate_interval])", "{{process}}")),
        panel("Memory", ("process_resident_memory_bytes", "{{process}}"), unit="bytes"),
        panel("Open files", ("process_open_fds", "{{process}}")),
        panel(
            "Disk",
            ("neural_hive_disk_free_bytes", "free"),
            ("neural_hive_disk_size_bytes", "size"),
            unit="bytes",
        ),
    ),
)
LOGS_AND_TRACES: Final = Row(
    "Logs and traces",
    (
        panel(
            "Lines logged",
            (rate("neural_hive_log_lines_total", "process", "level"), "{{process}} {{level}}"),
            unit="ops",
            text="Each line of an event says trace_id: look for it where the traces are.",
        ),
        panel(
            "Spans exported and dropped",
            (rate("neural_hive_trace_spans_exported_total"), "exported"),
            (rate("neural_hive_trace_spans_dropped_total", "reason"), "dropped: {{reason}}"),
            unit="ops",
        ),
        panel("Spans that wait", ("neural_hive_trace_spans_waiting", "{{process}}")),
    ),
)

ORCHESTRATOR: Final = Dashboard(
    "neural-hive-orchestrator",
    "Neural Hive: orchestrator",
    "What the orchestrator does, and how it is.",
    (_OVERVIEW, _DURATION, _TICKETS, _SLA, _RETRY, _KAFKA, _VALIDATIONS, RESOURCES, LOGS_AND_TRACES),
)

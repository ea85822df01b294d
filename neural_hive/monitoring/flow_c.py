"""Flow C: do plans become done work, in time?"""

from typing import Final

from neural_hive.monitoring.model import Dashboard, Limit, Row, panel, quantile, rate, total

DEADLINE_S: Final = 14_400  # the objective of SLO and dashboard: 95 % of workflows end within 4 hours
SUCCESS: Final = 0.99
_C: Final = "neural_hive_flow_c"
_DURATION: Final = f"{_C}_duration_seconds"

SUCCESS_RATE: Final = (
    f"sum(increase({_C}_success_total[1h])) / "
    f"(sum(increase({_C}_success_total[1h])) + (sum(increase({_C}_failures_total[1h])) or vector(0)))"
)
WORKERS: Final = 'sum(agents_active{type="WORKER",status="HEALTHY"}) or vector(0)'

FLOW_C: Final = Dashboard(
    "neural-hive-flow-c",
    "Neural Hive: Flow C",
    "From an accepted plan to done work: 95 % within 4 hours, more than 99 % succeed, at least one healthy worker.",
    (
        Row(
            "Objectives",
            (
                panel(
                    "Latency of workflows",
                    (quantile(0.95, _DURATION), "p95"),
                    (quantile(0.99, _DURATION), "p99"),
                    unit="s",
                    limit=Limit(DEADLINE_S),
                    text="From a plan's acceptance to the end of its workflow; the line is at 4 hours.",
                ),
                panel(
                    "Success within the last hour",
                    SUCCESS_RATE,
                    unit="percentunit",
                    shape="gauge",
                    limit=Limit(SUCCESS, is_max=False),
                ),
                panel("Workers available", WORKERS, shape="stat", limit=Limit(1, is_max=False)),
            ),
        ),
        Row(
            "Steps",
            (
                panel(
                    "p95 of each step",
                    (quantile(0.95, f"{_C}_steps_duration_seconds", "step"), "{{step}}"),
                    unit="s",
                    text="C1 validate, C2 generate, C3 allocate, C4 dispatch, C5 execute, C6 consolidate.",
                ),
                panel(
                    "Computing in each step, p95",
                    (quantile(0.95, f"{_C}_compute_seconds", "step"), "{{step}}"),
                    unit="s",
                ),
            ),
        ),
        Row(
            "Failures",
            (
                panel(
                    "Failures by reason", (rate(f"{_C}_failures_total", "reason"), "{{reason}}"), unit="ops"
                ),
                panel("SLA violations", rate(f"{_C}_sla_violations_total"), unit="ops"),
                panel(
                    "Incidents opened",
                    (rate(f"{_C}_incidents_opened_total", "kind", "severity"), "{{kind}} {{severity}}"),
                    unit="ops",
                ),
            ),
        ),
        Row(
            "Work in hand and telemetry",
            (
                panel("Workflows that go on", (total(f"{_C}_workflows_active", "status"), "{{status}}")),
                panel(
                    "Telemetry buffer",
                    (total(f"{_C}_telemetry_buffer_size"), "waiting"),
                    (total(f"{_C}_telemetry_buffer_limit"), "limit"),
                ),
                panel(
                    "Telemetry published and dropped",
                    (rate(f"{_C}_telemetry_published_total", "topic"), "{{topic}}"),
                    (rate(f"{_C}_telemetry_dropped_total", "reason"), "dropped: {{reason}}"),
                    unit="ops",
                ),
            ),
        ),
    ),
)

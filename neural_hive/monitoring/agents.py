"""Agents and tickets: who does the work, how they are found, and how the work goes."""

from typing import Final

from neural_hive.monitoring.flow_c import WORKERS
from neural_hive.monitoring.model import Dashboard, Limit, Row, panel, quantile, rate, total

_C: Final = "neural_hive_flow_c"

REGISTRY: Final = Dashboard(
    "neural-hive-registry",
    "Neural Hive: registry",
    "Agents that come, live, fall silent and go, and how they are found.",
    (
        Row(
            "Registration",
            (
                panel("Agents", (total("agents_active", "type", "status"), "{{type}} {{status}}")),
                panel("Workers available", WORKERS, shape="stat", limit=Limit(1, is_max=False)),
                panel(
                    "Come and gone",
                    (rate("agents_registered_total"), "registered"),
                    (rate("agents_deregistered_total"), "deregistered"),
                    (rate("agents_removed_total"), "removed"),
                    unit="ops",
                ),
            ),
        ),
        Row(
            "Heartbeats and health",
            (
                panel("Heartbeats", rate("heartbeats_received_total"), unit="ops"),
                panel("Latency of heartbeats, p95", quantile(0.95, "heartbeat_latency_seconds"), unit="s"),
                panel(
                    "Looked at, and found unhealthy",
                    (rate("health_checks_total"), "looked at"),
                    (rate("agents_marked_unhealthy_total"), "unhealthy"),
                    unit="ops",
                ),
            ),
        ),
        Row(
            "Discovery",
            (
                panel("Searches", (rate("discovery_requests_total", "asked_by"), "{{asked_by}}"), unit="ops"),
                panel(
                    "Time of a search, p95",
                    (quantile(0.95, "discovery_duration_seconds", "asked_by"), "{{asked_by}}"),
                    unit="s",
                ),
            ),
        ),
        Row(
            "Matching",
            (
                panel(
                    "Agents looked at, p95",
                    (quantile(0.95, "matching_candidates_evaluated", "asked_by"), "{{asked_by}}"),
                ),
                panel("Agents found, p50", (quantile(0.5, "agents_matched", "asked_by"), "{{asked_by}}")),
            ),
        ),
        Row(
            "Slots",
            (
                panel(
                    "Requests for slots", (rate("agent_slots_total", "outcome"), "{{outcome}}"), unit="ops"
                ),
                panel(
                    "Asked by the orchestrator",
                    (rate("neural_hive_service_registry_calls_total", "outcome"), "{{outcome}}"),
                    unit="ops",
                ),
                panel(
                    "From asking to the answer, p95",
                    quantile(0.95, "neural_hive_service_registry_latency_seconds"),
                    unit="s",
                ),
            ),
        ),
    ),
)

TICKETS: Final = Dashboard(
    "neural-hive-tickets",
    "Neural Hive: tickets",
    "Tickets, and the attempts that workers make at them.",
    (
        Row(
            "Tickets",
            (
                panel(
                    "Generated",
                    (rate(f"{_C}_tickets_generated_total", "task_type"), "{{task_type}}"),
                    unit="ops",
                ),
                panel(
                    "Given to agents",
                    (rate(f"{_C}_tickets_published_total", "task_type"), "{{task_type}}"),
                    unit="ops",
                ),
                panel("Ended", (rate(f"{_C}_tickets_ended_total", "status"), "{{status}}"), unit="ops"),
                panel("Waiting", total(f"{_C}_tickets_waiting")),
            ),
        ),
        Row(
            "Attempts",
            (
                panel("Running", (total("neural_hive_attempts_running", "executor"), "{{executor}}")),
                panel("Ended", (rate("neural_hive_attempts_total", "outcome"), "{{outcome}}"), unit="ops"),
                panel(
                    "Time, p95",
                    (quantile(0.95, "neural_hive_attempt_seconds", "executor"), "{{executor}}"),
                    unit="s",
                ),
                panel(
                    "From dispatch to begin, p95",
                    (quantile(0.95, "neural_hive_attempt_start_seconds", "task_type"), "{{task_type}}"),
                    unit="s",
                ),
            ),
        ),
        Row(
            "What attempts leave",
            (
                panel("Exits", (rate("neural_hive_attempt_exits_total", "how"), "{{how}}"), unit="ops"),
                panel(
                    "Begun again",
                    (rate("neural_hive_attempts_again_total", "task_type"), "{{task_type}}"),
                    unit="ops",
                ),
                panel(
                    "Share of the time limit used, p95",
                    (quantile(0.95, "neural_hive_attempt_limit_used_ratio", "task_type"), "{{task_type}}"),
                    unit="percentunit",
                    limit=Limit(1),
                ),
                panel("Artifacts", rate("neural_hive_artifact_bytes_total"), unit="bytes"),
            ),
        ),
    ),
)

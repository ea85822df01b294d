"""The metrics have the names that dashboards and alerts were promised."""

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest

import neural_hive.discovery
import neural_hive.streams.registry.metrics  # noqa: F401
from neural_hive.streams.flow_c.follow import follow
from neural_hive.streams.kernel.system import System

REGISTRY_NAMES = {
    "agents_registered_total": (),
    "agents_deregistered_total": (),
    "agents_active": ("type", "status"),
    "heartbeats_received_total": (),
    "heartbeat_latency_seconds": (),
    "discovery_requests_total": ("asked_by",),
    "discovery_duration_seconds": ("asked_by",),
    "matching_candidates_evaluated": ("asked_by",),
    "agents_matched": ("asked_by",),
    "health_checks_total": (),
    "agents_marked_unhealthy_total": (),
    "agents_removed_total": (),
}
FLOW_C = (
    *(
        "workflows_started_total",
        "workflows_ended_total",
        "success_total",
        "failures_total",
        "duration_seconds",
    ),
    *("workflows_active", "tickets_generated_total", "tickets_published_total", "tickets_ended_total"),
    *("sla_violations_total", "deadline_remaining_seconds", "deadlines_approaching"),
    *("retries_total", "compensations_total", "validations_total", "steps_duration_seconds"),
)


def test_the_registrys_names_are_those_that_were_promised() -> None:
    known = {name: metric for metric, names in REGISTRY._collector_to_names.items() for name in names}
    for name, labels in REGISTRY_NAMES.items():
        assert name in known, f"there is no metric {name}"
        assert known[name]._labelnames == labels


def test_flow_cs_names_are_those_that_were_promised() -> None:
    registry = CollectorRegistry()
    follow(System("orchestrator", (), ()), None, registry)
    page = generate_latest(registry).decode()
    for name in FLOW_C:
        assert f"# TYPE neural_hive_flow_c_{name} " in page, f"there is no metric {name}"

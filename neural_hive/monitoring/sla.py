"""SLOs in seven rows: what is left of budgets, what burns, what is frozen, and whether all of it is counted."""

from typing import Final

from neural_hive.monitoring.model import Dashboard, Limit, Row, panel, quantile, rate, total

_S: Final = "neural_hive_sla"
_OF: Final = 'system=~"sla|sli"'
_LOW: Final = 'status=~"CRITICAL|EXHAUSTED"'
_WORST: Final = 15  # lines that one can still tell apart

_OVERVIEW: Final = Row(
    "Overview",
    (
        panel("SLOs", (total(f"{_S}_slos_total", where='enabled="true"'), "measured"), shape="stat"),
        panel(
            "Budgets with less than a fifth left",
            total(f"{_S}_budgets", where=_LOW),
            shape="stat",
            limit=Limit(1),
        ),
        panel("Active freezes", total(f"{_S}_freezes_active"), shape="stat", limit=Limit(1)),
        panel("Violations within a day", f"sum(increase({_S}_slo_violations_total[1d]))", shape="stat"),
    ),
)
_BUDGETS: Final = Row(
    "Budgets",
    (
        panel(
            "Left of the lowest budgets, %",
            (f"bottomk({_WORST}, {_S}_budget_remaining_percent)", "{{slo_id}}"),
            limit=Limit(20, is_max=False),
            text=f"Those {_WORST} of which least is left; below 0 they are overdrawn.",
        ),
        panel("Budgets by how much is left", (total(f"{_S}_budgets", "status"), "{{status}}")),
        panel("Exhausted", (f"sum by (service_name) ({_S}_budget_status == bool 3)", "{{service_name}}")),
    ),
)
_BURN: Final = Row(
    "Burn rates",
    (
        panel(
            "Within the last hour",
            (f'topk({_WORST}, {_S}_burn_rate{{window_hours="1"}})', "{{slo_id}}"),
            limit=Limit(14.4),
        ),
        panel(
            "Within the last 6 hours",
            (f'topk({_WORST}, {_S}_burn_rate{{window_hours="6"}})', "{{slo_id}}"),
            limit=Limit(6),
        ),
        panel("Budgets by how fast they burn", (total(f"{_S}_budgets", "level"), "{{level}}")),
    ),
)
_FREEZES: Final = Row(
    "Freezes and policies",
    (
        panel(
            "Active", (total(f"{_S}_freezes_active", "service_name", "scope"), "{{scope}} {{service_name}}")
        ),
        panel("The oldest holds for", f"max({_S}_freeze_age_seconds)", unit="s", shape="stat"),
        panel("Time of those that ended, p50", quantile(0.5, f"{_S}_freeze_duration_seconds"), unit="s"),
    ),
)
_VIOLATIONS: Final = Row(
    "Violations",
    (
        panel(
            "Opened within an hour",
            (f"sum by (severity) (increase({_S}_slo_violations_total[1h]))", "{{severity}}"),
        ),
        panel(
            "By service",
            (f"sum by (service_name) (increase({_S}_slo_violations_total[1h])) > 0", "{{service_name}}"),
        ),
    ),
)
_CALCULATOR: Final = Row(
    "Calculator",
    (
        panel("Looks at budgets", rate(f"{_S}_calculation_duration_seconds_count"), unit="ops"),
        panel(
            "Time of a look",
            (quantile(0.5, f"{_S}_calculation_duration_seconds"), "p50"),
            (quantile(0.99, f"{_S}_calculation_duration_seconds"), "p99"),
            unit="s",
        ),
        panel(
            "Events published",
            (rate(f"{_S}_kafka_events_published_total", "event_type"), "{{event_type}}"),
            unit="ops",
        ),
    ),
)
_INDICATORS: Final = Row(
    "Where SLIs come from",
    (
        panel("Events counted", (rate(f"{_S}_events_total", "when"), "{{when}}"), unit="ops"),
        panel(
            "Queries to Prometheus",
            (rate(f"{_S}_prometheus_queries_total", "outcome"), "{{outcome}}"),
            (rate(f"{_S}_prometheus_minutes_total", "outcome"), "minutes: {{outcome}}"),
            unit="ops",
        ),
        panel(
            "Behind",
            (total("neural_hive_input_lag_records", "topic", where=_OF), "records of {{topic}}"),
            (f"max({_S}_prometheus_behind_seconds)", "Prometheus, s"),
            (f"min({_S}_alertmanager_sender_behind_seconds)", "Alertmanager, s"),
        ),
    ),
)

SLA: Final = Dashboard(
    "neural-hive-sla",
    "Neural Hive: SLOs and error budgets",
    "What services promise, what is left of their error budgets, and what is frozen for it.",
    (_OVERVIEW, _BUDGETS, _BURN, _FREEZES, _VIOLATIONS, _CALCULATOR, _INDICATORS),
)

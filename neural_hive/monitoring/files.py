"""The files of deploy/ that are made here: dashboards, rules, and where Prometheus finds our processes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from neural_hive.connectors.ports import HOST
from neural_hive.monitoring.agents import REGISTRY, TICKETS
from neural_hive.monitoring.flow_c import FLOW_C
from neural_hive.monitoring.flow_c_alerts import FLOW_C_ALERTS
from neural_hive.monitoring.grafana import dashboard_json
from neural_hive.monitoring.kernel import KERNEL
from neural_hive.monitoring.kernel_alerts import KERNEL_ALERTS
from neural_hive.monitoring.model import AlertGroup, Dashboard
from neural_hive.monitoring.orchestrator import ORCHESTRATOR
from neural_hive.monitoring.projector import PROJECTOR
from neural_hive.monitoring.sla import SLA
from neural_hive.monitoring.sla_alerts import (
    SLA_BUDGET_ALERTS,
    SLA_FREEZE_ALERTS,
    SLA_INDICATOR_ALERTS,
    SLA_SYSTEM_ALERTS,
)
from neural_hive.monitoring.storage_alerts import STORAGE_ALERTS
from neural_hive.settings import Settings
from neural_hive.system import process_names

DASHBOARDS: Final[tuple[Dashboard, ...]] = (FLOW_C, ORCHESTRATOR, KERNEL, REGISTRY, TICKETS, PROJECTOR, SLA)
ALERTS: Final[tuple[AlertGroup, ...]] = (
    FLOW_C_ALERTS,
    KERNEL_ALERTS,
    STORAGE_ALERTS,
    SLA_SYSTEM_ALERTS,
    SLA_BUDGET_ALERTS,
    SLA_FREEZE_ALERTS,
    SLA_INDICATOR_ALERTS,
)
METRICS_PORT: Final = 19100  # of the processor, as deploy/servers.toml has it; the next ones are the others'
JOB: Final = "neural-hive"
_MADE: Final = "# Made by `neural-hive monitoring write`: change neural_hive/monitoring, not this file.\n"


def rendered() -> dict[str, str]:
    """All files by their place below deploy/."""
    found = {f"grafana/{d.uid.removeprefix('neural-hive-')}.json": dashboard_json(d) for d in DASHBOARDS}
    found |= {f"prometheus/rules/{group.name}.yaml": _MADE + _yaml(rules(group)) for group in ALERTS}
    found["prometheus/prometheus.yaml"] = _MADE + _yaml(_prometheus())
    return found


def write(folder: Path) -> list[str]:
    """Writes what is not there or differs; gives the names of these files."""
    changed = list(differing(folder))
    for name in changed:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(rendered()[name])
    return changed


def differing(folder: Path) -> Iterator[str]:
    """The files that are not as they are made here."""
    for name, text in rendered().items():
        file = folder / name
        if not file.is_file() or file.read_text() != text:
            yield name


def rules(group: AlertGroup) -> dict[str, Any]:
    """A group of alerts as Prometheus reads it."""
    pages = {dashboard.uid: dashboard.url for dashboard in DASHBOARDS}
    found = [
        {
            "alert": alert.name,
            "expr": alert.expr,
            "for": alert.lasting,
            "labels": {"severity": alert.severity},
            "annotations": {
                "summary": alert.summary,
                "description": alert.description,
                "runbook_url": alert.runbook,
                "dashboard_url": pages[alert.dashboard],
            },
        }
        for alert in group.alerts
    ]
    return {"groups": [{"name": f"neural-hive-{group.name}", "rules": found}]}


def _prometheus() -> dict[str, Any]:
    targets = [
        {"targets": [f"{HOST}:{port}"], "labels": {"process": name}}
        for port, name in enumerate(process_names(Settings.model_construct()), METRICS_PORT)
    ]
    return {
        "global": {"scrape_interval": "15s", "evaluation_interval": "15s"},
        "rule_files": ["rules/*.yaml"],
        "scrape_configs": [{"job_name": JOB, "static_configs": targets}],
    }


def _yaml(document: dict[str, Any]) -> str:
    return yaml.safe_dump(document, sort_keys=False, width=1_000, allow_unicode=True)

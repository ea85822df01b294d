"""Dashboards as Grafana reads them: one JSON model each, with a data source that the viewer chooses."""

import json
from typing import Any, Final

from neural_hive.monitoring.model import Dashboard, Limit, Panel

_COLUMNS: Final = 24
_HEIGHT: Final = 8
_SCHEMA_VERSION: Final = 39
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_REF_IDS: Final = "ABCDEFGH"


def dashboard_json(dashboard: Dashboard) -> str:
    """The file of a dashboard."""
    return json.dumps(_model(dashboard), indent=2) + "\n"


def _model(dashboard: Dashboard) -> dict[str, Any]:
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.text,
        "tags": ["neural-hive"],
        "schemaVersion": _SCHEMA_VERSION,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "templating": {
            "list": [
                {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
            ]
        },
        "panels": _panels(dashboard),
    }


def _panels(dashboard: Dashboard) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    y = 0
    for row in dashboard.rows:
        place = {"x": 0, "y": y, "w": _COLUMNS, "h": 1}
        found.append(
            {
                "id": len(found) + 1,
                "type": "row",
                "title": row.title,
                "collapsed": False,
                "gridPos": place,
                "panels": [],
            }
        )
        width = _COLUMNS // len(row.panels)
        for number, panel in enumerate(row.panels):
            place = {"x": number * width, "y": y + 1, "w": width, "h": _HEIGHT}
            found.append({"id": len(found) + 1, "gridPos": place, **_panel(panel)})
        y += 1 + _HEIGHT
    return found


def _panel(panel: Panel) -> dict[str, Any]:
    targets = [
        {"refId": ref, "datasource": _SOURCE, "expr": q.expr, "legendFormat": q.legend or panel.title}
        for ref, q in zip(_REF_IDS, panel.queries, strict=False)
    ]
    return {
        "type": panel.shape,
        "title": panel.title,
        "description": panel.text,
        "datasource": _SOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel),
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit}
    if panel.shape == "gauge":
        defaults |= {"min": 0, "max": 1}
    if panel.limit is not None:
        defaults["thresholds"] = _thresholds(panel.limit)
        if panel.shape == "timeseries":
            defaults["custom"] = {"thresholdsStyle": {"mode": "line"}}
    return defaults


def _thresholds(limit: Limit) -> dict[str, Any]:
    below, above = ("green", "red") if limit.is_max else ("red", "green")
    steps = [{"color": below, "value": None}, {"color": above, "value": limit.value}]
    return {"mode": "absolute", "steps": steps}


def _options(panel: Panel) -> dict[str, Any]:
    if panel.shape == "timeseries":
        return {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
    return {"reduceOptions": {"calcs": ["lastNotNull"]}}

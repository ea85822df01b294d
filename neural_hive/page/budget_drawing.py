"""What is left of an error budget over its window, and how fast it burned, as ECharts takes them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from neural_hive.aggregates.burn import CRITICAL_BELOW, PAIRS, WARNING_BELOW
from neural_hive.budget_reads import Look, SloBudget

_GREY: Final = "#888"
_FROZEN: Final = "rgba(33, 150, 243, 0.15)"
_ICE: Final = "#2196f3"
_LEVELS: Final = ((WARNING_BELOW, "#fb8c00"), (CRITICAL_BELOW, "#e53935"), (0.0, "#b71c1c"))
Times = Sequence[tuple[datetime, datetime]]


def burn_down(info: SloBudget, looks: Sequence[Look], frozen: Times) -> dict[str, Any]:
    """What was left, in percent; where it will be gone if it burns on so; when deploys were frozen."""
    left = [[_ms(look.upto), round(look.remaining * 100, 3)] for look in looks]
    series = [
        {
            "name": "left",
            "type": "line",
            "showSymbol": len(left) < 2,
            "step": "end",
            "areaStyle": {"opacity": 0.15},
            "data": left,
            "markLine": {
                "silent": True,
                "symbol": "none",
                "data": [
                    {"yAxis": share * 100, "lineStyle": {"color": color}, "label": {"show": False}}
                    for share, color in _LEVELS
                ],
            },
            "markArea": {
                "silent": True,
                "itemStyle": {"color": _FROZEN},
                "label": {"color": _ICE, "position": "insideTop"},
                "data": [
                    [{"name": "frozen", "xAxis": _ms(began)}, {"xAxis": _ms(ended)}]
                    for began, ended in frozen
                ],
            },
        }
    ]
    if info.exhausted_at and info.upto and info.remaining > 0:
        ahead = [[_ms(info.upto), round(info.remaining * 100, 3)], [_ms(info.exhausted_at), 0]]
        dashed = {"type": "dashed", "color": _GREY}
        series.append(
            {
                "name": "if it burns on so",
                "type": "line",
                "showSymbol": False,
                "lineStyle": dashed,
                "data": ahead,
            }
        )
    chart = _chart(series, "%")
    if info.starts_at:
        chart["xAxis"]["min"] = _ms(info.starts_at)
    chart["yAxis"]["max"] = 100
    return chart


def burn_rates(looks: Sequence[Look]) -> dict[str, Any]:
    """The burn rates of the long windows; 1 uses up exactly the budget."""
    names = [pair.long for pair in PAIRS]
    series = [
        {
            "name": name,
            "type": "line",
            "showSymbol": len(looks) < 2,
            "step": "end",
            "data": [[_ms(look.upto), round(getattr(look, f"burn_{name}"), 3)] for look in looks],
        }
        for name in names
    ]
    if series:
        series[0]["markLine"] = {
            "silent": True,
            "symbol": "none",
            "lineStyle": {"color": _GREY},
            "label": {"show": False},
            "data": [{"yAxis": 1}],
        }
    return _chart(series, "×")


def _chart(series: list[dict[str, Any]], unit: str) -> dict[str, Any]:
    return {
        "animation": False,
        "grid": {"left": 55, "right": 20, "top": 35, "bottom": 25},
        "legend": {"top": 0, "textStyle": {"color": _GREY}},
        "tooltip": {"trigger": "axis"},
        "xAxis": {"type": "time"},
        "yAxis": {"type": "value", "axisLabel": {"formatter": f"{{value}} {unit}"}},
        "series": series,
    }


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1_000)

"""What a dashboard and an alert are, before they are anybody's file format."""

from typing import Final, Literal

import msgspec

Unit = Literal["short", "s", "percentunit", "bytes", "reqps", "ops", "dateTimeAsIso"]
Shape = Literal["timeseries", "stat", "gauge"]
RUNBOOKS: Final = "docs/runbooks.md"


class Query(msgspec.Struct, frozen=True):
    """One PromQL expression of a panel, and the name of its lines (`{{label}}` is the label's value)."""

    expr: str
    legend: str = ""


class Limit(msgspec.Struct, frozen=True):
    """A line that must be kept to: below it if it is a maximum, above it if not."""

    value: float
    is_max: bool = True


class Panel(msgspec.Struct, frozen=True):
    """One picture: what it shows in a title, and in a sentence."""

    title: str
    queries: tuple[Query, ...]
    unit: Unit = "short"
    shape: Shape = "timeseries"
    limit: Limit | None = None
    text: str = ""


class Row(msgspec.Struct, frozen=True):
    """Panels side by side, under one title."""

    title: str
    panels: tuple[Panel, ...]


class Dashboard(msgspec.Struct, frozen=True):
    """A page of rows; `uid` is its name in addresses and files."""

    uid: str
    title: str
    text: str
    rows: tuple[Row, ...]

    @property
    def url(self) -> str:
        """Where Grafana shows it, below its own address."""
        return f"/d/{self.uid}"


class Alert(msgspec.Struct, frozen=True):
    """What must be looked at: when `expr` has given something for `lasting`."""

    name: str
    expr: str
    lasting: str  # as Prometheus writes durations: 0m, 5m, 1h
    severity: Literal["critical", "warning", "info"]
    summary: str
    description: str
    dashboard: str  # uid

    @property
    def runbook(self) -> str:
        """What to do then: a heading of the runbooks has the alert's name."""
        return f"{RUNBOOKS}#{self.name.lower()}"


class AlertGroup(msgspec.Struct, frozen=True):
    """Alerts of one subject: one file of rules."""

    name: str
    alerts: tuple[Alert, ...]


def panel(
    title: str,
    *queries: tuple[str, str] | str,
    unit: Unit = "short",
    shape: Shape = "timeseries",
    limit: Limit | None = None,
    text: str = "",
) -> Panel:
    """A panel of expressions, each with the name of its lines if it has one."""
    made = tuple(Query(q) if isinstance(q, str) else Query(*q) for q in queries)
    return Panel(title, made, unit, shape, limit, text)


def rate(counter: str, *by: str, where: str = "") -> str:
    """How often a counter moves, each second, summed over all processes by labels."""
    return f"sum{_by(by)}(rate({counter}{_where(where)}[$__rate_interval]))"


def quantile(share: float, histogram: str, *by: str, where: str = "") -> str:
    """The value below which a share of what a histogram has observed lies."""
    inner = f"sum{_by(('le', *by))}(rate({histogram}_bucket{_where(where)}[$__rate_interval]))"
    return f"histogram_quantile({share:g}, {inner})"


def total(gauge: str, *by: str, where: str = "") -> str:
    """A gauge, summed over all processes by labels."""
    return f"sum{_by(by)}({gauge}{_where(where)})"


def _by(labels: tuple[str, ...]) -> str:
    return f" by ({', '.join(labels)}) " if labels else " "


def _where(condition: str) -> str:
    return f"{{{condition}}}" if condition else ""

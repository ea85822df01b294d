"""What the SLA calculator tells Prometheus: looks at budgets, what is left of them, violations, policies and freezes.

Counted from what was committed. Gauges are what stands in the state of this process's partitions, so they are right
after a restart too. Only so many SLOs as the setting `sla_metrics_slos` says have series of their own, the most urgent
ones; counts of all SLOs, budgets, policies and freezes are whole.
"""

import time
from collections import Counter as Counts
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from neural_hive.aggregates.budget import SliCounted
from neural_hive.aggregates.burn import Level, Status
from neural_hive.aggregates.freeze import FreezeActivated, FreezeResolved
from neural_hive.aggregates.freeze_policy import Scope
from neural_hive.streams.kernel.system import Committed, System
from neural_hive.streams.sla.figures import WINDOW_HOURS, Figures, Told
from neural_hive.streams.sla.system import CALCULATION, NAME, POLICY

_P: Final = "neural_hive_sla"
STATUSES: Final = (
    Status.HEALTHY,
    Status.WARNING,
    Status.CRITICAL,
    Status.EXHAUSTED,
)  # in the order of their numbers
LEVELS: Final = (Level.NORMAL, Level.ELEVATED, Level.FAST, Level.CRITICAL)
_SCOPES: Final = (Scope.SERVICE, Scope.NAMESPACE, Scope.GLOBAL)
_COMPUTING: Final = (0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10)
_FREEZING: Final = (60, 300, 600, 1800, 3600, 7200, 28_800, 86_400, 604_800)
_CHARS_MAX: Final = 200  # of a label


def follow_sla(
    systems: Sequence[System], slos_max: int, registry: CollectorRegistry = REGISTRY
) -> Figures | None:
    """Counts what the SLA calculator commits, if it is among the systems. Once for each registry of metrics."""
    sla = next((system for system in systems if system.name == NAME), None)
    if sla is None:
        return None
    figures = Figures()
    metrics = SlaMetrics(sla, registry)
    sla.observers += [figures.follow, metrics.count]
    sla.opened.append(figures.opened)
    sla.closed.append(figures.closed)
    registry.register(SlaGauges(figures, slos_max))
    return figures


class SlaMetrics:
    """What is counted, whatever SLO it is about."""

    def __init__(self, sla: System, registry: CollectorRegistry) -> None:
        self._topics = {aggregate.name: aggregate.topic for aggregate in sla.all_aggregates}

        def counters(name: str, text: str, *labels: str) -> Callable[..., Counter]:
            return cache(Counter(f"{_P}_{name}", text, labels, registry=registry).labels)

        self._published = counters(
            "kafka_events_published",
            "Events that the SLA calculator has put into the log",
            "topic",
            "event_type",
        )
        self._events = counters(
            "events",
            "Valid events of SLOs: in_time, late (their minute had been looked at), uncounted (too old, or ahead)",
            "when",
        )
        self._activated = counters("freezes_activated", "Freezes that have begun", "scope")
        self._resolved = counters("freezes_resolved", "Freezes that have ended", "scope")
        self._weighed = Counter(
            f"{_P}_policy_evaluations", "Times a budget was weighed by a policy", registry=registry
        )
        self._calculation = Histogram(
            f"{_P}_calculation_duration_seconds",
            "How long a look at a budget computed, its violations and policies included",
            registry=registry,
            buckets=_COMPUTING,
        )
        self._lasted = Histogram(
            f"{_P}_freeze_duration_seconds",
            "How long freezes lasted that have ended",
            registry=registry,
            buckets=_FREEZING,
        )
        for scope in _SCOPES:  # what appears with its first count cannot be seen to have grown
            self._activated(scope.value)
            self._resolved(scope.value)
        for when in ("in_time", "late", "uncounted"):
            self._events(when)

    def count(self, committed: Committed) -> None:
        """One transaction. May be called by many threads."""
        for observed in committed.events:
            self._published(self._topics[observed.aggregate], type(observed.event).__name__).inc()
            match observed.event:
                case SliCounted() as counted:
                    valid = sum(each.valid for each in counted.counts)
                    self._events("in_time").inc(max(valid - counted.late, 0))
                    self._events("late").inc(max(counted.late, 0))
                    self._events("uncounted").inc(max(counted.uncounted, 0))
                case FreezeActivated(scope=scope):
                    self._activated(scope.value).inc()
                case FreezeResolved(scope=scope, duration_ms=lasted_ms):
                    self._resolved(scope.value).inc()
                    self._lasted.observe(lasted_ms / 1_000)
                case _:
                    pass
        for measured in committed.measured:
            if measured.name == CALCULATION:
                self._calculation.observe(measured.seconds)
            elif measured.name == POLICY:
                self._weighed.inc()


class SlaGauges(Collector):
    """What stands, looked at when somebody asks. `now_s` gives seconds since 1970."""

    def __init__(self, figures: Figures, slos_max: int, now_s: Callable[[], float] = time.time) -> None:
        self._figures, self._slos_max, self._now_s = figures, slos_max, now_s

    def collect(self) -> Iterable[Metric]:
        """See Collector.collect."""
        told, untold = self._figures.told(self._slos_max)
        yield from _budgets(told)
        yield from _counted(told)
        yield GaugeMetricFamily(
            f"{_P}_slos_untold", "SLOs that have no series of their own: sla_metrics_slos is less", untold
        )
        figures = self._figures
        yield _gauge("slos_total", "SLOs that are defined", figures.slos(), "slo_type", "enabled")
        yield _gauge("policies_total", "Policies that are defined", figures.policies(), "scope", "enabled")
        standing = Counts({(status.value, level.value): 0 for status in STATUSES for level in LEVELS})
        standing.update(figures.budgets())
        yield _gauge("budgets", "Budgets of SLOs that are measured", standing, "status", "level")
        yield from self._freezes()

    def _freezes(self) -> Iterator[Metric]:
        freezes = self._figures.freezes()
        active = Counts((service[:_CHARS_MAX], freeze.scope.value) for freeze, service in freezes)
        named = {key for key, _ in active.most_common(self._slos_max)}
        shown = Counts[tuple[str, str]]()
        for (
            service,
            scope,
        ), count in active.items():  # beyond the limit it is nobody's, and still in the sum
            shown[service if (service, scope) in named else "", scope] += count
        yield _gauge(
            "freezes_active",
            "Freezes that hold, by the service whose budget they are for",
            shown,
            "service_name",
            "scope",
        )
        oldest = min((freeze.activated_at / 1e6 for freeze, _ in freezes), default=None)
        age_s = 0.0 if oldest is None else max(self._now_s() - oldest, 0.0)
        yield GaugeMetricFamily(
            f"{_P}_freeze_age_seconds", "For how long the oldest freeze holds; 0: nothing is frozen", age_s
        )


def _gauge(name: str, text: str, counts: Counts[tuple[str, str]], *labels: str) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"{_P}_{name}", text, labels=labels)
    for values, count in sorted(counts.items()):
        family.add_metric(values, count)
    return family


def _budgets(told: Sequence[Told]) -> Iterator[Metric]:
    labels = ("slo_id", "service_name", "slo_type")

    def family(name: str, text: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"{_P}_{name}", text, labels=labels)

    remaining = family("budget_remaining_percent", "What is left of an error budget; below 0: overdrawn")
    consumed = family("budget_consumed_percent", "What is used up of an error budget; over 100: overdrawn")
    status = family("budget_status", "0: healthy, 1: warning, 2: critical, 3: exhausted")
    level = family("burn_level", "How fast a budget burns. 0: normal, 1: elevated, 2: fast, 3: critical")
    rates = GaugeMetricFamily(
        f"{_P}_burn_rate",
        "How many times faster than allowed a budget burns",
        labels=("slo_id", "service_name", "window_hours"),
    )
    for one in told:
        wanted, left = one.slo.definition, one.left
        who = (one.slo_id, wanted.service_name[:_CHARS_MAX], wanted.slo_type.value)
        remaining.add_metric(who, round(left.remaining * 100, 6))
        consumed.add_metric(who, round((1 - left.remaining) * 100, 6))
        status.add_metric(who, STATUSES.index(left.status))
        level.add_metric(who, LEVELS.index(left.level))
        for name, hours in WINDOW_HOURS.items():
            rates.add_metric((*who[:2], hours), left.rates[name])
    yield from (remaining, consumed, status, level, rates)


def _counted(told: Sequence[Told]) -> Iterator[Metric]:
    def family(name: str, text: str, label: str) -> CounterMetricFamily:
        return CounterMetricFamily(f"{_P}_{name}", text, labels=("slo_id", "service_name", label))

    looks = family("calculations", "Looks at the budgets of an SLO, by the status that was found", "status")
    violations = family("slo_violations", "Violations of an SLO that were opened", "severity")
    for one in told:
        who = (one.slo_id, one.slo.definition.service_name[:_CHARS_MAX])
        for status, count in one.looks.items():
            looks.add_metric((*who, status), count)
        for severity, count in one.violations.items():
            violations.add_metric((*who, severity), count)
    yield from (looks, violations)

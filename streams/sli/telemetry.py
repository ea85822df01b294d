"""SLIs from metric windows: each event of a window counts, as often as its bucket has it.

telemetry.aggregated
    → what makes no sense                                → dead.letters
    → from where on an SLO's events are counted          → sla.sources
    → a window that has events is noted                  → sla.sources: it counts once
    → its events, for each SLO that it counts for        → sla.measurements, to the SLO's partition

A window is noted though no SLO asks for it yet: one that is defined later counts the same windows from the log
(sli_history_windows), and which of them count is decided here, once for all.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from neural_hive.aggregates.aggregate import Rejected
from neural_hive.aggregates.metric_series import (
    FORGET_TIMER,
    LIVE,
    METRIC_SERIES,
    SERIES_MAX,
    Forget,
    Note,
)
from neural_hive.aggregates.metric_window import TOPIC, MetricWindow, check
from neural_hive.aggregates.sli_expression import Facts, Value
from neural_hive.aggregates.sli_source import FIELDS, Source
from neural_hive.streams.kernel.system import System, Unit
from neural_hive.streams.sli.cursors import open_cursors
from neural_hive.streams.sli.index import Index, Indexes, Meter
from neural_hive.streams.sli.sums import count as count_for

VIEW: Final = "slos"
VALUE: Final = "value"
_LABELS: Final = tuple(name for name in FIELDS[Source.TELEMETRY] if name != VALUE)


class Weighed(msgspec.Struct, frozen=True):
    """Events of a window that are alike to an expression."""

    facts: Facts
    events: int


class Tally(msgspec.Struct):
    """What of a window counts for an SLO, in the minute of its last moment."""

    meter: Meter
    good: int = 0
    valid: int = 0


def declare(sli: System, indexes: Indexes) -> None:
    """Adds the handlers of metric windows to the system."""

    @sli.on(TOPIC, MetricWindow, route="service")
    def count(unit: Unit, window: MetricWindow) -> None:
        check(window)
        index = indexes.of(unit.view(VIEW).value, Source.TELEMETRY)
        if index.meters:
            open_cursors(unit, unit.place, index)
        if window.events and _is_new(unit, window):
            count_window(unit, unit.place, window, index)

    @sli.on_timer(METRIC_SERIES, FORGET_TIMER)
    def forget(unit: Unit, series_id: str) -> None:
        unit.execute(METRIC_SERIES, series_id, Forget(series_id, unit.now))


def count_window(unit: Unit, record: Any, window: MetricWindow, index: Index) -> None:
    """Counts the events of a window that was not counted before, for each SLO; the record is its place."""
    facts = labels(window)
    for tally in tallied(window, index):
        count_for(unit, record, tally.meter, facts, window.last_at, tally.good, tally.valid)


def _is_new(unit: Unit, window: MetricWindow) -> bool:
    """Notes that a window counts; False: it has already. Raises Rejected."""
    series_id = window.series_id
    series = unit.load(METRIC_SERIES, series_id)
    if (series is None or not series.windows) and unit.count(LIVE) >= SERIES_MAX:
        raise Rejected(
            f"windows of {SERIES_MAX:,} series have come here in the last days, and there can be no more: let fewer "
            "things be told apart by endpoint, instance and so on"
        )
    note = Note(series_id, unit.message_id, window.starts_at, window.ends_at, unit.now)
    return bool(unit.execute(METRIC_SERIES, series_id, note))


def labels(window: MetricWindow) -> dict[str, Value]:
    """What is the same of all events of a window; what it does not say is unknown."""
    return {name: getattr(window, name) or None for name in _LABELS}


def weighed(window: MetricWindow) -> Iterator[Weighed]:
    """The events of a window, those of each bucket together."""
    shared = labels(window)
    return (Weighed({**shared, VALUE: value}, events) for value, events in window.values())


def tallied(window: MetricWindow, index: Index) -> list[Tally]:
    """What of a window counts for each SLO for which anything does, in the order of their ids."""
    found: dict[str, Tally] = {}
    for each in weighed(window):
        for meter in index.valid(each.facts):
            tally = found.setdefault(meter.slo_id, Tally(meter))
            tally.valid += each.events
            tally.good += each.events if meter.good.holds(each.facts) else 0
    return [found[name] for name in sorted(found)]

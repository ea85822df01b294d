"""What the SLA calculator makes of history: ranges of the log that were counted for SLOs that are new.

sla.measurements (CountHistory) → a range is counted, once                        → sla.history
timer "join"                    → all is counted: what was held joins the budgets → sla.history, sla.budgets
"""

from typing import Final

import msgspec

from neural_hive.aggregates.aggregate import Rejected
from neural_hive.aggregates.sli_history import (
    JOIN_TIMER,
    SLI_HISTORY,
    CountRange,
    Drop,
    HistoryCounted,
    HistoryPart,
    Join,
    at_once,
    held,
    history_id_of,
)
from neural_hive.aggregates.slo import SLO, Slo
from neural_hive.streams.kernel.system import System, Unit
from neural_hive.streams.sla.counting import into_budget
from neural_hive.streams.sla.messages import MEASUREMENTS

SOURCE: Final = "history:"  # how the source of counts begins that were made later, from the log
_JOINED_AT_ONCE: Final = 10  # budgets; each is an event of up to 6,500 minutes and hours


class CountHistory(msgspec.Struct, frozen=True):
    """Events of an SLO stand in a range of the log, from before they were counted as they come: see CountRange."""

    slo_id: str
    measure: int
    topic: str
    partition: int
    partitions: int
    from_offset: int
    to_offset: int
    log_begin: int
    aim: int
    is_whole: bool
    parts: tuple[HistoryPart, ...] = ()


def declare(sla: System) -> None:
    """Adds to the calculator what it does with history."""

    @sla.on(MEASUREMENTS, CountHistory, route="slo_id")
    def count(unit: Unit, told: CountHistory) -> None:
        _count(unit, told)

    @sla.on_timer(SLI_HISTORY, JOIN_TIMER)
    def join(unit: Unit, history_id: str) -> None:
        _join(unit, history_id)


def drop(unit: Unit, slo: Slo | None) -> None:
    """What an SLO's history has counted in a way that holds no longer is let go."""
    if slo is not None:
        history_id = history_id_of(slo.definition.slo_id, slo.measure)
        if unit.load(SLI_HISTORY, history_id) is not None:
            unit.execute(SLI_HISTORY, history_id, Drop(unit.now))


def _count(unit: Unit, told: CountHistory) -> None:
    slo = unit.load(SLO, told.slo_id)
    if slo is None:
        raise Rejected(f"there is no SLO {told.slo_id}")
    if not slo.is_measured or told.measure != slo.measure:
        return  # it was counted by a definition that holds no longer
    history_id = history_id_of(told.slo_id, told.measure)
    before = unit.load(SLI_HISTORY, history_id)
    window = slo.definition.window_kind, slo.definition.window_days
    command = CountRange(
        **msgspec.structs.asdict(told), window_kind=window[0], window_days=window[1], now=unit.now
    )
    for event in unit.execute(SLI_HISTORY, history_id, command):
        if isinstance(event, HistoryCounted):
            source = f"{SOURCE}{told.topic}:{told.partition}:{told.from_offset}-{told.to_offset}"
            for part in at_once(before, event):
                into_budget(unit, slo, part.dimension, part.counts, source)


def _join(unit: Unit, history_id: str) -> None:
    history = unit.load(SLI_HISTORY, history_id)
    assert history is not None, "a timer belongs to a state"
    slo = unit.load(SLO, history.slo_id)
    assert slo is not None, "a history belongs to an SLO"
    is_counted = not slo.is_removed and slo.measure == history.measure and not history.is_dropped
    for dimension in history.dimensions[:_JOINED_AT_ONCE]:
        counts = held(history, dimension, unit.count)
        if is_counted:
            into_budget(unit, slo, dimension, counts, f"{SOURCE}{history_id}")
        unit.execute(SLI_HISTORY, history_id, Join(dimension, counts, is_counted, unit.now))

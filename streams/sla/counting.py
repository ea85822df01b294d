"""What was counted comes into the budget of an SLO, and into those of the SLOs that are made of it: one way for all."""

from typing import Final

from neural_hive.aggregates.budget import (
    BUDGET_AGGREGATE,
    OTHERS,
    Count,
    Counted,
    Place,
    Terms,
    budget_id_of,
    live_of,
)
from neural_hive.aggregates.slo import Slo
from neural_hive.streams.kernel.system import Unit
from neural_hive.streams.sla import composites

DIMENSIONS_MAX: Final = 200  # budgets of one SLO at once, if each value of a field has its own


def terms_of(slo: Slo) -> Terms:
    """What of a definition a budget is computed by."""
    wanted = slo.definition
    return Terms(slo.revision, wanted.target, wanted.window_kind, wanted.window_days)


def into_budget(unit: Unit, slo: Slo, dimension: str, counts: tuple[Counted, ...], source: str) -> None:
    """Counts events of an SLO, as its definition is now."""
    slo_id, measure = slo.definition.slo_id, slo.measure
    dimension = _with_room(unit, slo_id, measure, dimension)
    place = Place(budget_id_of(slo_id, measure, dimension), slo_id, dimension, measure)
    command = Count(place, terms_of(slo), counts, source, unit.now)
    composites.changed(unit, slo_id, source, unit.execute(BUDGET_AGGREGATE, place.budget_id, command))


def _with_room(unit: Unit, slo_id: str, measure: int, wanted: str) -> str:
    """Which of an SLO's budgets it is: there are so many at once, and one for what is beyond."""
    if not wanted:
        return wanted
    budget = unit.load(BUDGET_AGGREGATE, budget_id_of(slo_id, measure, wanted))
    is_live = budget is not None and budget.next_at > 0
    return wanted if is_live or unit.count(live_of(slo_id, measure)) < DIMENSIONS_MAX else OTHERS

"""Composite SLOs: what a part has counted, and all that it counts, corrects or excludes later, is told to them.

    sla.commands      a composite SLO is defined      → its parts shall join     → sla.measurements, to each part
    sla.measurements  a part joins                    → it is noted              → sla.definitions
                                                      → all that it has counted  → sla.measurements, to the composite
                      a part counts, is corrected, or counts anew
                                                      → what that changes        → sla.measurements, to the composite

Each change of a part's budget and what it tells of it are one transaction: so a composite has, weighted, what its
parts have, whatever comes late, twice or in another order. Composites are no parts: nothing goes round in circles.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from neural_hive.aggregates.aggregate import Event, Rejected
from neural_hive.aggregates.budget import (
    BUDGET_AGGREGATE,
    Budget,
    BudgetAdjusted,
    Counted,
    SliCounted,
    budget_id_of,
    changes_of,
)
from neural_hive.aggregates.budget_reading import standing
from neural_hive.aggregates.composite import Share, source_of, weighted, whole_weights
from neural_hive.aggregates.sla_window import MINUTE
from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.slo import SLO, Definition, Slo, SloDefined
from neural_hive.aggregates.slo_part import COMPOSITES_MAX, SLO_PART, Join, Leave
from neural_hive.streams.kernel.system import System, Unit
from neural_hive.streams.sla.messages import MEASUREMENTS, JoinComposite, LeaveComposite
from neural_hive.streams.sla.view import Slos

VIEW: Final = "slos"
COUNTS_MAX: Final = 1_000  # of one message
_NAMES_MAX: Final = 5  # that an error tells


def declare(sla: System) -> None:
    """The handlers of what composites and parts say to each other."""

    @sla.on(MEASUREMENTS, JoinComposite, route="slo_id")
    def join(unit: Unit, wanted: JoinComposite) -> None:
        _join(unit, wanted)

    @sla.on(MEASUREMENTS, LeaveComposite, route="slo_id")
    def leave(unit: Unit, wanted: LeaveComposite) -> None:
        command = Leave(wanted.slo_id, wanted.composite_id, wanted.measure, unit.now)
        unit.execute(SLO_PART, wanted.slo_id, command)


def defined(unit: Unit, before: Slo | None, event: SloDefined) -> None:
    """What follows from a definition, for its parts or for those that it is a part of. Raises Rejected."""
    wanted = event.definition
    _check_as_part(unit, wanted)
    _check_parts(unit, wanted)
    weights = _weights(wanted)
    if before is not None and before.measure != event.measure:
        _leave(unit, before, [name for name in parts_of(before.definition) if name not in weights])
        _take_back(unit, before)
    for name, weight in weights.items():  # who has joined already does nothing
        message = JoinComposite(name, wanted.slo_id, event.measure, weight)
        unit.send(MEASUREMENTS, "JoinComposite", name, msgspec.to_builtins(message))


def removed(unit: Unit, slo: Slo) -> None:
    """What follows from the removal of an SLO. Raises Rejected: others are made of it."""
    slo_id = slo.definition.slo_id
    if part_of := list(_shares(unit, slo_id)):
        raise Rejected(f"{slo_id} is a part of {_named(part_of)}: take it out of there first")
    _leave(unit, slo, parts_of(slo.definition))


def changed(unit: Unit, slo_id: str, source: str, events: Iterable[Event]) -> None:
    """Tells the composites of an SLO what events of its budget have changed."""
    shares = _shares(unit, slo_id)
    for event in events if shares else ():
        if isinstance(event, SliCounted | BudgetAdjusted):
            counts = [Counted(at, c.good, c.valid) for at, c in changes_of(event)]
            _tell(unit, slo_id, shares, counts, source)


def _join(unit: Unit, wanted: JoinComposite) -> None:
    slo = unit.load(SLO, wanted.slo_id)
    if slo is None or slo.is_removed:
        raise Rejected(f"there is no SLO {wanted.slo_id}, of which {wanted.composite_id} is made")
    if problem := unfit(slo.definition):
        raise Rejected(f"{wanted.composite_id} cannot be made of it: {problem}")
    command = Join(wanted.slo_id, wanted.composite_id, wanted.measure, wanted.weight, unit.now)
    budget = unit.load(BUDGET_AGGREGATE, budget_id_of(wanted.slo_id, slo.measure))
    if unit.execute(SLO_PART, wanted.slo_id, command) and budget is not None:
        share = {wanted.composite_id: Share(wanted.measure, wanted.weight)}
        _tell(unit, wanted.slo_id, share, _all_of(unit, budget), "before")


def _take_back(unit: Unit, slo: Slo) -> None:
    """An SLO counts anew: what its budget of before holds counts no more in those that it is a part of."""
    slo_id = slo.definition.slo_id
    shares = _shares(unit, slo_id)
    budget = unit.load(BUDGET_AGGREGATE, budget_id_of(slo_id, slo.measure))
    if shares and budget is not None:
        _tell(unit, slo_id, shares, weighted(_all_of(unit, budget), -1), "anew")


def _all_of(unit: Unit, budget: Budget) -> Iterator[Counted]:
    """All that counts in a budget: by minutes, and before those are known by hours."""
    for known in standing(budget, budget.hours_from, budget.last_at + MINUTE, False, unit.count):
        yield from known


def _tell(unit: Unit, slo_id: str, shares: dict[str, Share], counts: Iterable[Counted], source: str) -> None:
    counts = tuple(counts)
    for name in sorted(shares):
        share = shares[name]
        whole = weighted(counts, share.weight)
        for first in range(0, len(whole), COUNTS_MAX):
            message: dict[str, Any] = {
                "slo_id": name,
                "measure": share.measure,
                "dimension": "",
                "counts": msgspec.to_builtins(whole[first : first + COUNTS_MAX]),
                "source": source_of(slo_id, source),
            }
            unit.send(MEASUREMENTS, "CountSli", name, message)


def _leave(unit: Unit, composite: Slo, parts: Iterable[str]) -> None:
    for name in parts:
        message = LeaveComposite(name, composite.definition.slo_id, composite.measure)
        unit.send(MEASUREMENTS, "LeaveComposite", name, msgspec.to_builtins(message))


def _shares(unit: Unit, slo_id: str) -> dict[str, Share]:
    part = unit.load(SLO_PART, slo_id)
    return part.shares if part is not None else {}


def _weights(definition: Definition) -> dict[str, int]:
    """The parts of an SLO, and how often each of their events counts."""
    names = parts_of(definition)
    return (
        dict(zip(names, whole_weights(part.weight for part in definition.indicator.parts), strict=True))
        if names
        else {}
    )


def parts_of(definition: Definition) -> list[str]:
    """The parts of an SLO; none, if it is not composite."""
    indicator = definition.indicator
    return [part.slo_id for part in indicator.parts] if indicator.source is Source.COMPOSITE else []


def _check_parts(unit: Unit, wanted: Definition) -> None:
    """Raises Rejected, with all parts that cannot be counted."""
    names = parts_of(wanted)
    if not names:
        return
    known: Slos = unit.view(VIEW).value
    problems = [problem for name in names if (problem := _problem(known, name))]
    others = [s for s in known.values() if s.definition.slo_id != wanted.slo_id]
    told = [name for slo in others for name in parts_of(slo.definition) if name in names]
    many = {name for name in names if told.count(name) >= COMPOSITES_MAX}
    problems += [f"{name} is a part of {COMPOSITES_MAX} SLOs, and can be of no more" for name in sorted(many)]
    if problems:
        raise Rejected(f"parts: {'; '.join(problems)}")


def _problem(known: Slos, name: str) -> str:
    return unfit(known[name].definition) if name in known else f"there is no SLO {name}: define it first"


def unfit(part: Definition) -> str:
    """Why an SLO can be no part; empty: it can."""
    if part.indicator.source is Source.COMPOSITE:
        return f"{part.slo_id} is composite itself: name its parts instead"
    if field := part.indicator.group_by:
        return f"{part.slo_id} has a budget for each {field}: name an SLO without group_by"
    return ""


def _check_as_part(unit: Unit, wanted: Definition) -> None:
    part_of: Sequence[str] = list(_shares(unit, wanted.slo_id))
    if part_of and (problem := unfit(wanted)):
        raise Rejected(f"{wanted.slo_id} is a part of {_named(part_of)}, and cannot be so: {problem}")


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(sorted(names)[:_NAMES_MAX])
    return f"{shown} and {len(names) - _NAMES_MAX} more" if len(names) > _NAMES_MAX else shown

"""Which definitions can be counted over a history, and which others are needed for that or follow from it."""

from collections.abc import Iterable, Mapping

from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.slo import Definition
from neural_hive.replay.slos.counting import COUNTED
from neural_hive.streams.sla.composites import parts_of, unfit

Definitions = Mapping[str, Definition]


def countable(wanted: Iterable[Definition], standing: Definitions, notes: list[str]) -> dict[str, Definition]:
    """Those that can be counted, by their ids; `notes` hears of the others.

    What the log has no events of is taken as it was counted live, if it was counted in the same way. What is composite
    is counted from its parts.
    """
    found: dict[str, Definition] = {}
    composite = []
    for each in wanted:
        known, asked = standing.get(each.slo_id), each.indicator
        if asked.source is Source.COMPOSITE:
            composite.append(each)
        elif asked.source in COUNTED or (known is not None and known.indicator == asked):
            found[each.slo_id] = each
        else:
            why = f"the log has no events of {asked.source}, and it was not counted in this way"
            notes.append(f"{each.slo_id} was left out: {why}")
    for each in composite:
        if problem := _problem(each, {**standing, **found}):
            notes.append(f"{each.slo_id} was left out: {problem}")
        else:
            found[each.slo_id] = each
    return found


def _problem(composite: Definition, known: Definitions) -> str:
    """Why it cannot be made of its parts; empty: it can."""
    for name in parts_of(composite):
        if name not in known:
            return f"there is no SLO {name} that could be counted, of which it is made"
        if problem := unfit(known[name]):
            return problem
    return ""


def whole(definitions: Definitions, notes: list[str]) -> dict[str, Definition]:
    """Without those that can be made of their parts no longer; `notes` hears of them."""
    found = dict(definitions)
    for name, each in definitions.items():
        if problem := _problem(each, definitions):
            notes.append(f"{name} would be no more: {problem}")
            del found[name]
    return found


def with_composites(names: Iterable[str], definitions: Definitions) -> frozenset[str]:
    """SLOs, and those that are made of them."""
    given = frozenset(names)
    made = {name for name, each in definitions.items() if given.intersection(parts_of(each))}
    return given | made


def with_parts(names: Iterable[str], definitions: Definitions) -> frozenset[str]:
    """SLOs, and those that they are made of."""
    given = frozenset(names)
    return given.union(*(parts_of(definitions[name]) for name in given if name in definitions))

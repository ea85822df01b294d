"""A dry run of a composite SLO: what its parts have counted, each as often as its weight says."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from neural_hive.aggregates.budget import budget_id_of
from neural_hive.aggregates.composite import whole_weights
from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.slo import Definition
from neural_hive.sdk.tables import Reader
from neural_hive.slo_rows import LIMITS
from neural_hive.slo_times import literal
from neural_hive.slo_tried import PartTried, Tried

_PARTS: Final = (
    "SELECT slo_id, source, group_by, measure FROM slos "
    "WHERE status != 'REMOVED' AND slo_id IN {ids:Array(String)}"
)
_COUNTED: Final = (
    "SELECT budget_id, sum(good), sum(valid) FROM sli_minutes_known WHERE budget_id IN {ids:Array(String)} "
    "AND NOT is_excluded AND minute >= SINCE AND minute < UNTIL GROUP BY budget_id "
    f"{LIMITS}"
)


class _Part(msgspec.Struct, frozen=True):
    """An SLO that another one may be made of."""

    source: str
    group_by: str
    measure: int


def parts_tried(reader: Reader, wanted: Definition, about: Tried, since: int, until: int) -> Tried:
    """With what the parts of a definition have counted between two times, µs since 1970 UTC. Raises ClickHouseError."""
    given = wanted.indicator.parts
    known = _known(reader, [part.slo_id for part in given])
    problems = tuple(_problems(wanted, known))
    if problems:
        return msgspec.structs.replace(about, problems=problems)
    ids = {budget_id_of(name, part.measure): name for name, part in known.items()}
    counted = _counted(reader, ids, since, until)
    weights = whole_weights(part.weight for part in given)
    parts = tuple(
        PartTried(part.slo_id, weight, *counted.get(part.slo_id, (0, 0)))
        for part, weight in zip(given, weights, strict=True)
    )
    valid = sum(part.weight * part.valid for part in parts)
    return msgspec.structs.replace(
        about,
        events=sum(part.valid for part in parts),
        good=sum(part.weight * part.good for part in parts),
        valid=valid,
        problems=() if valid else ("none of its parts has counted anything in this time: try a longer one",),
        parts=parts,
    )


def _known(reader: Reader, names: list[str]) -> dict[str, _Part]:
    rows = reader.rows(_PARTS, {"ids": names})
    return {str(name): _Part(source, by or "", int(measure)) for name, source, by, measure in rows}


def _problems(wanted: Definition, known: Mapping[str, _Part]) -> Iterator[str]:
    """Why it cannot be made of its parts, for all of them."""
    for name in (part.slo_id for part in wanted.indicator.parts):
        if name not in known:
            yield f"there is no SLO {name}: apply it first, its events count from before too"
        elif known[name].source == Source.COMPOSITE:
            yield f"{name} is composite itself: name its parts instead"
        elif field := known[name].group_by:
            yield f"{name} has a budget for each {field}: name an SLO without group_by"


def _counted(
    reader: Reader, budgets: Mapping[str, str], since: int, until: int
) -> dict[str, tuple[int, int]]:
    """Good and valid events by SLO: as they are known now, without what is excluded."""
    sql = _COUNTED.replace("SINCE", literal(since)).replace("UNTIL", literal(until))
    rows: list[tuple[Any, ...]] = reader.rows(sql, {"ids": list(budgets)})
    return {budgets[name]: (int(good), int(valid)) for name, good, valid in rows}

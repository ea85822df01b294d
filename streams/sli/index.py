"""Which SLOs an event concerns: found by what it has, and not by asking each of ten thousand.

Most SLOs demand a constant somewhere (`service = 'cart'`). Each stands under one such field and its constants: under
the field that tells the SLOs of a source apart best. An event is tested by those that stand under what it has, and by
those that demand nothing.
"""

import threading
from collections.abc import Hashable, Iterable, Iterator
from functools import lru_cache
from operator import attrgetter
from typing import Final

import msgspec

from neural_hive.aggregates.sli_expression import BadExpression, Expression, Facts, parse
from neural_hive.aggregates.sli_source import FIELDS, Source
from neural_hive.aggregates.slo import Indicator, Slo
from neural_hive.streams.sla.view import Slos

DIMENSION_CHARS_MAX: Final = 200
_COMPILED_MAX: Final = 50_000
_by_id: Final = attrgetter("slo_id")


class Meter(msgspec.Struct, frozen=True, gc=False):
    """How one SLO is measured."""

    slo_id: str
    measure: int
    good: Expression
    valid: Expression
    group_by: str = ""

    def dimension(self, facts: Facts) -> str:
        """Which of the SLO's budgets a valid event belongs to."""
        value = facts.get(self.group_by) if self.group_by else None
        return "" if value is None else str(value)[:DIMENSION_CHARS_MAX]


class Alike(msgspec.Struct, frozen=True, gc=False):
    """SLOs that count the same events; which of them are good they may say in different ways."""

    valid: Expression
    meters: tuple[Meter, ...]


class Index:
    """The SLOs that ask for one source."""

    def __init__(self, meters: Iterable[Meter]) -> None:
        self.meters = tuple(sorted(meters, key=_by_id))
        values: dict[str, set[Hashable]] = {}
        for meter in self.meters:
            for field, constants in meter.valid.demands.items():
                values.setdefault(field, set()).update(constants)
        self._demanding: dict[str, dict[Hashable, list[Alike]]] = {}
        self._others: list[Alike] = []
        for alike in _alike(self.meters):
            demands = alike.valid.demands
            if not demands:
                self._others.append(alike)
                continue
            field = max(demands, key=lambda name: (len(values[name]) / (len(demands[name]) or 1), name))
            for constant in demands[field]:
                self._demanding.setdefault(field, {}).setdefault(constant, []).append(alike)

    def candidates(self, facts: Facts) -> Iterator[Alike]:
        """Those that the event may be valid for: no other can be."""
        for field, by_constant in self._demanding.items():
            yield from by_constant.get(facts.get(field), ())
        yield from self._others

    def valid(self, facts: Facts) -> Iterator[Meter]:
        """Those that the event is valid for."""
        for alike in self.candidates(facts):
            if alike.valid.holds(facts):
                yield from alike.meters


def _alike(meters: Iterable[Meter]) -> list[Alike]:
    found: dict[str, list[Meter]] = {}
    for meter in meters:
        found.setdefault(meter.valid.text, []).append(meter)
    return [Alike(those[0].valid, tuple(those)) for those in found.values()]


class Indexes:
    """The indexes of the SLOs that were known last, made when they are asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: Slos = {}
        self._found: dict[Source, Index] = {}

    def of(self, known: Slos, source: Source) -> Index:
        """The index of these SLOs. They never change: other ones come in another dict."""
        with self._lock:
            if known is not self._known:
                self._known, self._found = known, {}
            found = self._found.get(source)
            if found is None:
                found = self._found[source] = Index(_meters(known.values(), source))
            return found


def _meters(known: Iterable[Slo], source: Source) -> Iterator[Meter]:
    for slo in known:
        wanted = slo.definition
        if wanted.indicator.source is source and slo.is_measured:
            meter = meter_of(wanted.slo_id, slo.measure, wanted.indicator)
            if meter is not None:
                yield meter


def meter_of(slo_id: str, measure: int, wanted: Indicator) -> Meter | None:
    """How an SLO is measured; None: a newer build has defined it, and this one does not understand it."""
    good, valid = _compiled(wanted.source, wanted.good), _compiled(wanted.source, wanted.valid)
    return None if good is None or valid is None else Meter(slo_id, measure, good, valid, wanted.group_by)


@lru_cache(_COMPILED_MAX)
def _compiled(source: Source, text: str) -> Expression | None:
    """None: a newer build has defined it, and this one does not understand it."""
    try:
        return parse(text, FIELDS[source])
    except BadExpression:
        return None

"""The recording rules of a file: what stands behind a name that an alert asks for."""

from collections.abc import Mapping
from itertools import islice
from typing import Final

import msgspec

from neural_hive.slo_files.promql import BadQuery, equalities, parse, selectors

_TRIED_MAX: Final = 20  # rules whose labels fit, of which the queries are looked at


class Record(msgspec.Struct, frozen=True):
    """A recording rule."""

    expr: str
    labels: Mapping[str, str]


class Records:
    """Recording rules by their names and labels."""

    def __init__(self) -> None:
        self._by_name: dict[str, list[Record]] = {}
        self._by_label: dict[tuple[str, str, str], list[Record]] = {}
        self._said: dict[tuple[str, str], int] = {}  # how many rules of a name say a label

    def add(self, name: str, record: Record) -> None:
        """A rule of the file."""
        self._by_name.setdefault(name, []).append(record)
        for label, value in record.labels.items():
            self._by_label.setdefault((name, label, value), []).append(record)
            self._said[name, label] = self._said.get((name, label), 0) + 1

    def find(self, name: str, wanted: Mapping[str, str]) -> str | None:
        """The query of the rule that says each wanted label, or has it in its query; None: none, or several do."""
        may_fit = (record for record in self._candidates(name, wanted) if _may_fit(record, wanted))
        found = {record.expr for record in islice(may_fit, _TRIED_MAX) if _fits(record, wanted)}
        return found.pop() if len(found) == 1 else None

    def _candidates(self, name: str, wanted: Mapping[str, str]) -> list[Record]:
        """The fewest rules among which it must be: a label that all rules of the name say tells them apart."""
        best = self._by_name.get(name, [])
        for label, value in wanted.items():
            if self._said.get((name, label)) == len(self._by_name.get(name, ())):
                best = min(best, self._by_label.get((name, label, value), []), key=len)
        return best


def _may_fit(record: Record, wanted: Mapping[str, str]) -> bool:
    return all(record.labels.get(label, value) == value for label, value in wanted.items())


def _fits(record: Record, wanted: Mapping[str, str]) -> bool:
    open_labels = wanted.keys() - record.labels.keys()
    if not open_labels:
        return True
    inside: dict[str, set[str]] = {}
    try:
        asked = selectors(parse(record.expr))
    except BadQuery:
        return False
    for found in asked:
        for label, value in equalities(found).items():
            inside.setdefault(label, set()).add(value)
    return all(inside.get(label) == {wanted[label]} for label in open_labels)

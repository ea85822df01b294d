"""Ids and types of SLOs, as far as names say them."""

import re
from collections.abc import Container
from typing import Final

from neural_hive.aggregates.slo import ID, SloType

ID_CHARS_MAX: Final = 128
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NO_ID: Final = re.compile(r"[^a-z0-9._-]+")
# The first that is found counts; an error budget is not what burns it.
_TYPES: Final = (
    (re.compile(r"latency|slow|duration|response-?_?time|\bp9\d|delay"), SloType.LATENCY),
    (re.compile(r"availab|uptime|down\b|unreachable|\bup\b"), SloType.AVAILABILITY),
    (re.compile(r"error|fail|\b5xx\b|faults?\b"), SloType.ERROR_RATE),
)
_BUDGET: Final = re.compile(r"error[-_ ]?budget")


def as_id(name: str) -> str:
    """An id that says the name, as far as ids can; empty: they cannot."""
    if ID.fullmatch(name):
        return name
    return _NO_ID.sub("-", _HUMP.sub("-", name).lower()).strip("-._")[:ID_CHARS_MAX].strip("-._")


def free_id(wanted: str, taken: Container[str]) -> str:
    """The id, with a number if there is one of that name."""
    number, found = 1, wanted
    while found in taken:
        number += 1
        found = f"{wanted[: ID_CHARS_MAX - 8]}-{number}"
    return found


def type_said(*names: str) -> SloType | None:
    """The type that a name says; None: none of them says one."""
    for name in names:
        words = _BUDGET.sub("", _HUMP.sub("-", name).lower().replace("_", "-"))
        for pattern, kind in _TYPES:
            if pattern.search(words):
                return kind
    return None

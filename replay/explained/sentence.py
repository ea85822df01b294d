"""Sentences about what happened, each with the places of the events that it tells of."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from neural_hive.aggregates.aggregate import Event
from neural_hive.replay.causes.drawn import duration_text
from neural_hive.replay.changes import time_text
from neural_hive.replay.history import Folder, Happening

SHOWN_MAX: Final = 10  # of many alike
_QUOTED_CHARS_MAX: Final = 300


class Sentence(msgspec.Struct, frozen=True):
    """One thing that is told, and where it stands in the log."""

    text: str
    places: list[str]  # topic:partition:offset


class Fact(msgspec.Struct, frozen=True):
    """One event, as the explanations take it."""

    event: Any
    place: str
    at: int  # event time, µs
    aggregate_id: str

    @property
    def when(self) -> str:
        """Its time, in words."""
        return time_text(self.at)


def facts(happenings: Iterable[Happening], folder: Folder) -> list[Fact]:
    """The events as this build knows them. Raises NewerEvent."""
    return [
        Fact(folder.event(h), h.place, h.envelope.occurred_at, h.envelope.aggregate_id) for h in happenings
    ]


def tell(text: str, *where: Fact | None) -> Sentence:
    """A sentence about events."""
    return Sentence(text, list(dict.fromkeys(fact.place for fact in where if fact is not None)))


def of(found: Iterable[Fact], *types: type[Event]) -> list[Fact]:
    """The events of some types."""
    return [fact for fact in found if isinstance(fact.event, types)]


def last_of(found: Sequence[Fact], *types: type[Event]) -> Fact | None:
    """The last event of some types."""
    chosen = of(found, *types)
    return chosen[-1] if chosen else None


def between(earlier: int, later: int) -> str:
    """How long after each other two times are (µs)."""
    return duration_text(later - earlier)


def quoted(text: str) -> str:
    """A text of somebody else's, on one line."""
    text = " ".join(text.split())
    return f"“{text if len(text) <= _QUOTED_CHARS_MAX else text[: _QUOTED_CHARS_MAX - 1] + '…'}”"


def listed(names: Sequence[str]) -> str:
    """Names as a sentence has them: a, b and c; of many the first SHOWN_MAX."""
    shown = list(names[:SHOWN_MAX])
    if len(names) > SHOWN_MAX:
        return f"{', '.join(shown)} and {len(names) - SHOWN_MAX:,} more"
    return " and ".join(filter(None, (", ".join(shown[:-1]), *shown[-1:])))


def counted(count: int, one: str, many: str = "") -> str:
    """1 task, 2 tasks."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"

"""The log as replay reads it, for a request: few read at once, each its own way, and errors in the API's words."""

from collections.abc import Callable
from contextlib import closing
from typing import Any, Final, TypeVar

import msgspec

from neural_hive.api.lanes import Lane
from neural_hive.api.problems import Problem, unavailable, unprocessable
from neural_hive.commands.replay_source import read_of, schemas_of_others, systems_of
from neural_hive.projections.store import StoreRefused, StoreUnavailable
from neural_hive.replay.archive import ArchiveSource
from neural_hive.replay.causes.gathered import NoSuchEvent
from neural_hive.replay.history import NewerEvent, NoBeginning, NoSuchAggregate, SeveralAggregates
from neural_hive.replay.moment import BadMoment
from neural_hive.replay.reader import LogSource
from neural_hive.replay.seal.keys import KeyRefused
from neural_hive.replay.seal.merkle import BadProof
from neural_hive.replay.seal.note import BadNote
from neural_hive.replay.seal.prove import NotSealed
from neural_hive.replay.seal.seal import BadSeal
from neural_hive.settings import Settings
from neural_hive.streams.kernel.reading import MessageReader

READERS_MAX: Final = 2  # each takes a core
T = TypeVar("T")


class Past(msgspec.Struct, frozen=True):
    """What a question about the past is asked of."""

    source: LogSource
    systems: tuple[Any, ...]
    settings: Settings

    @property
    def aggregates(self) -> list[Any]:
        """Those of all systems."""
        return [aggregate for system in self.systems for aggregate in system.all_aggregates]

    @property
    def topics(self) -> list[str]:
        """Those that events stand in."""
        return sorted({a.topic for system in self.systems for a in system.aggregates})

    @property
    def reader(self) -> MessageReader:
        """Reads messages, those of other builds too."""
        return MessageReader(schemas_of_others(self.settings))


class PastReader:
    """Answers questions about the past, few at once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lane = Lane(READERS_MAX)

    async def ask(self, question: Callable[[Past], T]) -> T:
        """The answer to a question. Raises Problem, UnreadableLog."""
        return await self._lane.run(self._ask, question)

    def _ask(self, question: Callable[[Past], T]) -> T:
        try:
            with closing(ArchiveSource.of(self._settings)) as archive:
                source = read_of(self._settings, archive, from_archive=False)
                return question(Past(source, systems_of(self._settings), self._settings))
        except Exception as error:
            if problem := _problem_of(error):
                raise problem from None
            raise


def _problem_of(error: Exception) -> Problem | None:
    text = str(error).replace("--", "")
    match error:
        case NoSuchAggregate() | NoSuchEvent():
            return Problem(404, "not-found", text)
        case SeveralAggregates() | BadMoment():
            return unprocessable(text)
        case NewerEvent() | NoBeginning():
            return Problem(409, "unreadable", text)
        case NotSealed():
            return Problem(409, "not-sealed", text)
        case BadSeal() | BadProof() | BadNote():
            return Problem(409, "seal-broken", text)
        case StoreUnavailable() | StoreRefused() | KeyRefused():
            return unavailable(text)
        case _:
            return None

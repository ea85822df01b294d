"""What is folded of a source's partition while its history is read: what began and may still end.

A source is one line in `SOURCES`: its topic, and who turns its events into samples. They are folded as the system `sli`
notes them (sli_facts), so an event says the same whether it is counted as it comes or from the log.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

import msgspec

from neural_hive.aggregates.aggregate import Aggregate
from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.sli_subject import SliSubject
from neural_hive.streams.kernel.system import Happened
from neural_hive.streams.sli_facts import TICKET_ENDS, WORKFLOW_ENDS, Sample, noted, sampled

OPEN_MAX: Final = 500_000  # what has begun and not ended, in one partition: the oldest is forgotten
RESTING_MAX: Final = 50_000  # what has failed, and somebody may try again
_BEGIN: Final = ("TicketCreated", "WorkflowStarted")
_MAY_END_AGAIN: Final = ("TicketFailed", "TicketTimedOut")
_GOES_ON: Final = "TicketRetryScheduled"
_ENDS_UNTOLD: Final = "TicketCancelled"  # an end that no SLO counts


class Facts(Protocol):
    """What is known of a partition up to a place, and what the next event says."""

    forgotten: int
    """Of how many things the beginning was let go of, since there were too many."""

    def take(self, happened: Happened) -> Iterable[Sample]:
        """The next event: what has ended with it."""
        ...


class HistorySource(msgspec.Struct, frozen=True):
    """Where a source's events stand, and how they are read."""

    topic: str
    types: frozenset[str]  # event types that say something
    facts: Callable[[], Facts]


class Subjects:
    """See Facts: tickets or workflows, from the event that begins them to the one that ends them."""

    def __init__(self, open_max: int = OPEN_MAX, resting_max: int = RESTING_MAX) -> None:
        self._open_max, self._resting_max = open_max, resting_max
        self._open: dict[str, SliSubject] = {}
        self._resting: dict[str, SliSubject] = {}
        self.forgotten = 0

    @property
    def kept(self) -> int:
        """How many are known."""
        return len(self._open) + len(self._resting)

    def load(self, aggregate: Aggregate[Any], aggregate_id: str) -> Any:
        """See sli_facts.Known: subjects are all that is known here."""
        return self._subject(aggregate_id)

    def _subject(self, subject_id: str) -> SliSubject | None:
        return self._open.get(subject_id) or self._resting.get(subject_id)

    def take(self, happened: Happened) -> Iterable[Sample]:
        """See Facts.take."""
        event_type, subject_id = happened.envelope.event_type, happened.envelope.aggregate_id
        if event_type in _BEGIN:
            self._begin(happened)
            return ()
        sample = sampled(self, happened)
        subject = self._open.pop(subject_id, None) or self._resting.pop(subject_id, None)
        if subject is not None:
            if event_type == _GOES_ON:
                self._open[subject_id] = subject
            elif event_type in _MAY_END_AGAIN:
                self._resting[subject_id] = subject
                self._forget(self._resting, self._resting_max)
        return () if sample is None else (sample,)

    def _begin(self, happened: Happened) -> None:
        note = noted(happened)
        if note is not None and self._subject(note.subject_id) is None:
            self._open[note.subject_id] = SliSubject(note.facts, note.began_at, note.due_at)
            self._forget(self._open, self._open_max)

    def _forget(self, kept: dict[str, SliSubject], most: int) -> None:
        if len(kept) > most:
            del kept[next(iter(kept))]
            self.forgotten += 1


_TICKET_TYPES: Final = frozenset({"TicketCreated", *TICKET_ENDS, _GOES_ON, _ENDS_UNTOLD})
_WORKFLOW_TYPES: Final = frozenset({"WorkflowStarted", *WORKFLOW_ENDS})

SOURCES: Final[Mapping[Source, HistorySource]] = {
    Source.TICKETS: HistorySource("execution.tickets", _TICKET_TYPES, Subjects),
    Source.WORKFLOWS: HistorySource("orchestration.workflows", _WORKFLOW_TYPES, Subjects),
}

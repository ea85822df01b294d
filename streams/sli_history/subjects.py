"""What is folded of tickets and workflows while their history is read: what began and may still end.

They are folded as the system `sli` notes them (sli_facts), so an event says the same whether it is counted as it comes
or from the log.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

from neural_hive.aggregates.aggregate import Aggregate
from neural_hive.aggregates.sli_subject import SliSubject
from neural_hive.connectors.record import Record
from neural_hive.projections.whole_log import Readable
from neural_hive.schemas.codec import decode
from neural_hive.schemas.envelope import Envelope
from neural_hive.streams.kernel.reading import MessageReader
from neural_hive.streams.kernel.system import Happened
from neural_hive.streams.sli.facts import TICKET_ENDS, WORKFLOW_ENDS, Sample, noted, sampled
from neural_hive.streams.sli_history.types import Types

OPEN_MAX: Final = 500_000  # what has begun and not ended, in one partition: the oldest is forgotten
RESTING_MAX: Final = 50_000  # what has failed, and somebody may try again
_BEGIN: Final = ("TicketCreated", "WorkflowStarted")
_MAY_END_AGAIN: Final = ("TicketFailed", "TicketTimedOut")
_GOES_ON: Final = "TicketRetryScheduled"
_ENDS_UNTOLD: Final = "TicketCancelled"  # an end that no SLO counts
_TICKET_TYPES: Final = frozenset({"TicketCreated", *TICKET_ENDS, _GOES_ON, _ENDS_UNTOLD})
_WORKFLOW_TYPES: Final = frozenset({"WorkflowStarted", *WORKFLOW_ENDS})


class Subjects:
    """Tickets or workflows, from the event that begins them to the one that ends them."""

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
        """See Known in sli/facts.py: subjects are all that is known here."""
        return self._subject(aggregate_id)

    def _subject(self, subject_id: str) -> SliSubject | None:
        return self._open.get(subject_id) or self._resting.get(subject_id)

    def take(self, happened: Happened) -> Iterable[Sample]:
        """The next event: what has ended with it."""
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


class Ended:
    """See Facts: what has ended, of events of some types."""

    def __init__(self, types: frozenset[str]) -> None:
        self._types, self._subjects = Types(types), Subjects()

    @property
    def forgotten(self) -> int:
        """See Facts.forgotten."""
        return self._subjects.forgotten

    def beside(self, log: Readable) -> AbstractContextManager[object]:
        """See Facts.beside: events of tickets and workflows say all by themselves."""
        return nullcontext()

    def read(self, record: Record) -> Happened | None:
        """See Facts.read."""
        if not (record.value and self._types.has(record.value)):
            return None
        decoded = decode(record.value, "event")
        assert isinstance(decoded.head, Envelope)
        return Happened(record, (record.key or b"").decode(errors="replace"), decoded.head, decoded.payload)

    def take(self, said: Happened) -> Iterable[Sample]:
        """See Facts.take."""
        return self._subjects.take(said)


def tickets(read: MessageReader) -> Ended:
    """Attempts at tickets, in a partition of which nothing was read yet."""
    return Ended(_TICKET_TYPES)


def workflows(read: MessageReader) -> Ended:
    """Workflows and plans, in a partition of which nothing was read yet."""
    return Ended(_WORKFLOW_TYPES)

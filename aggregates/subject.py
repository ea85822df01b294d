"""A subject: a person of whom the log holds personal data, under a pseudonym.

Protects: who is erased stays so, and the log says once why. The key itself is destroyed by who asked for it, after
this event: the log comes first.
"""

import re
from typing import Final

import msgspec

from neural_hive.aggregates.aggregate import Aggregate, Command, Event, Rejected, members

REASON_CHARS_MAX: Final = 1_000
_ID: Final = re.compile(r"[0-9a-f]{32}")


class Erase(Command, frozen=True):
    """Nobody shall read any more what the log says of the person."""

    subject_id: str
    reason: str
    requested_by: str
    now: int  # µs


class SubjectErased(Event, frozen=True):
    """The key of a person is to be destroyed, and with it all that the log says of that person."""

    subject_id: str
    reason: str
    requested_by: str
    erased_at: int


class Subject(msgspec.Struct, frozen=True):
    """A person who is erased. Of others there is no state."""

    reason: str
    requested_by: str
    erased_at: int  # µs


def decide(state: Subject | None, command: Erase) -> list[SubjectErased]:
    """Once. Raises Rejected: no subject id, or no reason."""
    if not _ID.fullmatch(command.subject_id):
        raise Rejected("subject_id must have 32 hex digits: a name must not stand in the log")
    if not command.reason.strip():
        raise Rejected("give a reason: it is all that the log keeps of an erasure")
    if state is not None:
        return []
    reason = command.reason[:REASON_CHARS_MAX]
    return [SubjectErased(command.subject_id, reason, command.requested_by, command.now)]


def evolve(state: Subject | None, event: SubjectErased) -> Subject:
    """Adds one event."""
    return state or Subject(event.reason, event.requested_by, event.erased_at)


SUBJECT: Final = Aggregate("subject", "privacy.subjects", Subject, members(SubjectErased), decide, evolve)

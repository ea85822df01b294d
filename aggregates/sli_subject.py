"""What SLIs ask about a ticket or workflow, and its later events do not tell.

Protects: it is noted once, from the event that begins the ticket or workflow, and does not change. It is forgotten when
nothing more can be said of it: some time after it has ended for good, or so long after it began that no deadline can
still be ahead of it. A ticket that has failed has not ended for good: until its deadline it may be tried again.

What is forgotten is gone from the state, and does not begin again: what begins a ticket or workflow is in the log once.
"""

from collections.abc import Mapping
from typing import Final, assert_never

import msgspec

from neural_hive.aggregates.aggregate import Aggregate, Command, Event, members
from neural_hive.aggregates.sla_window import DAY

FORGET_TIMER: Final = "forget"
KEPT_US: Final = 7 * DAY  # after its end
OPEN_US: Final = 100 * DAY  # after its begin, ended or not: deadlines are 90 days away at most


class Note(Command, frozen=True):
    """Keep what an event told."""

    subject_id: str
    facts: dict[str, str]
    began_at: int  # µs
    due_at: int


class End(Command, frozen=True):
    """It has ended, and cannot end again."""

    subject_id: str
    now: int  # µs


class Forget(Command, frozen=True):
    """Nobody asks for it any more."""

    subject_id: str
    now: int


class SliSubjectNoted(Event, frozen=True):
    """What later events of a ticket or workflow do not tell."""

    subject_id: str
    facts: dict[str, str]
    began_at: int
    due_at: int


class SliSubjectEnded(Event, frozen=True):
    """A ticket or workflow has ended for good: what was noted of it is kept for some days."""

    subject_id: str
    ended_at: int


class SliSubjectForgotten(Event, frozen=True):
    """What was noted of a ticket or workflow is not kept any more."""

    subject_id: str
    forgotten_at: int


SliSubjectCommand = Note | End | Forget
SliSubjectEvent = SliSubjectNoted | SliSubjectEnded | SliSubjectForgotten


class SliSubject(msgspec.Struct, frozen=True):
    """What is known of a ticket or workflow."""

    facts: dict[str, str]
    began_at: int
    due_at: int
    ended_at: int = 0  # when its end was in the log; 0: it may still end
    is_forgotten: bool = False


def decide(subject: SliSubject | None, command: SliSubjectCommand) -> list[SliSubjectEvent]:
    """Notes what is not noted yet, once that it has ended, and lets go of it."""
    match command:
        case Note():
            noted = SliSubjectNoted(command.subject_id, command.facts, command.began_at, command.due_at)
            return [] if subject else [noted]
        case End():
            is_open = subject is not None and not subject.ended_at
            return [SliSubjectEnded(command.subject_id, command.now)] if is_open else []
        case Forget():
            return [SliSubjectForgotten(command.subject_id, command.now)] if subject else []
        case _:
            assert_never(command)


def evolve(subject: SliSubject | None, event: SliSubjectEvent) -> SliSubject:
    """What an event tells."""
    match event:
        case SliSubjectNoted():
            return SliSubject(event.facts, event.began_at, event.due_at)
        case SliSubjectEnded():
            found = subject or SliSubject({}, 0, 0)
            return msgspec.structs.replace(found, ended_at=event.ended_at)
        case SliSubjectForgotten():
            return SliSubject({}, 0, 0, is_forgotten=True)
        case _:
            assert_never(event)


def timers(subject: SliSubject) -> Mapping[str, int]:
    """When it is forgotten."""
    if subject.is_forgotten:
        return {}
    at = subject.ended_at + KEPT_US if subject.ended_at else subject.began_at + OPEN_US
    return {FORGET_TIMER: at}


def is_over(subject: SliSubject) -> bool:
    """Whether nothing of it need be known any more."""
    return subject.is_forgotten


SLI_SUBJECT: Final = Aggregate(
    "sli_subject",
    "sla.sources",
    SliSubject,
    members(SliSubjectEvent),
    decide,
    evolve,
    timers,
    is_over=is_over,
)

"""What SLIs ask about a ticket or workflow, and its later events do not tell.

Protects: it is noted once, from the event that begins the ticket or workflow, and does not change.
"""

import msgspec

from neural_hive.aggregates.aggregate import Aggregate, Command, Event, members


class Note(Command, frozen=True):
    """Keep what an event told."""

    subject_id: str
    facts: dict[str, str]
    began_at: int  # µs
    due_at: int


class SliSubjectNoted(Event, frozen=True):
    """What later events of a ticket or workflow do not tell."""

    subject_id: str
    facts: dict[str, str]
    began_at: int
    due_at: int


class SliSubject(msgspec.Struct, frozen=True):
    """What is known of a ticket or workflow."""

    facts: dict[str, str]
    began_at: int
    due_at: int


def decide(subject: SliSubject | None, command: Note) -> list[SliSubjectNoted]:
    """Notes what is not noted yet."""
    if subject:
        return []
    return [SliSubjectNoted(command.subject_id, command.facts, command.began_at, command.due_at)]


def evolve(subject: SliSubject | None, event: SliSubjectNoted) -> SliSubject:
    """What an event tells."""
    return SliSubject(event.facts, event.began_at, event.due_at)


SLI_SUBJECT = Aggregate("sli_subject", "sla.sources", SliSubject, members(SliSubjectNoted), decide, evolve)

"""A webhook subject: what filters of webhooks ask about a ticket or workflow, and its later events do not tell.

Protects: it is noted once, from the event that begins the ticket or workflow, and does not change.
"""

import msgspec

from neural_hive.aggregates.aggregate import Aggregate, Command, Event, members


class Note(Command, frozen=True):
    """Keep what an event told."""

    subject_id: str
    plan_id: str
    task_type: str


class SubjectNoted(Event, frozen=True):
    """What events of a ticket or workflow do not tell and filters ask for."""

    subject_id: str
    plan_id: str
    task_type: str = ""  # empty: a workflow


class Subject(msgspec.Struct, frozen=True):
    """What is known of a ticket or workflow."""

    plan_id: str
    task_type: str


def decide(subject: Subject | None, command: Note) -> list[SubjectNoted]:
    """Notes what is not noted yet."""
    return [] if subject else [SubjectNoted(command.subject_id, command.plan_id, command.task_type)]


def evolve(subject: Subject | None, event: SubjectNoted) -> Subject:
    """What an event tells."""
    return Subject(event.plan_id, event.task_type)


SUBJECT = Aggregate("webhook_subject", "webhooks.deliveries", Subject, members(SubjectNoted), decide, evolve)

"""A dead letter, and what people did about it.

Protects: only a whole record of an input is written again, by a person with a reason, and once unless that person says
so. What is refused leaves an event too.
"""

from enum import StrEnum
from typing import Final

import msgspec

from neural_hive.aggregates.aggregate import Aggregate, Command, Event, members
from neural_hive.aggregates.person import person

TEXT_CHARS_MAX: Final = 1_000


class Obstacle(StrEnum):
    """Why a dead letter's record is not written again."""

    UNKNOWN = "UNKNOWN"
    NO_REASON = "NO_REASON"
    NO_SUCH_LETTER = "NO_SUCH_LETTER"
    REDRIVEN_BEFORE = "REDRIVEN_BEFORE"
    TIMER = "TIMER"
    NOT_AN_INPUT = "NOT_AN_INPUT"
    NOT_WHOLE = "NOT_WHOLE"
    TOO_LARGE = "TOO_LARGE"


class Buried(msgspec.Struct, frozen=True):
    """The record in a dead letter, as far as it counts here."""

    letter_id: str
    source_topic: str  # empty: there is none, a timer's handler failed
    source_partition: int
    source_offset: int
    message_id: str
    value_sha256: str
    is_input: bool  # whether clients may write its topic
    is_whole: bool
    fits: bool  # into its topic


class Redrive(Command, frozen=True):
    """Writes the record into its topic again."""

    dead_letter: str
    reason: str
    requested_by: str
    again: bool
    buried: Buried | None  # None: there is no such letter


class DeadLetterRedriven(Event, frozen=True):
    """The record of a dead letter was written into its topic again, as it had come."""

    dead_letter: str
    letter_id: str
    redrive: int  # 1, 2, …
    source_topic: str
    source_partition: int
    source_offset: int
    message_id: str
    value_sha256: str
    reason: str
    requested_by: str


class RedriveRejected(Event, frozen=True):
    """The record of a dead letter was not written again, although somebody wanted it."""

    dead_letter: str
    obstacle: Obstacle
    reason: str
    wanted: str
    requested_by: str


DeadLetterEvent = DeadLetterRedriven | RedriveRejected


class DeadLetter(msgspec.Struct, frozen=True):
    """What the events so far make of a dead letter."""

    redrives: int = 0


def decide(letter: DeadLetter | None, command: Redrive) -> list[DeadLetterEvent]:
    """It is written again, or the event says why not."""
    redrives = letter.redrives if letter else 0
    found = _obstacle(redrives, command)
    wanted, by = command.reason[:TEXT_CHARS_MAX], person(command.requested_by, "requested_by")
    if found is not None:
        return [RedriveRejected(command.dead_letter, *found, wanted, by)]
    buried = command.buried
    assert buried is not None, "else there is an obstacle"
    return [
        DeadLetterRedriven(
            command.dead_letter,
            buried.letter_id,
            redrives + 1,
            buried.source_topic,
            buried.source_partition,
            buried.source_offset,
            buried.message_id,
            buried.value_sha256,
            wanted,
            by,
        )
    ]


def _obstacle(redrives: int, command: Redrive) -> tuple[Obstacle, str] | None:
    """What stands against it, and what to do."""
    buried = command.buried
    if not command.reason.strip() or not command.requested_by.strip():
        return Obstacle.NO_REASON, "say who wants it, and why: both are kept with it"
    if buried is None:
        return Obstacle.NO_SUCH_LETTER, "there is no dead letter at this place"
    if not buried.source_topic:
        return (
            Obstacle.TIMER,
            "it tells of a timer: there is no record, and the timer is tried again by itself",
        )
    if not buried.is_input:
        return Obstacle.NOT_AN_INPUT, f"{buried.source_topic} is no input: nobody but its processor writes it"
    if not buried.is_whole:
        return (
            Obstacle.NOT_WHOLE,
            "the letter does not hold all of the record: publish it again from where it came",
        )
    if not buried.fits:
        return (
            Obstacle.TOO_LARGE,
            f"with what is added to it, it may not fit into {buried.source_topic} any more",
        )
    if redrives and not command.again:
        times = "once" if redrives == 1 else f"{redrives} times"
        return (
            Obstacle.REDRIVEN_BEFORE,
            f"it was written again {times} already: say that it shall be once more",
        )
    return None


def evolve(letter: DeadLetter | None, event: DeadLetterEvent) -> DeadLetter:
    """What an event makes of the letter."""
    before = letter or DeadLetter()
    return DeadLetter(event.redrive) if isinstance(event, DeadLetterRedriven) else before


DEAD_LETTER = Aggregate(
    "dead_letter", "operations.redrives", DeadLetter, members(DeadLetterEvent), decide, evolve
)

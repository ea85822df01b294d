"""A cursor of an SLI: from which place of a source's partition on its events are counted as they come.

Protects: it is set once for each way of measuring, so that what stands before it can be counted from the log, and no
event is counted twice or not at all.
"""

import msgspec

from neural_hive.aggregates.aggregate import Aggregate, Command, Event, members


class Open(Command, frozen=True):
    """Count from here on."""

    slo_id: str
    measure: int
    topic: str
    partition: int
    offset: int
    now: int  # µs


class SliSourceOpened(Event, frozen=True):
    """An SLO's events are counted as they come, from this place of a source on."""

    slo_id: str
    measure: int
    topic: str
    partition: int
    offset: int
    opened_at: int


class SliCursor(msgspec.Struct, frozen=True):
    """Where counting began."""

    offset: int


def cursor_id_of(slo_id: str, measure: int, topic: str, partition: int) -> str:
    """The id of the cursor of one way of measuring, in one partition of a source."""
    return f"{slo_id}@{measure}:{topic}:{partition}"


def decide(cursor: SliCursor | None, command: Open) -> list[SliSourceOpened]:
    """Sets it, if it is not set."""
    if cursor:
        return []
    where = command.topic, command.partition, command.offset
    return [SliSourceOpened(command.slo_id, command.measure, *where, command.now)]


def evolve(cursor: SliCursor | None, event: SliSourceOpened) -> SliCursor:
    """What an event tells."""
    return SliCursor(event.offset)


SLI_CURSOR = Aggregate("sli_cursor", "sla.sources", SliCursor, members(SliSourceOpened), decide, evolve)

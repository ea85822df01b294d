"""An SLO as a part of composite ones: in which it counts, and how much.

Protects: it is known where the part's events are counted, so that what changes there and what the composites are told
of it is one step; of a composite the newest measure counts; an SLO is a part of so many at most.
"""

from typing import Final, assert_never

import msgspec

from neural_hive.aggregates.aggregate import Aggregate, Command, Event, Rejected, members
from neural_hive.aggregates.composite import Share

COMPOSITES_MAX: Final = 100  # each count of the part is told to each of them


class Join(Command, frozen=True):
    """Count in a composite SLO too."""

    slo_id: str
    composite_id: str
    measure: int
    weight: int
    now: int  # µs


class Leave(Command, frozen=True):
    """Count in it no longer. `measure`: the composite's, when it said so."""

    slo_id: str
    composite_id: str
    measure: int
    now: int


class PartJoined(Event, frozen=True):
    """What an SLO has counted counts in a composite SLO, and so does what it will count."""

    slo_id: str
    composite_id: str
    measure: int  # of the composite: it rises whenever that one counts anew
    weight: int  # each event counts so often
    joined_at: int


class PartLeft(Event, frozen=True):
    """What an SLO counts is told to a composite SLO no longer."""

    slo_id: str
    composite_id: str
    left_at: int


SloPartCommand = Join | Leave
SloPartEvent = PartJoined | PartLeft


class SloPart(msgspec.Struct, frozen=True):
    """The composite SLOs that an SLO is a part of."""

    shares: dict[str, Share] = {}  # by the composite's id


def decide(part: SloPart | None, command: SloPartCommand) -> list[SloPartEvent]:
    """Raises Rejected: it is a part of too many."""
    shares = part.shares if part else {}
    share = shares.get(command.composite_id)
    match command:
        case Join():
            if share is not None and share.measure >= command.measure:
                return []
            if share is None and len(shares) >= COMPOSITES_MAX:
                raise Rejected(f"{command.slo_id} is a part of {COMPOSITES_MAX} SLOs, and can be of no more")
            told = command.slo_id, command.composite_id, command.measure, command.weight, command.now
            return [PartJoined(*told)]
        case Leave():
            if share is None or share.measure > command.measure:
                return []
            return [PartLeft(command.slo_id, command.composite_id, command.now)]
        case _:
            assert_never(command)


def evolve(part: SloPart | None, event: SloPartEvent) -> SloPart:
    """What an event makes of it."""
    shares = part.shares if part else {}
    match event:
        case PartJoined():
            return SloPart({**shares, event.composite_id: Share(event.measure, event.weight)})
        case PartLeft():
            return SloPart({name: share for name, share in shares.items() if name != event.composite_id})
        case _:
            assert_never(event)


SLO_PART: Final = Aggregate("slo_part", "sla.definitions", SloPart, members(SloPartEvent), decide, evolve)

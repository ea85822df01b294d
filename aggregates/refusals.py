"""The calls that an API has refused: who tried what without the right to, or too often.

Protects: each note says what was refused, how often and when; texts are as short as their limits. One aggregate for
each API, so that a note that is missing is noticed by its version.
"""

from typing import Final

import msgspec

from neural_hive.aggregates.aggregate import Aggregate, Command, Event, Rejected, members
from neural_hive.aggregates.person import person

STATUSES: Final = (401, 403, 429)  # not known; known, and without the right; too often
COUNT_MAX: Final = 1_000_000_000
METHOD_CHARS_MAX: Final = 16
PATH_CHARS_MAX: Final = 200
ROLE_CHARS_MAX: Final = 64
REASON_CHARS_MAX: Final = 300


class Note(Command, frozen=True):
    """Keeps that calls which are alike were refused."""

    api: str
    caller: str  # empty: nobody knows
    address: str
    method: str
    path: str  # without the values in it
    role: str  # empty: none was needed
    status: int
    reason: str
    count: int
    first_at: int  # µs
    last_at: int


class CallRefused(Event, frozen=True):
    """Somebody called an API without the right to, or too often."""

    api: str
    caller: str
    address: str
    method: str
    path: str
    role: str
    status: int
    reason: str
    count: int
    first_at: int
    last_at: int


class Refusals(msgspec.Struct, frozen=True):
    """How much an API has refused."""

    calls: int = 0
    last_at: int = 0  # µs


def decide(refusals: Refusals | None, command: Note) -> list[CallRefused]:
    """It is kept, its texts cut to their limits. Raises Rejected: it says nothing."""
    if command.status not in STATUSES:
        told = ", ".join(map(str, STATUSES))
        raise Rejected(f"status must be one of {told}, not {command.status}")
    if not 1 <= command.count <= COUNT_MAX:
        raise Rejected(f"count must be within 1 to {COUNT_MAX:,}, not {command.count}")
    if not 0 <= command.first_at <= command.last_at:
        raise Rejected("the first call must not be after the last")
    return [
        CallRefused(
            command.api,
            person(command.caller, "caller"),
            person(command.address, "address"),
            command.method[:METHOD_CHARS_MAX],
            command.path[:PATH_CHARS_MAX],
            command.role[:ROLE_CHARS_MAX],
            command.status,
            command.reason[:REASON_CHARS_MAX],
            command.count,
            command.first_at,
            command.last_at,
        )
    ]


def evolve(refusals: Refusals | None, event: CallRefused) -> Refusals:
    """Adds one note."""
    before = refusals or Refusals()
    return Refusals(before.calls + event.count, max(before.last_at, event.last_at))


REFUSALS = Aggregate("refusals", "operations.refusals", Refusals, members(CallRefused), decide, evolve)

"""A violation: an SLO's budget is used up, or burns so fast that it soon will be.

Protects: of each kind a budget has at most one open violation; it is opened and closed with the numbers that say so.
"""

from enum import StrEnum
from typing import Any, Final, assert_never

import msgspec

from neural_hive.aggregates.aggregate import Aggregate, Command, Event, members
from neural_hive.aggregates.burn import Level, Status
from neural_hive.aggregates.identity import derived_id
from neural_hive.aggregates.incident import Severity


class Kind(StrEnum):
    """What is violated."""

    UNKNOWN = "UNKNOWN"
    EXHAUSTED = "EXHAUSTED"  # nothing is left of the budget
    BURN_CRITICAL = "BURN_CRITICAL"
    BURN_FAST = "BURN_FAST"
    BURN_ELEVATED = "BURN_ELEVATED"


SEVERITY: Final = {
    Kind.EXHAUSTED: Severity.CRITICAL,
    Kind.BURN_CRITICAL: Severity.CRITICAL,
    Kind.BURN_FAST: Severity.HIGH,
    Kind.BURN_ELEVATED: Severity.MEDIUM,
    Kind.UNKNOWN: Severity.UNKNOWN,
}
_BURNS: Final = {
    Level.CRITICAL: Kind.BURN_CRITICAL,
    Level.FAST: Kind.BURN_FAST,
    Level.ELEVATED: Kind.BURN_ELEVATED,
}


class Seen(msgspec.Struct, frozen=True):
    """What a look at a budget has shown."""

    slo_id: str
    budget_id: str
    service_name: str
    remaining: float
    status: Status
    level: Level
    burn_rate: float  # of the last hour
    upto: int  # µs


class Look(Command, frozen=True):
    """Is there such a violation?"""

    kind: Kind
    seen: Seen
    is_measured: bool  # False: nobody measures it any more
    now: int


class ViolationOpened(Seen, Event, frozen=True):
    """An SLO is violated, or soon will be."""

    violation_id: str
    kind: Kind
    severity: Severity
    opened_at: int


class ViolationClosed(Seen, Event, frozen=True):
    """It is so no more."""

    violation_id: str
    kind: Kind
    severity: Severity
    duration_ms: int
    closed_at: int


ViolationEvent = ViolationOpened | ViolationClosed


class Violation(msgspec.Struct, frozen=True):
    """A violation as it stands."""

    violation_id: str
    kind: Kind
    is_open: bool
    opened_at: int
    times: int  # it was opened


def violation_id_of(budget_id: str, kind: Kind) -> str:
    """The id of a budget's violation of one kind."""
    return derived_id("violation", budget_id, kind)


def kinds_of(status: Status, level: Level) -> frozenset[Kind]:
    """What of a budget is violated."""
    burning = {_BURNS[level]} if level in _BURNS else set()
    return frozenset(burning | ({Kind.EXHAUSTED} if status is Status.EXHAUSTED else set()))


def decide(found: Violation | None, command: Look) -> list[ViolationEvent]:
    """Opens it, or closes it; nothing, if it is so already."""
    seen = command.seen
    holds = command.is_measured and command.kind in kinds_of(seen.status, seen.level)
    is_open = found is not None and found.is_open
    if holds == is_open:
        return []
    kind = command.kind
    told: dict[str, Any] = msgspec.structs.asdict(seen) | {
        "violation_id": violation_id_of(seen.budget_id, kind),
        "kind": kind,
        "severity": SEVERITY[kind],
    }
    if holds:
        return [ViolationOpened(**told, opened_at=command.now)]
    assert found is not None
    lasted_ms = max(command.now - found.opened_at, 0) // 1_000
    return [ViolationClosed(**told, duration_ms=lasted_ms, closed_at=command.now)]


def evolve(found: Violation | None, event: ViolationEvent) -> Violation:
    """What an event makes of the violation."""
    match event:
        case ViolationOpened():
            times = found.times + 1 if found else 1
            return Violation(event.violation_id, event.kind, True, event.opened_at, times)
        case ViolationClosed():
            assert found is not None, "the history of a violation begins with ViolationOpened"
            return msgspec.structs.replace(found, is_open=False)
        case _:
            assert_never(event)


VIOLATION: Final = Aggregate(
    "violation", "sla.violations", Violation, members(ViolationEvent), decide, evolve
)

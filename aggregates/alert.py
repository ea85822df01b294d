"""An alert: the word of another program, such as an Alertmanager, that an SLO is in danger, from when to when.

Protects: of what is told again and again, each beginning and each end is noted once; what comes late changes nothing
that is newer.

    FIRING → RESOLVED → FIRING …
"""

import re
from enum import StrEnum
from typing import Final, assert_never

import msgspec

from neural_hive.aggregates.aggregate import Aggregate, Command, Event, Rejected, members
from neural_hive.aggregates.identity import derived_id
from neural_hive.aggregates.person import person

FINGERPRINT: Final = re.compile(r"[0-9a-f]{1,64}")
LABELS_MAX: Final = 64
TEXT_CHARS_MAX: Final = 10_000  # of all labels, and of all annotations


class Signal(StrEnum):
    """What is told of an alert."""

    UNKNOWN = "UNKNOWN"
    FIRING = "FIRING"
    RESOLVED = "RESOLVED"


class Told(msgspec.Struct, frozen=True):
    """What another program says of an alert."""

    slo_id: str
    fingerprint: str  # of its labels: who tells of it gives the same one each time
    labels: dict[str, str]
    annotations: dict[str, str]
    receiver: str
    generator_url: str
    starts_at: int  # µs


class Note(Command, frozen=True):
    """An alert was told of."""

    told: Told
    signal: Signal
    ends_at: int  # µs; of RESOLVED
    requested_by: str
    now: int


class AlertFired(Told, Event, frozen=True):
    """An alert about an SLO has begun."""

    alert_id: str
    requested_by: str
    noted_at: int


class AlertResolved(Told, Event, frozen=True):
    """An alert about an SLO is over."""

    alert_id: str
    ends_at: int
    requested_by: str
    noted_at: int


AlertEvent = AlertFired | AlertResolved


class Alert(msgspec.Struct, frozen=True):
    """An alert as it stands."""

    alert_id: str
    starts_at: int
    is_firing: bool


def alert_id_of(slo_id: str, fingerprint: str) -> str:
    """The id of an alert about an SLO."""
    return derived_id("alert", slo_id, fingerprint)


def decide(found: Alert | None, command: Note) -> list[AlertEvent]:
    """It has begun, is over, or nothing of it is new. Raises Rejected: it makes no sense."""
    _check(command)
    told = command.told
    is_new = found is None or told.starts_at > found.starts_at
    is_over = command.signal is Signal.RESOLVED
    if not is_new and not (is_over and found and found.is_firing and told.starts_at == found.starts_at):
        return []
    who = person(command.requested_by, "requested_by")
    said = msgspec.structs.asdict(told) | {"alert_id": alert_id_of(told.slo_id, told.fingerprint)}
    events: list[AlertEvent] = []
    if is_new:  # who tells only of its end says that it had begun, too
        events.append(AlertFired(**said, requested_by=who, noted_at=command.now))
    if is_over:
        ends_at = max(command.ends_at, told.starts_at)
        events.append(AlertResolved(**said, ends_at=ends_at, requested_by=who, noted_at=command.now))
    return events


def _check(command: Note) -> None:
    told = command.told
    if command.signal is Signal.UNKNOWN:
        raise Rejected("an alert must be FIRING or RESOLVED")
    if not FINGERPRINT.fullmatch(told.fingerprint):
        raise Rejected("fingerprint must have 1 to 64 hexadecimal digits")
    if told.starts_at <= 0:
        raise Rejected("starts_at must say when it began")
    for name in ("labels", "annotations"):
        texts: dict[str, str] = getattr(told, name)
        if len(texts) > LABELS_MAX or sum(map(len, (*texts, *texts.values()))) > TEXT_CHARS_MAX:
            raise Rejected(f"{name}: at most {LABELS_MAX}, of {TEXT_CHARS_MAX:,} characters together")
    if len(told.receiver) + len(told.generator_url) > TEXT_CHARS_MAX:
        raise Rejected(f"receiver and generator_url have more than {TEXT_CHARS_MAX:,} characters")


def evolve(found: Alert | None, event: AlertEvent) -> Alert:
    """What an event makes of the alert."""
    match event:
        case AlertFired():
            return Alert(event.alert_id, event.starts_at, True)
        case AlertResolved():
            return Alert(event.alert_id, event.starts_at, False)
        case _:
            assert_never(event)


ALERT: Final = Aggregate("alert", "sla.violations", Alert, members(AlertEvent), decide, evolve)

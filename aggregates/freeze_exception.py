"""An exception from freezes: for a while something may be deployed although it is frozen, since two persons say so.

Protects: nobody excepts what he has asked for himself; who does not say who he is excepts nothing; an exception names
what it is for, and ends by itself. Who has asked may take it back, and so may everybody: to end one only restores what
holds for all others.

    REQUESTED → APPROVED → EXPIRED or REVOKED
              → REJECTED, REVOKED, or EXPIRED without an answer
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, assert_never

import msgspec

from neural_hive.aggregates.aggregate import Aggregate, Command, Event, Rejected, members
from neural_hive.aggregates.definitions import REASON_CHARS_MAX
from neural_hive.aggregates.person import is_same, named_person
from neural_hive.aggregates.slo import ID, TEXT_CHARS_MAX

EXPIRE_TIMER: Final = "expire"
HOUR_MS: Final = 3_600_000
ANSWER_WITHIN_MS: Final = 24 * HOUR_MS  # what nobody answers until then has expired
DURATION_MS_MIN: Final = 60_000
NAMED_DURATION_MS_MAX: Final = 7 * 24 * HOUR_MS  # of one ticket or workflow
PLACE_DURATION_MS_MAX: Final = (
    24 * HOUR_MS
)  # of a service or namespace: nobody knows what is deployed until then
OPEN_MAX: Final = 1_000  # exceptions that are requested or approved at once


class Scope(StrEnum):
    """What an exception is for."""

    UNKNOWN = "UNKNOWN"
    TICKET = "TICKET"
    WORKFLOW = "WORKFLOW"
    SERVICE = "SERVICE"
    NAMESPACE = "NAMESPACE"


class Standing(StrEnum):
    """Whether it holds."""

    REQUESTED = "REQUESTED"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    REVOKED = "REVOKED"
    EXPIRED = "EXPIRED"


OPEN: Final = frozenset({Standing.REQUESTED, Standing.APPROVED})


class Request(Command, frozen=True):
    """Somebody wants something to be deployed although it is frozen. `duration_ms`: from the approval on."""

    exception_id: str
    scope: Scope
    subject: str
    duration_ms: int
    requested_by: str
    reason: str
    now: int  # µs


class Approve(Command, frozen=True):
    """Another person allows it."""

    requested_by: str
    reason: str
    now: int


class Reject(Command, frozen=True):
    """Another person does not."""

    requested_by: str
    reason: str
    now: int


class Revoke(Command, frozen=True):
    """It shall hold no longer, or nobody needs to answer any more."""

    requested_by: str
    reason: str
    now: int


class Expire(Command, frozen=True):
    """Its time is over."""

    now: int


class FreezeExceptionRequested(Event, frozen=True):
    """Somebody has asked whether something may be deployed although it is frozen."""

    exception_id: str
    scope: Scope
    subject: str  # id of the ticket or workflow, name of the service or namespace
    duration_ms: int
    requested_by: str
    reason: str
    requested_at: int
    answer_by: int  # when it expires without an answer


class FreezeExceptionApproved(Event, frozen=True):
    """Another person than who asked has allowed it, for a while."""

    exception_id: str
    scope: Scope
    subject: str
    approved_by: str
    answer: str  # why
    approved_at: int
    expires_at: int


class FreezeExceptionRejected(Event, frozen=True):
    """Another person than who asked has not allowed it."""

    exception_id: str
    rejected_by: str
    answer: str  # why
    rejected_at: int


class FreezeExceptionRevoked(Event, frozen=True):
    """What was asked for, or allowed, was taken back."""

    exception_id: str
    revoked_by: str
    answer: str  # why
    was_approved: bool
    revoked_at: int


class FreezeExceptionExpired(Event, frozen=True):
    """Its time was over, or nobody has answered in time."""

    exception_id: str
    was_approved: bool
    expired_at: int


ExceptionCommand = Request | Approve | Reject | Revoke | Expire
ExceptionEvent = (
    FreezeExceptionRequested
    | FreezeExceptionApproved
    | FreezeExceptionRejected
    | FreezeExceptionRevoked
    | FreezeExceptionExpired
)


class FreezeException(msgspec.Struct, frozen=True):
    """An exception as it stands."""

    requested: FreezeExceptionRequested
    standing: Standing = Standing.REQUESTED
    ends_at: int = 0  # µs: when its time, or that for an answer, is over

    def holds(self, now: int) -> bool:
        """Whether it excepts anything at a time (µs)."""
        return self.standing is Standing.APPROVED and now < self.ends_at


def decide(found: FreezeException | None, command: ExceptionCommand) -> list[ExceptionEvent]:
    """Raises Rejected: there is nothing to answer, no reason, nobody who says so, or the one who has asked himself."""
    match command:
        case Request():
            return _request(found, command)
        case Expire():
            if found is None or found.standing not in OPEN or command.now < found.ends_at:
                return []
            was_approved = found.standing is Standing.APPROVED
            return [FreezeExceptionExpired(found.requested.exception_id, was_approved, command.now)]
        case Approve() | Reject() | Revoke():
            return _answer(found, command)
        case _:
            assert_never(command)


def _request(found: FreezeException | None, wanted: Request) -> list[ExceptionEvent]:
    if problems := _problems(wanted):
        raise Rejected("; ".join(problems))
    requested = FreezeExceptionRequested(
        wanted.exception_id,
        wanted.scope,
        wanted.subject,
        wanted.duration_ms,
        named_person(wanted.requested_by, "requested_by"),
        wanted.reason[:REASON_CHARS_MAX],
        wanted.now,
        wanted.now + ANSWER_WITHIN_MS * 1_000,
    )
    if found is None:
        return [requested]
    times = {"requested_at": found.requested.requested_at, "answer_by": found.requested.answer_by}
    if msgspec.structs.replace(requested, **times) == found.requested:
        return []
    raise Rejected(f"exception {wanted.exception_id} is another one: ask with a new id")


def _problems(wanted: Request) -> list[str]:
    problems = []
    if not ID.fullmatch(wanted.exception_id):
        problems.append("exception_id must have 1 to 128 small letters, digits, dots, underscores and dashes")
    if wanted.scope is Scope.UNKNOWN:
        problems.append("scope must be TICKET, WORKFLOW, SERVICE or NAMESPACE")
    if not wanted.subject.strip() or len(wanted.subject) > TEXT_CHARS_MAX:
        problems.append(f"subject names what is excepted, with 1 to {TEXT_CHARS_MAX:,} characters")
    is_named = wanted.scope in (Scope.TICKET, Scope.WORKFLOW)
    longest = NAMED_DURATION_MS_MAX if is_named else PLACE_DURATION_MS_MAX
    if not DURATION_MS_MIN <= wanted.duration_ms <= longest:
        most = f"{longest // HOUR_MS} hours"
        problems.append(f"an exception for a {wanted.scope} lasts a minute at least and {most} at most")
    if not wanted.reason.strip():
        problems.append("give a reason: it is what the one who answers reads")
    return problems


def _answer(found: FreezeException | None, answer: Approve | Reject | Revoke) -> list[ExceptionEvent]:
    if not answer.reason.strip():
        raise Rejected("give a reason: it is what others read of the exception")
    by = named_person(answer.requested_by, "requested_by")
    if found is None:
        raise Rejected("there is no such exception")
    asked, reason, now = found.requested, answer.reason[:REASON_CHARS_MAX], answer.now
    if isinstance(answer, Revoke):
        if found.standing not in OPEN:
            return []
        was_approved = found.standing is Standing.APPROVED
        return [FreezeExceptionRevoked(asked.exception_id, by, reason, was_approved, now)]
    wanted = Standing.APPROVED if isinstance(answer, Approve) else Standing.REJECTED
    if found.standing is wanted:
        return []
    if found.standing is not Standing.REQUESTED or now >= found.ends_at:
        over = found.standing if found.standing is not Standing.REQUESTED else Standing.EXPIRED
        raise Rejected(f"the exception is {over}: ask for another one")
    if is_same(asked.requested_by, by):
        raise Rejected("who has asked for an exception cannot answer himself: another person must")
    if isinstance(answer, Reject):
        return [FreezeExceptionRejected(asked.exception_id, by, reason, now)]
    what = asked.exception_id, asked.scope, asked.subject
    return [FreezeExceptionApproved(*what, by, reason, now, now + asked.duration_ms * 1_000)]


def evolve(found: FreezeException | None, event: ExceptionEvent) -> FreezeException:
    """What an event makes of the exception."""
    if isinstance(event, FreezeExceptionRequested):
        return FreezeException(event, ends_at=event.answer_by)
    assert found is not None, "the history of an exception begins with FreezeExceptionRequested"
    change = msgspec.structs.replace
    match event:
        case FreezeExceptionApproved():
            return change(found, standing=Standing.APPROVED, ends_at=event.expires_at)
        case FreezeExceptionRejected():
            return change(found, standing=Standing.REJECTED)
        case FreezeExceptionRevoked():
            return change(found, standing=Standing.REVOKED)
        case FreezeExceptionExpired():
            return change(found, standing=Standing.EXPIRED)
        case _:
            assert_never(event)


def timers(found: FreezeException) -> Mapping[str, int]:
    """When its time, or that for an answer, is over (µs)."""
    return {EXPIRE_TIMER: found.ends_at} if found.standing in OPEN else {}


FREEZE_EXCEPTION: Final = Aggregate(
    "freeze_exception",
    "sla.freeze.events",
    FreezeException,
    members(ExceptionEvent),
    decide,
    evolve,
    timers,
)

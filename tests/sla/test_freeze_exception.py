"""Exceptions from freezes: two persons, one thing that it is for, and an end."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from neural_hive.aggregates.aggregate import Event, Rejected
from neural_hive.aggregates.freeze_exception import (
    ANSWER_WITHIN_MS,
    FREEZE_EXCEPTION,
    HOUR_MS,
    OPEN_MAX,
    Approve,
    Expire,
    FreezeException,
    FreezeExceptionApproved,
    FreezeExceptionExpired,
    FreezeExceptionRejected,
    FreezeExceptionRequested,
    FreezeExceptionRevoked,
    Reject,
    Request,
    Revoke,
    Scope,
    Standing,
)
from neural_hive.streams.exceptions_view import FROZEN, Frozen
from neural_hive.streams.sla.messages import (
    ApproveFreezeException,
    RejectFreezeException,
    RequestFreezeException,
    RevokeFreezeException,
)
from neural_hive.streams.sla.system import build
from tests.grammar import given
from tests.privacy.memory_keys import MemoryKeys, Personal, hidden
from tests.sla.kernel_unit import SlaUnit
from tests.sla.test_freezes_view import record

NOW = 1_795_365_762_000_000
ANN, BOB = hidden("ann"), hidden("bob")
ASK = Request("e-1", Scope.TICKET, "t-1", HOUR_MS, ANN, "the fix is in it", NOW)
REQUESTED = FreezeExceptionRequested(
    "e-1", Scope.TICKET, "t-1", HOUR_MS, ANN, "the fix is in it", NOW, NOW + ANSWER_WITHIN_MS * 1_000
)
LATER = NOW + 60_000_000
ENDS = LATER + HOUR_MS * 1_000
APPROVED = FreezeExceptionApproved("e-1", Scope.TICKET, "t-1", BOB, "go", LATER, ENDS)
YES, NO, BACK = Approve(BOB, "go", LATER), Reject(BOB, "wait", LATER), Revoke(ANN, "not needed", LATER)


def test_another_person_allows_it_for_a_while() -> None:
    given(FREEZE_EXCEPTION).when(ASK).then(REQUESTED)
    given(FREEZE_EXCEPTION, REQUESTED).when(YES).then(APPROVED)
    state = given(FREEZE_EXCEPTION, REQUESTED, APPROVED).state
    assert not state.holds(ENDS) and state.holds(ENDS - 1) and state.holds(LATER)
    assert not given(FREEZE_EXCEPTION, REQUESTED).state.holds(LATER)


def test_or_does_not() -> None:
    rejected = FreezeExceptionRejected("e-1", BOB, "wait", LATER)
    given(FREEZE_EXCEPTION, REQUESTED).when(NO).then(rejected)
    no = given(FREEZE_EXCEPTION, REQUESTED, rejected)
    no.when(YES).then_rejected("REJECTED")
    no.when(NO).then_nothing()
    no.when(BACK).then_nothing()
    assert not no.state.holds(LATER) and FREEZE_EXCEPTION.timers(no.state) == {}


@pytest.mark.parametrize("answer", [YES, NO])
def test_nobody_answers_himself(answer: Approve | Reject) -> None:
    own = msgspec.structs.replace(answer, requested_by=ANN)
    given(FREEZE_EXCEPTION, REQUESTED).when(own).then_rejected("another person must")


def test_a_person_is_the_same_whatever_field_names_it_and_however_it_is_spelled() -> None:
    personal = Personal(MemoryKeys())
    asked = msgspec.structs.replace(REQUESTED, requested_by=personal.hide("Ann  Lee", "requested_by"))
    for name, field in (("ann lee", "requested_by"), ("Ann Lee", "approved_by")):
        own = msgspec.structs.replace(YES, requested_by=personal.hide(name, field))
        given(FREEZE_EXCEPTION, asked).when(own).then_rejected("another person must")
    other = msgspec.structs.replace(YES, requested_by=personal.hide("Ann Leo", "requested_by"))
    given(FREEZE_EXCEPTION, asked).when(other).then_types(FreezeExceptionApproved)


@pytest.mark.parametrize("nobody", ["", " ", "somebody"])
def test_who_does_not_say_who_he_is_excepts_nothing(nobody: str) -> None:
    given(FREEZE_EXCEPTION).when(msgspec.structs.replace(ASK, requested_by=nobody)).then_rejected("nobody")
    for answer in (YES, NO, BACK):
        unnamed = msgspec.structs.replace(answer, requested_by=nobody)
        given(FREEZE_EXCEPTION, REQUESTED).when(unnamed).then_rejected("nobody knows")
        silent = msgspec.structs.replace(answer, reason=" ")
        given(FREEZE_EXCEPTION, REQUESTED).when(silent).then_rejected("give a reason")
        given(FREEZE_EXCEPTION).when(answer).then_rejected("no such exception")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"scope": Scope.UNKNOWN}, "scope"),
        ({"subject": " "}, "subject"),
        ({"subject": "x" * 1_001}, "subject"),
        ({"duration_ms": 59_999}, "a minute at least"),
        ({"duration_ms": 7 * 24 * HOUR_MS + 1}, "168 hours at most"),
        ({"scope": Scope.SERVICE, "duration_ms": 24 * HOUR_MS + 1}, "24 hours at most"),
        ({"reason": ""}, "reason"),
        ({"exception_id": "No Id"}, "exception_id"),
    ],
)
def test_what_makes_no_sense_is_refused(change: dict[str, Any], why: str) -> None:
    given(FREEZE_EXCEPTION).when(msgspec.structs.replace(ASK, **change)).then_rejected(why)


def test_asked_twice_is_asked_once() -> None:
    found = given(FREEZE_EXCEPTION, REQUESTED)
    found.when(msgspec.structs.replace(ASK, now=LATER)).then_nothing()
    found.when(msgspec.structs.replace(ASK, subject="t-2")).then_rejected("another one")
    found.when(YES, YES).then_nothing()
    found.when(BACK, BACK).then_nothing()


def test_it_ends() -> None:
    asked = given(FREEZE_EXCEPTION, REQUESTED)
    asked.when(Expire(REQUESTED.answer_by - 1)).then_nothing()
    unanswered = FreezeExceptionExpired("e-1", False, REQUESTED.answer_by)
    asked.when(Expire(REQUESTED.answer_by)).then(unanswered)
    late = msgspec.structs.replace(YES, now=REQUESTED.answer_by)
    asked.when(late).then_rejected("EXPIRED")
    given(FREEZE_EXCEPTION, REQUESTED, unanswered).when(YES).then_rejected("EXPIRED")
    given(FREEZE_EXCEPTION, REQUESTED, APPROVED).when(Expire(ENDS)).then(
        FreezeExceptionExpired("e-1", True, ENDS)
    )
    asked.when(BACK).then(FreezeExceptionRevoked("e-1", ANN, "not needed", False, LATER))
    given(FREEZE_EXCEPTION, REQUESTED, APPROVED).when(BACK).then(
        FreezeExceptionRevoked("e-1", ANN, "not needed", True, LATER)
    )


def test_the_view_holds_what_is_open() -> None:
    known, state = Frozen(), None

    def add(*commands: Any) -> Frozen:
        nonlocal known, state
        for command in commands:
            for event in FREEZE_EXCEPTION.decide(state, command):
                state = FREEZE_EXCEPTION.evolve(state, event)
                known = FROZEN.add(known, view_of(event))
        return known

    assert add(ASK).exceptions["e-1"].standing is Standing.REQUESTED
    assert add(YES).exceptions == {"e-1": state}
    assert add(BACK).exceptions == {} and known.freezes == {}
    assert FROZEN.add(known, view_of(APPROVED)) is known, "its beginning is not there"


def view_of(event: Event) -> Any:
    return record(event, "e-1", FREEZE_EXCEPTION.name)


@pytest.fixture
def unit() -> Iterator[SlaUnit]:
    made = SlaUnit(build())
    yield made
    assert made.rows() == made.refolded_rows(), "the state is the fold of the log"
    made.close()


def ask(exception_id: str = "e-1", by: str = ANN) -> RequestFreezeException:
    return RequestFreezeException(exception_id, Scope.WORKFLOW, "w-1", HOUR_MS, "a fix", by)


def state_of(unit: SlaUnit) -> FreezeException:
    found: FreezeException = unit.state(FREEZE_EXCEPTION, "e-1")
    return found


def test_the_system_lets_it_expire(unit: SlaUnit) -> None:
    unit.handle(ask())
    unit.pass_time(3_600)
    (approved,) = unit.handle(ApproveFreezeException("e-1", "go", BOB))
    assert approved.expires_at == unit.now + HOUR_MS * 1_000
    assert unit.pass_time(3_599) == []
    (expired,) = unit.pass_time(1)
    assert expired == FreezeExceptionExpired("e-1", True, approved.expires_at)
    assert state_of(unit).standing is Standing.EXPIRED and unit.frozen.exceptions == {}


def test_the_system_takes_answers(unit: SlaUnit) -> None:
    unit.handle(ask())
    with pytest.raises(Rejected, match="another person"):
        unit.handle(ApproveFreezeException("e-1", "go", ANN))
    assert unit.handle(RejectFreezeException("e-1", "no", BOB))
    assert unit.handle(RevokeFreezeException("e-1", "no", BOB)) == []
    (lapsed,) = [unit.handle(ask("e-2")), unit.pass_time(ANSWER_WITHIN_MS / 1_000)][1]
    assert lapsed.was_approved is False


def test_there_are_not_more_than_anybody_could_read(unit: SlaUnit) -> None:
    unit.handle(ask())
    open_one = unit.frozen.exceptions["e-1"]
    unit.frozen = Frozen({}, {f"e-{n}": open_one for n in range(OPEN_MAX)})
    with pytest.raises(Rejected, match="no more"):
        unit.handle(ask("another"))
    assert unit.handle(ask("e-1")) == []

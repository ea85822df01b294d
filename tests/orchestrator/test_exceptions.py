"""What an approved exception names goes although it is frozen, with a word of by which; nothing else does."""

import msgspec
import pytest

from neural_hive.aggregates.freeze_exception import (
    FREEZE_EXCEPTION,
    FreezeException,
    FreezeExceptionRequested,
    Scope,
    Standing,
)
from neural_hive.aggregates.incident import IncidentResolved
from neural_hive.aggregates.tally import HELD_QUEUE, held_queue
from neural_hive.aggregates.ticket import (
    Status,
    TicketAllocated,
    TicketDispatched,
    TicketHeld,
    TicketReleased,
    TicketUnallocated,
)
from neural_hive.aggregates.vocabulary import Outcome
from neural_hive.streams.orchestrator.market import ALLOCATED_MAX
from tests.aggregates.making import AGENT, decision, task
from tests.orchestrator.chill import deploy, freeze, frozen
from tests.orchestrator.running import PLANS, Run
from tests.orchestrator.test_freezes import OLD_S, events, incidents, look

FAR_US = 10**18
EVERYTHING = freeze("f-1", "", freeze().scope.GLOBAL)


def exception(
    subject: str,
    scope: Scope = Scope.TICKET,
    exception_id: str = "e-1",
    ends_at: int = FAR_US,
    standing: Standing = Standing.APPROVED,
) -> FreezeException:
    requested = FreezeExceptionRequested(exception_id, scope, subject, 1, "ann", "a fix", 1, 1)
    return FreezeException(requested, standing, ends_at)


def except_(run: Run, *found: FreezeException) -> None:
    run.pair.exceptions = {each.requested.exception_id: each for each in found}


def ticket_id(run: Run, name: str) -> str:
    return run.ticket(name).created.ticket_id


def test_a_ticket_goes_alone_and_says_by_which_exception() -> None:
    run = frozen(deploy("a"), deploy("b"), deploy("c", service="till"), by=(EVERYTHING,))
    except_(run, exception(ticket_id(run, "b")))
    run.unit.positions = {0: 9}
    look(run)
    (released,) = events(run, TicketReleased)
    assert (released.ticket_id, released.exception_id) == (ticket_id(run, "b"), "e-1")
    assert [view.next_offsets for view in released.views] == [(9,)] * 3
    (allocated,) = events(run, TicketAllocated)
    assert (allocated.ticket_id, allocated.exception_id) == (ticket_id(run, "b"), "e-1")
    assert run.statuses == {"a": Status.READY, "b": Status.ASSIGNED, "c": Status.READY}
    assert len(events(run, IncidentResolved)) == 1
    look(run, 3)
    assert len(events(run, TicketReleased)) == 1 and len(events(run, TicketHeld)) == 3


@pytest.mark.parametrize(
    ("scope", "subject", "gone"),
    [
        (Scope.WORKFLOW, "d-1", "abc"),
        (Scope.WORKFLOW, "d-2", ""),
        (Scope.SERVICE, "checkout", "ab"),
        (Scope.SERVICE, "eu", ""),
        (Scope.SERVICE, "", ""),
        (Scope.NAMESPACE, "eu", "a"),
        (Scope.NAMESPACE, "", ""),
        (Scope.UNKNOWN, "checkout", ""),
        (Scope.TICKET, "no ticket", ""),
    ],
)
def test_only_what_it_names(scope: Scope, subject: str, gone: str) -> None:
    run = frozen(deploy("a", namespace="eu"), deploy("b"), deploy("c", service="till"), by=(EVERYTHING,))
    except_(run, exception(subject, scope))
    look(run)
    assert "".join(name for name in "abc" if run.statuses[name] is Status.ASSIGNED) == gone
    assert {e.exception_id for e in events(run, TicketReleased, TicketAllocated)} <= {"e-1"}


def test_what_is_ready_later_is_never_held() -> None:
    run = Run(decision(task("build"), deploy("a", "build")))
    run.pair.freezes = {"f-1": freeze()}
    except_(run, exception("checkout", Scope.SERVICE))
    run.publish()
    run.answer(run.dispatch_of("build"))
    assert run.statuses["a"] is Status.ASSIGNED
    assert events(run, TicketAllocated)[-1].exception_id == "e-1"
    assert not events(run, TicketHeld) and not incidents(run)


@pytest.mark.parametrize("standing", [s for s in Standing if s is not Standing.APPROVED])
def test_nothing_else_than_an_approved_one_excepts(standing: Standing) -> None:
    run = frozen(deploy("a"))
    except_(run, exception(ticket_id(run, "a"), standing=standing))
    look(run, 3)
    assert run.statuses == {"a": Status.READY} and not events(run, TicketReleased)


def test_nor_does_one_that_is_over_whatever_the_calculator_has_said() -> None:
    run = frozen(deploy("a"))
    except_(run, exception(ticket_id(run, "a"), ends_at=run.unit.now))
    look(run, 3)
    assert run.statuses == {"a": Status.READY} and not events(run, TicketReleased)


def test_on_old_news_nobody_is_let_go() -> None:
    run = frozen(deploy("a"))
    except_(run, exception(ticket_id(run, "a")))
    run.unit.view_ages_s["freezes"] = OLD_S
    look(run, 3)
    assert run.statuses == {"a": Status.READY} and not events(run, TicketReleased)


def test_one_that_ends_before_the_agent_has_it_is_held_again() -> None:
    run = frozen(deploy("a"), capacity=0)
    except_(run, exception(ticket_id(run, "a")))
    look(run)
    assert len(events(run, TicketReleased)) == 1 and not run.ticket("a").held
    except_(run)
    run.pair.register("late", 1)
    look(run)
    assert run.ticket("a").held and run.statuses == {"a": Status.READY}
    assert len(events(run, TicketHeld)) == 2


def test_another_attempt_goes_while_it_holds() -> None:
    run = frozen(deploy("a", max_retries=3))
    except_(run, exception(ticket_id(run, "a")))
    look(run)
    run.answer(run.dispatch_of("a"), Outcome.FAILED)
    run.fire(run.retries()[0])
    assert [a.exception_id for a in events(run, TicketAllocated)] == ["e-1", "e-1"]
    run.answer(run.dispatch_of("a"), Outcome.FAILED)
    except_(run)
    run.fire(run.retries()[0])
    assert run.ticket("a").held


def test_one_that_is_revoked_between_choice_and_slot_gives_the_slot_back() -> None:
    run = Run(decision(deploy("a")))
    run.pair.freezes = {"f-1": freeze()}
    except_(run, exception("checkout", Scope.SERVICE))
    run.unit.handle(PLANS, run.decision, "plan")
    assert len(events(run, TicketAllocated)) == 1
    except_(run)
    run.pair.pump()
    assert run.ticket("a").held and run.pair.held(AGENT) == 0
    assert not events(run, TicketDispatched)


@pytest.mark.parametrize("is_frozen", [False, True])
def test_what_lets_it_go_is_named_before_it_goes(is_frozen: bool) -> None:
    """A freeze begins between choice and slot, or another exception takes the place of the one that was named."""
    run = Run(decision(deploy("a")))
    if is_frozen:
        run.pair.freezes = {"f-1": freeze()}
        except_(run, exception("checkout", Scope.SERVICE))
    run.unit.handle(PLANS, run.decision, "plan")
    run.pair.freezes = {"f-1": freeze()}
    except_(run, exception(ticket_id(run, "a"), exception_id="e-2"))
    run.pair.pump()
    (given_back,) = events(run, TicketUnallocated)
    assert given_back.reason == "frozen by policy policy-f-1 for service checkout: exception e-2 lets it go"
    while run.statuses["a"] is Status.READY:
        look(run)
    assert events(run, TicketAllocated)[-1].exception_id == "e-2"
    assert not events(run, TicketHeld)


def test_thousands_are_let_go_a_part_at_a_time() -> None:
    count = ALLOCATED_MAX + 10
    run = frozen(*(deploy(f"t{n}") for n in range(count)))
    while len(events(run, TicketHeld)) < count:
        look(run)
    assert len(run.unit.first(held_queue("d-1"), 2 * count)) == count
    except_(run, exception("d-1", Scope.WORKFLOW))
    while len(events(run, TicketDispatched)) < count:
        parts = len(events(run, TicketReleased))
        look(run)
        assert len(events(run, TicketReleased)) - parts <= ALLOCATED_MAX
    assert run.unit.first(HELD_QUEUE) == [] and run.unit.first(held_queue("d-1")) == []
    assert run.unit.folded() == run.unit.states


def test_the_state_of_an_exception_is_that_of_its_aggregate() -> None:
    """What these tests make of exceptions is what the calculator's events make."""
    found = exception("t-1", standing=Standing.REQUESTED, ends_at=1)
    assert FREEZE_EXCEPTION.evolve(None, found.requested) == found
    assert msgspec.structs.replace(found, ends_at=FAR_US).holds(1) is False

"""A ticket that freezes hold: what may be held, how often that is said, and where it stands meanwhile."""

from typing import Any

import msgspec
import pytest

from neural_hive.aggregates.freeze_policy import Scope
from neural_hive.aggregates.tally import HELD_QUEUE, READY_QUEUE
from neural_hive.aggregates.ticket import (
    TICKET,
    AllocateTicket,
    CancelTicket,
    HoldingFreeze,
    HoldTicket,
    ReleaseTicket,
    RequeueTicket,
    Ticket,
    TicketAllocated,
    TicketCancelled,
    TicketCreated,
    TicketHeld,
    TicketReady,
    TicketReleased,
    TicketRequeued,
    ability,
    held_kind,
    requirement,
)
from neural_hive.aggregates.ticketing import tickets_of
from neural_hive.aggregates.vocabulary import TaskType
from tests.aggregates.making import AGENT, NOW, decision, task
from tests.grammar import given


def created(decision_id: str = "d-1", **changes: Any) -> TicketCreated:
    """One that deploys."""
    made = {"task_type": TaskType.DEPLOY, "parameters": {"service": "shop"}, **changes}
    (command,) = tickets_of(decision(task("a", **made), decision_id=decision_id), NOW)
    return TicketCreated(**{name: getattr(command, name) for name in command.__struct_fields__})


CREATED = created()
IDS = (CREATED.ticket_id, "d-1")
READY = TicketReady(*IDS, NOW, NOW)
BY = (HoldingFreeze("f-1", "p-1", 1, Scope.SERVICE, "shop"),)
OTHERS = (HoldingFreeze("f-2", "p-2", 1, Scope.GLOBAL, ""),)
HOLD = HoldTicket("shop", "", BY, 1, (), NOW + 1)
HELD = TicketHeld(*IDS, "shop", "", BY, 1, (), NOW + 1)
RELEASE = ReleaseTicket((), NOW + 2)
ALLOCATE = AllocateTicket(AGENT, 0.5, (), NOW + 3)


def test_it_is_held_once_for_each_set_of_freezes() -> None:
    given(TICKET, CREATED, READY).when(HOLD).then(HELD)
    held = given(TICKET, CREATED, READY, HELD)
    held.when(msgspec.structs.replace(HOLD, held_at=NOW + 9)).then_nothing()
    held.when(msgspec.structs.replace(HOLD, freezes=OTHERS)).then_types(TicketHeld)
    held.when(msgspec.structs.replace(HOLD, freeze_count=30)).then_types(TicketHeld)


def test_it_is_given_to_nobody_before_it_is_let_go() -> None:
    held = given(TICKET, CREATED, READY, HELD)
    held.when(ALLOCATE).then_nothing()
    held.when(RELEASE).then(TicketReleased(*IDS, (), NOW + 2))
    held.when(RELEASE, ALLOCATE).then_types(TicketAllocated)
    held.when(RELEASE, RELEASE).then_nothing()
    given(TICKET, CREATED, READY).when(RELEASE).then_nothing()


def test_a_pause_lets_it_go_and_another_place_does_not() -> None:
    held = given(TICKET, CREATED, READY, HELD)
    held.when(RequeueTicket(0, "paused", NOW)).then_types(TicketRequeued, TicketReleased)
    moved = held.when(RequeueTicket(NOW + 7, "urgent", NOW))
    moved.then_types(TicketRequeued)
    assert moved.state.held == BY
    given(TICKET, CREATED, msgspec.structs.replace(READY, place=0)).when(HOLD).then_nothing()


def test_an_end_lets_it_go() -> None:
    ended = given(TICKET, CREATED, READY, HELD).when(CancelTicket("no longer wanted", NOW + 2))
    ended.then_types(TicketCancelled)
    assert (ended.state.held, ended.state.held_count) == ((), 0)


def test_what_is_no_deployment_or_undoes_one_is_never_held() -> None:
    given(TICKET, created(task_type=TaskType.BUILD), READY).when(HOLD).then_rejected("only deployments")
    undone = msgspec.structs.replace(READY, compensates=True)
    given(TICKET, CREATED, undone).when(HOLD).then_rejected("only deployments")
    given(TICKET, CREATED, READY).when(msgspec.structs.replace(HOLD, freezes=())).then_rejected("no freeze")


def test_what_is_held_stands_in_a_queue_of_its_own() -> None:
    held = given(TICKET, CREATED, READY, HELD).state
    queues = TICKET.queues(held)
    assert READY_QUEUE not in queues
    assert queues[HELD_QUEUE] == f"{held_kind(held)}/{NOW:020d}"
    assert queues["ready:d-1"] == f"{requirement(held)}/{NOW:020d}"
    other = given(TICKET, CREATED, READY, msgspec.structs.replace(HELD, freezes=OTHERS)).state
    assert held_kind(other) != held_kind(held)
    assert HELD_QUEUE not in TICKET.queues(
        given(TICKET, CREATED, READY, HELD, TicketReleased(*IDS, (), NOW)).state
    )


def ready(**changes: Any) -> Ticket:
    """One that waits."""
    return given(TICKET, created(**changes), READY).state


@pytest.mark.parametrize(
    "parameters",
    [{}, {"service": "till"}, {"namespace": "shop"}, {"service": "shop", "namespace": "eu"}],
)
def test_what_other_freezes_concern_stands_elsewhere(parameters: dict[str, str]) -> None:
    one, other = ready(), ready(parameters=parameters)
    assert requirement(one) != requirement(other)
    assert ability(one) == ability(other), "the same agents can do both"
    assert requirement(ready(parameters={**parameters, "x": "1"})) == requirement(other)


def test_what_is_undone_stands_apart_from_what_may_be_frozen() -> None:
    undone = given(TICKET, CREATED, msgspec.structs.replace(READY, compensates=True)).state
    assert requirement(undone) == ability(undone) != requirement(ready())


def test_a_service_that_is_known_later_may_be_another_one_in_each_workflow() -> None:
    named = {"parameters": {"service": "${tasks.b.outputs.name}"}}
    one, other = (
        given(
            TICKET,
            msgspec.structs.replace(
                CREATED, workflow_id=name, task=task("a", task_type=TaskType.DEPLOY, **named)
            ),
            READY,
        ).state
        for name in ("d-1", "d-2")
    )
    assert requirement(one) != requirement(other)
    assert requirement(ready()) == requirement(ready(decision_id="d-2"))

"""Who looks at budgets and freezes after chaos sees what is wrong with them."""

from typing import Any, Final

import pytest

from neural_hive.aggregates.budget import budget_id_of
from neural_hive.connectors.kafka_log import Record
from tests.chaos import slos
from tests.chaos.freezing import ALL, BAD, CAREFUL_FREEZE, FROZEN_BY_BUDGET, LAUNCH_FREEZE
from tests.chaos.slos import TICKETS, Read

MINUTE: Final = 60_000_000  # µs
AGE_S: Final = 5.0
BUDGET: Final = budget_id_of(BAD, 1)
CURSORS: Final = {(ALL, 0): 0, (BAD, 0): 0}


class Log:
    """A topic of one partition; a second lies between two events."""

    def __init__(self, topic: str) -> None:
        self.reads: list[Read] = []
        self._topic = topic

    def add(self, kind: str, owner: str, at_s: float = 0, **payload: Any) -> None:
        record = Record(self._topic, 0, len(self.reads), int(at_s * 1_000), b"", b"", ())
        self.reads.append(Read(record, kind, owner, payload, int(at_s * 1_000_000)))


@pytest.fixture
def tickets() -> Log:
    """A deployment of a service that can be frozen, done in minute 2."""
    log = Log(TICKETS)
    task = {"task_type": "DEPLOY", "parameters": {"service": FROZEN_BY_BUDGET}}
    log.add("TicketCreated", "t", task=task)
    log.add("TicketCompleted", "t", completed_at=2 * MINUTE + 7)
    return log


def counted(budgets: Log, budget_id: str, good: int, valid: int, minute: int = 2) -> None:
    counts = [{"at": minute * MINUTE, "good": good, "valid": valid}]
    budgets.add("SliCounted", budget_id, counts=counts, uncounted=0)


def looked_at(budgets: Log, good: int, valid: int) -> None:
    sums = [{"window": "budget", "good": good, "valid": valid}]
    budgets.add("BudgetEvaluated", BUDGET, sums=sums, upto=3 * MINUTE)


def differing(tickets: Log, budgets: Log) -> list[str]:
    return slos._differing(slos._of_tickets(tickets.reads, CURSORS), slos._counted(budgets.reads)[0])


def test_counts_are_those_of_the_tickets(tickets: Log) -> None:
    budgets = Log("sla.budgets")
    counted(budgets, budget_id_of(ALL, 1, "DEPLOY"), 1, 1)
    counted(budgets, BUDGET, 0, 1)
    looked_at(budgets, 0, 1)
    assert differing(tickets, budgets) == slos._counted(budgets.reads)[1] == []


@pytest.mark.parametrize(("good", "valid", "minute"), [(0, 2, 2), (1, 1, 2), (0, 1, 1)])
def test_what_is_counted_twice_wrongly_or_elsewhere_is_named(
    tickets: Log, good: int, valid: int, minute: int
) -> None:
    budgets = Log("sla.budgets")
    counted(budgets, budget_id_of(ALL, 1, "DEPLOY"), 1, 1)
    counted(budgets, BUDGET, good, valid, minute)
    (found,) = differing(tickets, budgets)
    assert found.startswith(f"{BUDGET}: {good} good of {valid}")


def test_what_is_lost_is_named(tickets: Log) -> None:
    assert len(differing(tickets, Log("sla.budgets"))) == 2


def test_a_sum_that_is_not_that_of_the_counts_is_named(tickets: Log) -> None:
    budgets = Log("sla.budgets")
    counted(budgets, BUDGET, 0, 1)
    looked_at(budgets, 0, 2)
    assert len(slos._counted(budgets.reads)[1]) == 1


def freezes(*turns: tuple[str, str, float]) -> Log:
    log = Log("sla.freeze.events")
    for kind, freeze_id, at_s in turns:
        told = {
            "freeze_id": freeze_id, "policy_id": "p", "policy_revision": 1, "scope": "SERVICE",
            "subject": FROZEN_BY_BUDGET, "slo_id": "", "budget_id": "b", "remaining": 0.0, "level": "NORMAL",
            "upto": 0, "reason": "", "requested_by": "",
        }  # fmt: skip
        if kind == "FreezeActivated":
            limits = {"trigger_percent": 1.0, "unfreeze_percent": 2.0, "trigger_level": "UNKNOWN"}
            told |= {"actions": ["BLOCK_DEPLOY"], "activated_at": 0, **limits}
        else:
            told |= {"by_hand": False, "duration_ms": 0, "resolved_at": 0}
        log.add(kind, freeze_id, at_s, **told)
    return log


BEGUN = ("FreezeActivated", CAREFUL_FREEZE, 100.0)
ENDED = ("FreezeResolved", CAREFUL_FREEZE, 200.0)
OTHERS = (("FreezeActivated", LAUNCH_FREEZE, 1.0), ("FreezeResolved", LAUNCH_FREEZE, 2.0))


def test_freezes_begin_and_end_in_turn() -> None:
    assert not any(slos._of_freezes(freezes(*OTHERS, BEGUN, ENDED, BEGUN, ENDED).reads).values())


@pytest.mark.parametrize("wrong", [(BEGUN,), (BEGUN, BEGUN, ENDED), (BEGUN, ENDED, ENDED), ()])
def test_a_freeze_that_is_left_torn_or_was_not_there_is_named(wrong: Any) -> None:
    assert any(slos._of_freezes(freezes(*OTHERS, *wrong).reads).values())


def deploys(tickets: Log, at_s: float, seen: int, age_ms: int = 0) -> list[str]:
    """What is wrong if a ticket was held, and given out by who had read so many events of freezes."""
    views = [{"topic": "sla.freeze.events", "next_offsets": [seen], "age_ms": age_ms}]
    tickets.add("TicketHeld", "t")
    tickets.add("TicketReleased", "t")
    tickets.add("TicketAllocated", "t", at_s, views=views)
    found = slos._of_deploys(tickets.reads, freezes(BEGUN, ENDED).reads, AGE_S)
    return [case for cases in found.values() for case in cases]


def test_who_could_not_know_of_a_freeze_may_deploy(tickets: Log) -> None:
    assert deploys(tickets, 104, seen=0) == []


def test_after_a_freeze_it_goes_on(tickets: Log) -> None:
    assert deploys(tickets, 201, seen=2) == []


@pytest.mark.parametrize(("at_s", "seen", "age_ms"), [(101, 1, 0), (150, 0, 0), (104, 0, 6_000)])
def test_who_knew_or_had_to_know_may_not(tickets: Log, at_s: float, seen: int, age_ms: int) -> None:
    assert len(deploys(tickets, at_s, seen, age_ms)) == 1


def test_what_is_held_for_ever_is_named(tickets: Log) -> None:
    tickets.add("TicketHeld", "t")
    found = slos._of_deploys(tickets.reads, freezes(BEGUN, ENDED).reads, AGE_S)
    assert found["deployments that are held for ever"] == ["t"]

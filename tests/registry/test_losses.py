"""An agent that is lost with work in hand: who has it there is told, and told when that is over."""

from collections.abc import Iterator

import pytest

from neural_hive.aggregates.slot import held_key
from neural_hive.streams.registry.losses import HEARD_AGAIN, NONE_LEFT
from neural_hive.streams.registry.messages import DeregisterAgent, Heartbeat, ReleaseSlots
from neural_hive.streams.registry.system import build
from tests.privacy.memory_keys import hidden
from tests.registry.kernel_unit import KernelUnit
from tests.registry.test_slots import SILENCE, agent, asked, given_back, reserve

LEASE_S = 10_000
Told = tuple[str, str, tuple[str, ...]]  # what, of which workflow, and its tickets or the reason


@pytest.fixture
def unit() -> Iterator[KernelUnit]:
    """An agent that works on two tickets of one workflow and on one of another."""
    made = KernelUnit(build(SILENCE))
    made.handle(agent(9))
    reserve(made, asked(made, "t0", lease_s=LEASE_S), asked(made, "t1", lease_s=LEASE_S))
    reserve(made, asked(made, "x", lease_s=LEASE_S), workflow="other")
    made.answers.clear()
    yield made
    assert made.refolded_rows() == made.rows()
    made.close()


def told(unit: KernelUnit) -> set[Told]:
    """Since the last time; once each."""
    answers, unit.answers = unit.answers, []
    found = [
        (
            name,
            p["workflow_id"],
            tuple(sorted(s["ticket_id"] for s in p["slots"])) if "slots" in p else (p["reason"],),
        )
        for name, p in answers
    ]
    assert len(found) == len(set(found))
    return set(found)


def release(unit: KernelUnit, *tickets: str, workflow: str = "w") -> None:
    unit.handle(ReleaseSlots("a", workflow, tuple(given_back(ticket) for ticket in tickets)))


ALL_LOST = {("AttemptsLost", "w", ("t0", "t1")), ("AttemptsLost", "other", ("x",))}


def test_silence_is_told_once_and_its_end_too(unit: KernelUnit) -> None:
    unit.pass_time(100)
    assert told(unit) == set(), "it is only degraded"
    unit.pass_time(100)
    assert told(unit) == ALL_LOST
    unit.pass_time(600)
    assert told(unit) == set(), "that it is removed says nothing new"
    unit.handle(agent(9))
    assert told(unit) == {("AttemptsSettled", of, (HEARD_AGAIN,)) for of in ("w", "other")}
    unit.handle(agent(5))
    unit.handle(Heartbeat("a", 1.0, 0.0, 0))
    assert told(unit) == set()


def test_who_leaves_is_lost_and_each_workflow_hears_when_the_last_of_its_attempts_is_over(
    unit: KernelUnit,
) -> None:
    unit.handle(DeregisterAgent("a", "its worker has ended", hidden("ann")))
    assert told(unit) == ALL_LOST
    release(unit, "t0")
    assert told(unit) == set()
    release(unit, "t1")
    assert told(unit) == {("AttemptsSettled", "w", (NONE_LEFT,))}
    release(unit, "t1")
    assert told(unit) == set(), "a slot comes back once"
    unit.pass_time(LEASE_S)
    assert told(unit) == {("AttemptsSettled", "other", (NONE_LEFT,))}, "the lease has ended"
    assert unit.fold.first(held_key("a"), 9) == []


def test_who_has_nothing_in_hand_leaves_without_a_word(unit: KernelUnit) -> None:
    release(unit, "t0", "t1")
    release(unit, "x", workflow="other")
    told(unit)
    unit.handle(DeregisterAgent("a", "done", hidden("ann")))
    assert told(unit) == set()

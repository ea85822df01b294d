"""Worlds in which everything goes wrong that can: kernel, sink and the real systems lose and double nothing in any.

And one that is broken in a known way is found out.
"""

from collections import Counter
from collections.abc import Callable

import pytest

from tests.simulation.hive_mutants import HIVE_MUTANTS, broken
from tests.simulation.mutants import MUTANTS, VIEW_MUTANTS
from tests.simulation.run import Failed, try_hive, try_kernel, try_sink, try_sli
from tests.simulation.sink_world import SINK_MUTANTS

SEEDS = 1_000
AT_ONCE = 100
HIVE_SEEDS = 200
HIVE_AT_ONCE = 50
SLI_SEEDS = 300
SLI_MUTANTS = (
    "state before log",
    "no fence",
    "offsets outside the transaction",
    "no cut at the own position",
    "recovery stops at a stalled last stable offset",
    "timers overtake waiting inputs",
)  # its timers are days away: no clock is so wrong
SEEDS_UNTIL_CAUGHT = 60


@pytest.mark.parametrize("first", range(0, SEEDS, AT_ONCE))
def test_nothing_is_lost_or_doubled(first: int) -> None:
    closed = raised = 0
    for seed in range(first, first + AT_ONCE):
        kinds = try_kernel(seed)
        closed, raised = closed + kinds["CounterClosed"], raised + kinds["CounterRaised"]
    assert closed > AT_ONCE
    assert raised > 50 * AT_ONCE


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_kernel_is_caught(name: str) -> None:
    for seed in range(SEEDS_UNTIL_CAUGHT):
        try:
            try_kernel(seed, **MUTANTS[name])
        except Failed:
            return
    raise AssertionError(f"{SEEDS_UNTIL_CAUGHT} worlds did not notice: {name}")


@pytest.mark.parametrize("first", range(0, SEEDS, AT_ONCE))
def test_every_table_has_every_record_once(first: int) -> None:
    assert sum(try_sink(seed)["rows"] for seed in range(first, first + AT_ONCE)) > 100 * AT_ONCE


@pytest.mark.parametrize("name", SINK_MUTANTS)
def test_a_broken_sink_is_caught(name: str) -> None:
    for seed in range(SEEDS_UNTIL_CAUGHT):
        try:
            try_sink(seed, **SINK_MUTANTS[name])
        except Failed:
            return
    raise AssertionError(f"{SEEDS_UNTIL_CAUGHT} worlds did not notice: {name}")


@pytest.mark.parametrize("first", range(0, HIVE_SEEDS, HIVE_AT_ONCE))
def test_the_real_systems_end_all_that_they_accept(first: int) -> None:
    kinds: Counter[str] = Counter()
    for seed in range(first, first + HIVE_AT_ONCE):
        kinds += try_hive(seed)
    assert kinds["WorkflowStarted"] > 4 * HIVE_AT_ONCE
    assert kinds["TicketDispatched"] > 5 * HIVE_AT_ONCE
    rare = {
        "TicketHeld",
        "TicketReleased",
        "TicketCompensated",
        "TicketRetryScheduled",
        "SlotDenied",
        "WorkflowCompleted",
        "TicketTimedOut",
    }
    assert rare <= kinds.keys()


@pytest.mark.parametrize("name", MUTANTS)
def test_the_real_systems_on_a_broken_kernel_are_caught(name: str) -> None:
    for seed in range(SEEDS_UNTIL_CAUGHT):
        try:
            try_hive(seed, **MUTANTS[name])
        except Failed:
            return
    raise AssertionError(f"{SEEDS_UNTIL_CAUGHT} worlds did not notice: {name}")


@pytest.mark.parametrize("name", HIVE_MUTANTS)
def test_a_broken_system_is_caught(name: str) -> None:
    for seed in range(SEEDS_UNTIL_CAUGHT):
        try:
            with broken(name):
                try_hive(seed)
        except Failed:
            return
    raise AssertionError(f"{SEEDS_UNTIL_CAUGHT} worlds did not notice: {name}")


def test_every_event_is_in_one_sum_of_each_slo() -> None:
    kinds = sum((try_sli(seed) for seed in range(SLI_SEEDS)), Counter[str]())
    assert kinds["SliSourceOpened"] > 6 * SLI_SEEDS
    assert kinds["SliSubjectForgotten"] > SLI_SEEDS


@pytest.mark.parametrize("name", (*SLI_MUTANTS, *VIEW_MUTANTS))
def test_sums_on_a_broken_kernel_are_caught(name: str) -> None:
    for seed in range(SEEDS_UNTIL_CAUGHT):
        try:
            try_sli(seed, **{**MUTANTS, **VIEW_MUTANTS}[name])
        except Failed:
            return
    raise AssertionError(f"{SEEDS_UNTIL_CAUGHT} worlds did not notice: {name}")


@pytest.mark.parametrize("run", [try_kernel, try_sink, try_hive, try_sli])
def test_a_seed_gives_the_same_world_again(run: Callable[[int], object]) -> None:
    assert run(7) == run(7)

"""A thousand worlds in which everything goes wrong that can: kernel and sink lose and double nothing in any of them.

And one that is broken in a known way is found out.
"""

from collections.abc import Callable

import pytest

from tests.simulation.mutants import MUTANTS
from tests.simulation.run import Failed, try_kernel, try_sink
from tests.simulation.sink_world import SINK_MUTANTS

SEEDS = 1_000
AT_ONCE = 100
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


@pytest.mark.parametrize("run", [try_kernel, try_sink])
def test_a_seed_gives_the_same_world_again(run: Callable[[int], object]) -> None:
    assert run(7) == run(7)

"""A thousand worlds in which everything goes wrong that can: the kernel loses and doubles nothing in any of them.

And a kernel that is broken in one of the known ways is found out.
"""

import pytest

from tests.simulation.mutants import MUTANTS
from tests.simulation.run import Failed, try_seed

SEEDS = 1_000
AT_ONCE = 100
SEEDS_UNTIL_CAUGHT = 60


@pytest.mark.parametrize("first", range(0, SEEDS, AT_ONCE))
def test_nothing_is_lost_or_doubled(first: int) -> None:
    closed = raised = 0
    for seed in range(first, first + AT_ONCE):
        kinds = try_seed(seed)
        closed, raised = closed + kinds["CounterClosed"], raised + kinds["CounterRaised"]
    assert closed > AT_ONCE
    assert raised > 50 * AT_ONCE


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_kernel_is_caught(name: str) -> None:
    for seed in range(SEEDS_UNTIL_CAUGHT):
        try:
            try_seed(seed, **MUTANTS[name])
        except Failed:
            return
    raise AssertionError(f"{SEEDS_UNTIL_CAUGHT} worlds did not notice: {name}")


def test_a_seed_gives_the_same_world_again() -> None:
    assert try_seed(7) == try_seed(7)

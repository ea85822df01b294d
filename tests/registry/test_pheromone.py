"""Trails evaporate by formula, whoever looks and however often."""

import math

import pytest
from hypothesis import given as any_of
from hypothesis import settings
from hypothesis import strategies as st

from neural_hive.aggregates.pheromone import (
    HALF_LIFE_MS,
    TRAIL,
    Reinforce,
    Trail,
    TrailReinforced,
    decide,
    evolve,
    levels,
    score,
    trail_id_of,
)
from tests.grammar import given

T0 = 1_700_000_000_000_000
HALF_LIFE = HALF_LIFE_MS * 1_000


def test_an_outcome_strengthens_its_trail() -> None:
    first = TrailReinforced("python", "a", True, 1.0, 0.0, T0)
    given(TRAIL).when(Reinforce("python", "a", True, T0)).then(first)
    later = T0 + HALF_LIFE
    given(TRAIL, first).when(Reinforce("python", "a", False, later)).then(
        TrailReinforced("python", "a", False, 0.5, 1.0, later)
    )


def test_half_is_left_after_the_half_life() -> None:
    trail = Trail(4.0, 2.0, T0)
    assert levels(trail, T0 + HALF_LIFE) == (2.0, 1.0)
    assert levels(trail, T0 + 2 * HALF_LIFE) == (1.0, 0.5)
    assert levels(trail, T0 - HALF_LIFE) == (4.0, 2.0)


def test_nothing_known_is_in_the_middle() -> None:
    assert score(None, T0) == 0.5
    assert score(Trail(3.0, 0.0, T0), T0) == pytest.approx(0.8)
    assert score(Trail(0.0, 3.0, T0), T0) == pytest.approx(0.2)
    assert score(Trail(3.0, 0.0, T0), T0 + 100 * HALF_LIFE) == pytest.approx(0.5)


@pytest.mark.parametrize("name", ["", "a/b", "a b", "x" * 129])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    given(TRAIL).when(Reinforce(name, "a", True, T0)).then_rejected("domain must be")
    given(TRAIL).when(Reinforce("python", name, True, T0)).then_rejected("agent_id must be")


def test_trails_of_different_names_differ() -> None:
    assert trail_id_of("b", "a") == "a/b"


@settings(deadline=None)
@any_of(st.lists(st.tuples(st.integers(0, 3 * HALF_LIFE), st.booleans()), min_size=1, max_size=30))
def test_the_levels_are_the_sum_of_what_is_left(outcomes: list[tuple[int, bool]]) -> None:
    """Step by step or all at once: the same, whatever the order of looking."""
    trail: Trail | None = None
    now, at = T0, []
    for wait, success in outcomes:
        now += wait
        at.append((now, success))
        (event,) = decide(trail, Reinforce("python", "a", success, now))
        trail = evolve(trail, event)
        assert 0 < score(trail, now) < 1
    for kind, level in zip((True, False), levels(trail, now), strict=True):
        left = sum(0.5 ** ((now - then) / HALF_LIFE) for then, success in at if success is kind)
        assert math.isclose(level, left, rel_tol=1e-9, abs_tol=1e-12)

"""Whether the soak would notice: what grows fails, what only fills up in the beginning does not."""

import random
from collections.abc import Callable

import pytest

from tests.soak.limits import Judged, judge
from tests.soak.samples import DELAY, DISK, FILES, LAG, MEMORY, ROCKSDB_FILES, Sample

HOUR_S = 3_600
EVERY_S = 5


def judged(what: str, level: Callable[[float], float], rates: dict[str, float] | None = None) -> Judged:
    """Of one hour's samples; `level` has the hour's part that is over."""
    chance = random.Random(1)
    samples = [
        Sample(at, {(what, "x"): level(at / HOUR_S) + chance.uniform(-2, 2)})
        for at in range(0, HOUR_S, EVERY_S)
    ]
    (found,) = judge(samples, rates or {"x": 100.0})
    return found


def test_a_cache_that_fills_is_no_growth() -> None:
    found = judged(MEMORY, lambda part: 100 + 300 * min(part / 0.25, 1.0))
    assert found.problem == ""
    assert abs(found.slope_per_h) < 5


@pytest.mark.parametrize("leak_mb_per_h", [150, 1_000])
def test_a_leak_is_noticed(leak_mb_per_h: float) -> None:
    found = judged(MEMORY, lambda part: 100 + leak_mb_per_h * part)
    assert "grows" in found.problem
    assert found.slope_per_h == pytest.approx(leak_mb_per_h, rel=0.1)


def test_files_that_are_not_closed_are_noticed() -> None:
    assert "grows" in judged(FILES, lambda part: 100 + 60 * part).problem
    assert "grows" in judged(ROCKSDB_FILES, lambda part: 10 + 60 * part).problem
    assert "300.0" in judged(ROCKSDB_FILES, lambda part: 298).problem


def test_a_lag_is_weighed_against_what_is_done() -> None:
    assert judged(LAG, lambda part: 1_500).problem == ""
    assert "allowed" in judged(LAG, lambda part: 1_500, {"x": 10.0}).problem
    assert "grows" in judged(LAG, lambda part: 3_000 * part).problem


def test_what_is_late_all_the_time_is_noticed() -> None:
    assert "allowed" in judged(DELAY, lambda part: 20).problem


def test_disks_fill_by_design() -> None:
    assert judged(DISK, lambda part: 10_000 * part).problem == ""


def test_what_was_hardly_seen_is_said() -> None:
    (found,) = judge([Sample(5 * n, {(MEMORY, "x"): 1.0}) for n in range(7)], {})
    assert found.problem == "seen only 7 times"

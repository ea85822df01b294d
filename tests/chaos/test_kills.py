"""A short run of chaos: the whole system on three brokers, hit by kill -9 and SIGSTOP at random while it works."""

from pathlib import Path

import pytest

from tests.chaos.run import render, run

KILLS = 20
SEED = 7


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(1_500)
def test_nothing_is_lost_or_doubled_under_kills(tmp_path: Path) -> None:
    report = run(tmp_path, KILLS, SEED, tell=print)
    print(render(report))
    assert not report.problems  # how long it takes is measured by `make chaos`, on a machine that is quiet
    assert len(report.hits) == KILLS
    assert report.verdict.events > report.workflows > 0

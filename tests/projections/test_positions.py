"""The positions stay few, however long a projector writes, and whoever dies in a renewal leaves them right."""

from collections.abc import Callable
from typing import Any

import pytest

from neural_hive.projections import positions
from neural_hive.projections.positions import Position, Positions, TakenOver, read_standing
from neural_hive.projections.ranges import Range
from neural_hive.projections.store import StoreUnavailable
from tests.projections.support import Follower, Log, ready
from tests.simulation.tables import Connection, Tables

PLACES = [("one", 0), ("one", 1), ("two", 0)]
ROWS_MAX = 20


@pytest.fixture(autouse=True)
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Epochs are renewed often."""
    monkeypatch.setattr(positions, "ROWS_MAX", ROWS_MAX)
    monkeypatch.setattr(positions, "CLAIMS_MAX", 5)


def _moved(at: int) -> list[Position]:
    return [Position(*place, "id", at, at) for place in PLACES]


def _batch(at: int) -> list[Range]:
    return [Range(*place, at, at, 1) for place in PLACES]


def _follow(owner: Positions, first: int, count: int) -> None:
    for at in range(first, first + count):
        if at % 3:
            owner.pend(_batch(at))
        owner.done(_moved(at + 1), idle=not at % 3)


def _connection(tables: Tables, reached: Any = lambda step: None) -> Connection:
    return Connection(tables, reached)


def test_rows_and_claims_stay_few(tables: Tables) -> None:
    owner = Positions(_connection(tables))
    assert owner.claim().positions == {}
    most = 0
    for at in range(0, 600, 10):
        _follow(owner, at, 10)
        most = max(most, len(tables.positions))
        assert read_standing(_connection(tables)).positions == {p.place: p for p in _moved(at + 10)}
    assert most <= 2 * (ROWS_MAX + 4 * len(PLACES))
    assert len(tables.claims) <= 7


@pytest.fixture
def tables() -> Tables:
    return Tables()


class Died(BaseException):
    """As with kill -9."""


@pytest.mark.parametrize("error", [Died, StoreUnavailable])
@pytest.mark.parametrize("nth", range(17))
def test_who_comes_after_a_renewal_that_did_not_end_goes_on_where_it_was(
    tables: Tables, nth: int, error: type[BaseException]
) -> None:
    """At each statement, before and after it: the process dies, or it gets no answer and tries the batch again."""
    left = [1 << 30]

    def reached(step: str) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise error(step)

    for _ in range(7):
        owner = Positions(_connection(tables, reached))
        owner.claim()
        owner.done(_moved(1), idle=True)
    owner._rows = ROWS_MAX
    left[0] = nth + 1
    try:
        owner.pend(_batch(1))
    except StoreUnavailable:
        owner.pend(_batch(1), again=True)
    except Died:
        assert read_standing(_connection(tables)).positions == {p.place: p for p in _moved(1)}
        owner = Positions(_connection(tables))
        standing = owner.claim()
        assert standing.positions == {p.place: p for p in _moved(1)}
        assert standing.pending in ((), tuple(_batch(1)))
        owner.pend(_batch(1), again=True)
    assert left[0] <= 0, "it went wrong"
    left[0] = 0
    found = read_standing(_connection(tables))
    assert found.positions == {p.place: p for p in _moved(1)}
    assert found.pending == tuple(_batch(1))
    owner.done(_moved(2))
    found = read_standing(_connection(tables))
    assert (found.positions, found.pending) == ({p.place: p for p in _moved(2)}, ())
    _follow(owner, 2, 60)
    assert read_standing(_connection(tables)).positions == {p.place: p for p in _moved(62)}


def test_on_a_real_server(log: Log, follower: Callable[..., Follower]) -> None:
    with follower().running() as f:
        for number in range(1, 41):
            log.write(log.events, [ready(f"ticket-{number}")], number % 2)
            f.wait_rows("events", number)
        f.wait_rows("tickets_versions", 40)
        epoch, rows = f.store.rows("SELECT max(epoch), count() FROM positions")[0]
        assert epoch > 3
        assert rows <= 2 * (ROWS_MAX + 20)
        assert f.one("SELECT count() FROM projector_claims") <= 8
    assert sum(p.archived for p in read_standing(f.store).positions.values()) == 40


def test_a_renewal_takes_nothing_back_from_a_successor(tables: Tables) -> None:
    first, second = (Positions(_connection(tables)) for _ in range(2))
    first.claim()
    first.done(_moved(1), idle=True)
    second.claim()
    first._rows = ROWS_MAX
    with pytest.raises(TakenOver):
        first.pend(_batch(1))
    second.check()

"""Ranges of history: each counts once, none is left out in silence, and half of a history counts nowhere."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_hive.aggregates.aggregate import Rejected
from neural_hive.aggregates.budget import (
    BUDGET_AGGREGATE,
    OTHERS,
    BudgetEvaluated,
    Counted,
    SliCounted,
    budget_id_of,
    hour_of,
    minute_of,
)
from neural_hive.aggregates.burn import Counts
from neural_hive.aggregates.freeze import FreezeActivated
from neural_hive.aggregates.sla_window import DAY, HOUR, MINUTE
from neural_hive.aggregates.sli_history import (
    HELD_DIMENSIONS_MAX,
    SLI_HISTORY,
    HistoryCounted,
    HistoryDropped,
    HistoryJoined,
    HistoryLost,
    HistoryOpened,
    HistoryPart,
    Span,
    history_id_of,
)
from neural_hive.aggregates.violation import ViolationOpened
from neural_hive.streams.sla.history import CountHistory
from neural_hive.streams.sla.messages import CountSli, DefineFreezePolicy, DefineSlo, RemoveSlo
from neural_hive.streams.sla.system import build
from tests.sla.kernel_unit import SlaUnit
from tests.sla.test_sla import BUDGET_ID, DEFINITION, POLICY, of_type

TOPIC = "execution.tickets"
HISTORY_ID = history_id_of("shop", 1)


@pytest.fixture
def unit() -> Iterator[SlaUnit]:
    made = SlaUnit(build())
    made.handle(DefineSlo("shop", DEFINITION))
    yield made
    assert made.rows() == made.refolded_rows(), "the state is the fold of the log"
    made.close()


def a_range(first: int, end: int, *counts: Counted, partition: int = 0, **more: Any) -> CountHistory:
    parts = (HistoryPart("", counts),) if counts else ()
    told = CountHistory("shop", 1, TOPIC, partition, 2, first, end, 0, 100, end >= 100, parts)
    return msgspec.structs.replace(told, **more)


def minute(unit: SlaUnit, ago: int, good: int = 1, valid: int = 1) -> Counted:
    return Counted(minute_of(unit.now - ago), good, valid)


def history(unit: SlaUnit) -> Any:
    return unit.state(SLI_HISTORY, HISTORY_ID)


def sums(unit: SlaUnit, budget_id: str = BUDGET_ID) -> dict[str, Counts]:
    found: dict[str, Counts] = unit.state(BUDGET_AGGREGATE, budget_id).sums
    return found


def test_a_range_counts_once(unit: SlaUnit) -> None:
    first = a_range(0, 40, minute(unit, HOUR))
    kinds = [type(event) for event in unit.handle(first)]
    assert kinds == [HistoryOpened, HistoryCounted]
    assert unit.handle(first) == [], "the same once more, as from a second process"
    assert unit.handle(a_range(0, 60, minute(unit, HOUR))) == [], "it overlaps"
    assert unit.handle(a_range(20, 60, minute(unit, HOUR))) == []
    (counted,) = unit.handle(a_range(40, 60, minute(unit, HOUR)))
    assert (counted.from_offset, counted.to_offset, counted.valid) == (40, 60, 1)
    assert history(unit).span(TOPIC, 0) == Span(60, False)


def test_a_gap_is_refused(unit: SlaUnit) -> None:
    unit.handle(a_range(0, 40))
    with pytest.raises(Rejected, match="counted up to offset 40, and this begins at 50"):
        unit.handle(a_range(50, 60))
    assert history(unit).span(TOPIC, 0).upto == 40


def test_what_the_log_has_no_more_is_said(unit: SlaUnit) -> None:
    _, lost, counted = unit.handle(a_range(30, 60, log_begin=30))
    assert isinstance(lost, HistoryLost) and (lost.from_offset, lost.to_offset) == (0, 30)
    assert (counted.from_offset, counted.to_offset) == (30, 60)
    lost, counted = unit.handle(a_range(80, 100, log_begin=90))  # nothing was counted as it came before 100
    assert (lost.from_offset, lost.to_offset, counted.is_whole) == (60, 80, True)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"from_offset": 9, "to_offset": 3}, "makes no sense"),
        ({"from_offset": -1}, "makes no sense"),
        ({"partition": 2}, "partition 2 of 2"),
        ({"parts": (HistoryPart("", (Counted(MINUTE, 2, 1),)),)}, "among the valid ones"),
        ({"parts": (HistoryPart("", (Counted(MINUTE + 1, 1, 1),)),)}, "in the minutes"),
        ({"parts": (HistoryPart("", (Counted(MINUTE, 1, 1),) * 10_001),)}, "at most 10,000 minutes"),
    ],
)
def test_ranges_that_make_no_sense(unit: SlaUnit, wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(Rejected, match=why):
        unit.handle(a_range(0, 10, **wrong))


def test_of_an_slo_that_is_not_there_or_not_measured(unit: SlaUnit) -> None:
    with pytest.raises(Rejected, match="no SLO other"):
        unit.handle(a_range(0, 10, slo_id="other"))
    assert unit.handle(a_range(0, 10, measure=2)) == []
    unit.handle(RemoveSlo("shop"))
    assert unit.handle(a_range(0, 10)) == []


def test_it_counts_when_all_of_it_is_known(unit: SlaUnit) -> None:
    unit.handle(CountSli("shop", 1, (minute(unit, 0, 9, 10),), "live"))
    unit.handle(a_range(0, 100, minute(unit, HOUR, 0, 50)))
    unit.pass_time(90)
    assert sums(unit)["budget"] == Counts(9, 10), "of two partitions one is not counted"
    unit.handle(a_range(0, 50, minute(unit, 2 * HOUR, 900, 900), partition=1))
    unit.handle(a_range(50, 100, minute(unit, 4 * DAY, 41, 42), partition=1))
    joined = unit.pass_time(1)
    assert [type(event) for event in joined] == [SliCounted, HistoryJoined]
    unit.pass_time(90)
    assert sums(unit)["budget"] == Counts(950, 1_002)
    assert sums(unit)["3d"] == Counts(909, 960)
    assert unit.pass_time(86_400) and history(unit).dimensions == ()


def test_half_of_a_history_neither_freezes_nor_violates(unit: SlaUnit) -> None:
    unit.handle(DefineFreezePolicy("careful", POLICY))
    unit.handle(CountSli("shop", 1, (minute(unit, 0, 10, 10),), "live"))
    unit.handle(a_range(0, 50, minute(unit, HOUR, 0, 100)))
    assert of_type(unit.pass_time(600), FreezeActivated | ViolationOpened) == []  # type: ignore[arg-type]
    unit.handle(a_range(50, 100, minute(unit, 2 * HOUR, 5_000, 5_000)))
    unit.handle(a_range(0, 100, partition=1))
    assert of_type(unit.pass_time(600), FreezeActivated) == []
    assert sums(unit)["budget"] == Counts(5_010, 5_110)


def test_what_comes_freezes_whatever_becomes_of_history(unit: SlaUnit) -> None:
    unit.handle(DefineFreezePolicy("careful", POLICY))
    unit.handle(a_range(0, 50, minute(unit, HOUR, 5_000, 5_000)))
    unit.handle(CountSli("shop", 1, (minute(unit, 0, 0, 10),), "live"))
    assert of_type(unit.pass_time(90), FreezeActivated), "history is stuck, and protection is not"


def test_what_comes_after_it_is_whole_counts_at_once(unit: SlaUnit) -> None:
    """A quiet partition: up to where `sli` was, and then up to its first event."""
    unit.handle(a_range(0, 100))
    unit.handle(a_range(0, 100, partition=1))
    counted, opened, sli_counted = unit.handle(a_range(100, 120, minute(unit, MINUTE, 3, 4), is_whole=True))
    assert not counted.is_held and opened.budget_id == BUDGET_ID
    assert sli_counted.counts == (minute(unit, MINUTE, 3, 4),)
    assert sli_counted.source == f"history:{TOPIC}:0:100-120"


def test_that_a_partition_is_whole_can_be_said_later(unit: SlaUnit) -> None:
    unit.handle(a_range(0, 50))
    (counted,) = unit.handle(a_range(50, 50, is_whole=True))
    assert counted.is_whole
    assert unit.handle(a_range(50, 50, is_whole=True)) == []
    assert history(unit).whole_at == 0
    unit.handle(a_range(0, 0, partition=1, is_whole=True))
    assert history(unit).whole_at == unit.now


def test_budgets_are_kept_apart(unit: SlaUnit) -> None:
    parts = tuple(HistoryPart(f"d{n:02}", (minute(unit, HOUR, n, n),)) for n in range(1, 26))
    unit.handle(a_range(0, 100, parts=parts))
    unit.handle(a_range(0, 100, partition=1))
    assert len(of_type(unit.pass_time(1), HistoryJoined)) == 25
    unit.pass_time(90)
    for part in parts:
        budget_id = budget_id_of("shop", 1, part.dimension)
        assert sums(unit, budget_id)["budget"] == part.counts[0].counts


def test_of_too_many_budgets_the_last_count_at_once(unit: SlaUnit) -> None:
    names = [f"d{number:04}" for number in range(HELD_DIMENSIONS_MAX + 1)]
    parts = tuple(HistoryPart(name, (minute(unit, HOUR),)) for name in names)
    for first in (0, 50):
        counted = of_type(unit.handle(a_range(first, first + 50, parts=parts)), SliCounted)
        assert [found.budget_id for found in counted] == [budget_id_of("shop", 1, names[-1])]
    unit.handle(a_range(0, 100, partition=1))
    unit.pass_time(90)
    for name in (names[0], names[-3], names[-1]):
        assert sums(unit, budget_id_of("shop", 1, name))["budget"] == Counts(2, 2)
    others = sums(unit, budget_id_of("shop", 1, OTHERS))["budget"]
    assert others == Counts(2, 2), "one SLO has no more budgets than that"


def test_what_is_too_old_or_from_the_future_counts_nowhere(unit: SlaUnit) -> None:
    times = (minute(unit, 8 * DAY), minute(unit, -2 * HOUR), minute(unit, HOUR))
    counted = of_type(unit.handle(a_range(0, 100, *times)), HistoryCounted)[0]
    assert (counted.valid, counted.uncounted) == (1, 2)


def test_what_is_measured_in_another_way_is_let_go(unit: SlaUnit) -> None:
    unit.handle(a_range(0, 50, minute(unit, HOUR)))
    indicator = msgspec.structs.replace(DEFINITION.indicator, valid="")
    events = unit.handle(DefineSlo("shop", msgspec.structs.replace(DEFINITION, indicator=indicator), 1))
    assert isinstance(events[-1], HistoryDropped)
    (joined,) = unit.pass_time(1)
    assert isinstance(joined, HistoryJoined) and not joined.is_counted
    assert unit.state(BUDGET_AGGREGATE, BUDGET_ID) is None
    assert not [key for key in unit.rows() if b"held:" in key], "nothing is left of it"


def test_nothing_is_held_that_has_joined(unit: SlaUnit) -> None:
    unit.handle(a_range(0, 100, minute(unit, HOUR, 3, 4), minute(unit, 5 * DAY, 3, 4)))
    assert [key for key in unit.rows() if b"held:" in key]
    unit.handle(a_range(0, 100, partition=1))
    unit.pass_time(1)
    assert not [key for key in unit.rows() if b"held:" in key]


class Cut(msgspec.Struct, frozen=True):
    """A range of a partition, as one of several processes tells it."""

    partition: int
    first: int
    end: int


CUTS = st.builds(Cut, st.integers(0, 1), st.integers(0, 30), st.integers(0, 30)).filter(
    lambda cut: cut.first <= cut.end
)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 6 * 24 * 60), st.booleans()), min_size=60, max_size=60),
    st.lists(CUTS, max_size=60),
)
def test_whoever_tells_whatever_each_event_counts_once(
    happened: list[tuple[int, bool]], told: list[Cut]
) -> None:
    """60 events in two partitions; ranges in any order, overlapping, repeated, with gaps; then the rest."""
    unit = SlaUnit(build())
    unit.handle(DefineSlo("shop", DEFINITION))
    partitions = happened[:30], happened[30:]

    def tell(cut: Cut) -> None:
        counted: Counter[int] = Counter()
        good: Counter[int] = Counter()
        for minutes, is_good in partitions[cut.partition][cut.first : cut.end]:
            at = minute_of(unit.now - minutes * MINUTE)
            counted[at] += 1
            good[at] += is_good
        counts = tuple(Counted(at, good[at], valid) for at, valid in counted.items())
        told = a_range(cut.first, cut.end, *counts, partition=cut.partition, is_whole=cut.end == 30)
        try:
            unit.handle(told)
        except Rejected as error:
            assert "is missing" in str(error)

    for cut in told:
        tell(cut)
    for partition in (0, 1):
        found = history(unit)
        first = found.span(TOPIC, partition).upto if found else 0
        tell(Cut(partition, first, 30))
    unit.pass_time(0)
    unit.pass_time(1)
    unit.pass_time(90)
    assert sums(unit)["budget"] == Counts(sum(good for _, good in happened), 60)
    end = unit.state(BUDGET_AGGREGATE, BUDGET_ID).upto
    begun = minute_of(unit.now - 91_000_000)
    recent = [good for minutes, good in happened if begun - minutes * MINUTE >= end - 3 * DAY]
    assert sums(unit)["3d"] == Counts(sum(recent), len(recent))
    unit.close()


def test_hours_are_whole(unit: SlaUnit) -> None:
    """What is older than three days leaves the window with its hour."""
    old = minute(unit, 6 * DAY + 23 * HOUR, 1, 2)
    unit.handle(a_range(0, 100, old, minute(unit, HOUR, 1, 1)))
    unit.handle(a_range(0, 100, partition=1))
    unit.pass_time(90)
    assert sums(unit)["budget"] == Counts(2, 3)
    events = of_type(unit.pass_time(3 * 3_600), BudgetEvaluated)
    assert events[-1].starts_at > hour_of(old.at)
    assert sums(unit)["budget"] == Counts(1, 1)

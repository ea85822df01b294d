"""What a command needs to know of the counts that stand beside a budget: what enters and leaves windows, what goes.

`count` gives the value of a counter of the partition by its name.
"""

from collections.abc import Callable, Iterator
from functools import cache

from neural_hive.aggregates.budget import (
    NOTHING,
    Budget,
    Counted,
    Evaluate,
    Moved,
    Terms,
    counter_of,
    hour_of,
    kept_from,
    new_starts,
    starts_of,
)
from neural_hive.aggregates.burn import Counts
from neural_hive.aggregates.sla_window import HOUR, MINUTE

Count = Callable[[str], int]


def evaluation(budget: Budget, terms: Terms, upto: int, now: int, count: Count) -> Evaluate:
    """The command that moves a budget's windows on, so that they end at `upto` (µs, a full minute)."""
    starts, before = new_starts(terms, upto), starts_of(budget)
    moved, count = [], cache(count)  # most windows are entered by the same minutes
    for window, start in starts.items():
        was_start, was_end = (before[window], budget.upto) if budget.upto else (start, start)
        entered = between(budget, max(was_end, start), upto, count)
        left = between(budget, was_start, min(start, was_end), count)
        if start < was_start:  # another window, that begins earlier
            entered += between(budget, start, was_start, count)
        moved.append(Moved(window, entered, left))
    minutes_from, hours_from = kept_from(budget, starts["budget"], upto)
    gone = (*_rows(budget, "m", budget.minutes_from, minutes_from, count),)
    gone_hours = (*_rows(budget, "h", budget.hours_from, hours_from, count),)
    return Evaluate(terms, upto, tuple(moved), gone, gone_hours, now)


def between(budget: Budget, start: int, end: int, count: Count) -> Counts:
    """What counts from one time to another, both at full minutes; nothing, if the end is not after the start."""
    found = NOTHING
    first_at = budget.first_at
    at = max(start, first_at if first_at >= budget.minutes_from else hour_of(first_at))
    while at < end:
        if at % HOUR == 0 and at + HOUR <= end:
            found += _row(budget, "h", at, count)
            at += HOUR
        else:
            found += _row(budget, "m", at, count)
            at += MINUTE
    return found


def standing(
    budget: Budget, starts_at: int, ends_at: int, is_excluded: bool, count: Count
) -> tuple[tuple[Counted, ...], tuple[Counted, ...]]:
    """What stands in a time, to be excluded or to count again: by minutes, and before those are known by hours.

    Of an hour of which a part was excluded all that is excluded is given: that is the part.
    """
    hours = _rows(budget, "h", hour_of(starts_at), min(ends_at, budget.minutes_from), count, (is_excluded,))
    minutes = _rows(budget, "m", max(starts_at, budget.minutes_from), ends_at, count, (is_excluded,))
    return tuple(minutes), tuple(hours)


def _rows(
    budget: Budget, unit: str, start: int, end: int, count: Count, kinds: tuple[bool, ...] = (False, True)
) -> Iterator[Counted]:
    """The counts of each minute or hour that has any."""
    for at in range(max(start, hour_of(budget.first_at)), end, MINUTE if unit == "m" else HOUR):
        for is_excluded in kinds:
            found = _row(budget, unit, at, count, is_excluded)
            if found != NOTHING:
                yield Counted(at, found.good, found.valid, is_excluded)


def _row(budget: Budget, unit: str, at: int, count: Count, is_excluded: bool = False) -> Counts:
    name = budget.place.budget_id
    good, valid = (count(counter_of(name, unit, at, what, is_excluded)) for what in ("g", "v"))
    return Counts(good, valid)

"""The windows of an SLO: from when to when its events count.

All windows end at a full minute. Those of burn rates begin at one too; those of budgets begin at a full hour, so that
minutes need to be known for three days only, and hours for the rest.
"""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, assert_never

MINUTE: Final = 60_000_000  # µs
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
BURN_US: Final = {
    "5m": 5 * MINUTE,
    "30m": 30 * MINUTE,
    "1h": HOUR,
    "2h": 2 * HOUR,
    "6h": 6 * HOUR,
    "24h": DAY,
    "3d": 3 * DAY,
}
MINUTES_KEPT_US: Final = BURN_US["3d"]
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class WindowKind(StrEnum):
    """Over which time a budget is counted. Calendar windows are those of UTC."""

    UNKNOWN = "UNKNOWN"
    ROLLING = "ROLLING"  # the last days, up to now
    DAY = "DAY"
    WEEK = "WEEK"  # from Monday
    MONTH = "MONTH"
    QUARTER = "QUARTER"


def budget_start(kind: WindowKind, days: int, end: int) -> int:
    """When the budget's window begins that ends at `end`, µs; at a full hour.

    A calendar window that has just begun is empty: it begins where it ends.
    """
    match kind:
        case WindowKind.ROLLING:
            return max((end - days * DAY) // HOUR * HOUR, 0)
        case WindowKind.DAY:
            return end // DAY * DAY
        case WindowKind.WEEK:
            return (end // DAY - (end // DAY + 3) % 7) * DAY  # 1970 began on a Thursday
        case WindowKind.MONTH:
            return _months(end, 1)
        case WindowKind.QUARTER:
            return _months(end, 3)
        case WindowKind.UNKNOWN:
            raise ValueError("a definition with an unknown window is refused")
        case _:
            assert_never(kind)


def budget_length(kind: WindowKind, days: int, end: int) -> int:
    """How long the whole window is that `end` lies in, µs."""
    start = budget_start(kind, days, end)
    match kind:
        case WindowKind.ROLLING | WindowKind.UNKNOWN:
            return days * DAY
        case WindowKind.DAY:
            return DAY
        case WindowKind.WEEK:
            return 7 * DAY
        case WindowKind.MONTH:
            return _months(start + 31 * DAY, 1) - start
        case WindowKind.QUARTER:
            return _months(start + 92 * DAY, 3) - start
        case _:
            assert_never(kind)


def _months(at: int, count: int) -> int:
    """The beginning of the months, so many of them, that a time lies in."""
    day = _EPOCH + timedelta(microseconds=at)
    month = (day.month - 1) // count * count + 1
    return int((datetime(day.year, month, 1, tzinfo=UTC) - _EPOCH).total_seconds()) * 1_000_000


def reaches_further(kind: WindowKind, days: int, than: WindowKind, than_days: int) -> bool:
    """Whether a window may begin before anything that is known by another one, at some time.

    A calendar window that has just begun reaches back to nothing, and minutes are known for three days.
    """
    if kind is than and kind is not WindowKind.ROLLING:
        return False
    if than is WindowKind.ROLLING:
        return _days_max(kind, days) > max(than_days, _DAYS_KEPT)
    return kind not in _WITHIN.get(than, ()) and _days_max(kind, days) > _DAYS_KEPT


_DAYS_KEPT: Final = MINUTES_KEPT_US // DAY
_WITHIN: Final = {
    WindowKind.QUARTER: (WindowKind.MONTH,)
}  # none of them begins before the one that it lies in


def _days_max(kind: WindowKind, days: int) -> int:
    return {WindowKind.DAY: 1, WindowKind.WEEK: 7, WindowKind.MONTH: 31, WindowKind.QUARTER: 92}.get(
        kind, days
    )

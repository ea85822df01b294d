"""Times that questions about SLOs are asked over, and how the tables' views take them."""

from datetime import UTC, datetime
from enum import StrEnum

from neural_hive.aggregates.sla_window import DAY, HOUR, WindowKind, budget_start


class Over(StrEnum):
    """Over which time an SLO is tried."""

    HOUR = "hour"
    DAY = "day"
    WINDOW = "window"  # that of its budget, up to now


def since_of(kind: WindowKind, days: int, over: Over, now: int) -> int:
    """When the time begins that ends now, µs. `kind` and `days`: of the SLO's window."""
    match over:
        case Over.HOUR:
            return now - HOUR
        case Over.DAY:
            return now - DAY
        case Over.WINDOW:
            return budget_start(kind, days, now)


def time_at(at: int) -> datetime:
    """A time, from µs since 1970 UTC."""
    return datetime.fromtimestamp(at / 1_000_000, UTC)


def literal(at: int) -> str:
    """A time (µs since 1970 UTC) as views with a parameter take it."""
    return f"'{time_at(at):%Y-%m-%d %H:%M:%S.%f}'"


def moment_text(at: datetime) -> str:
    """A time as a parameter of the type DateTime64 takes it, in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"

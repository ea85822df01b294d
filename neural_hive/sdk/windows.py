"""What is looked at in metric windows before they are published."""

from typing import Final

from neural_hive.aggregates.aggregate import Rejected
from neural_hive.aggregates.metric_window import MetricWindow, check

WINDOWS_MAX: Final = 10_000  # of one call
ERRORS_MAX: Final = 20


class BadWindows(ValueError):
    """Metric windows that cannot be used; one line per error, each with its place."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


def checked(windows: list[MetricWindow]) -> list[MetricWindow]:
    """The windows. Raises BadWindows: they would be refused."""
    errors = [f"window {number}: {words}" for number, w in enumerate(windows, 1) for words in broken(w)]
    if len(windows) > WINDOWS_MAX:
        errors.insert(0, f"there are {len(windows):,} windows, more than {WINDOWS_MAX:,} at once")
    if errors:
        raise BadWindows(errors[:ERRORS_MAX])
    return windows


def broken(window: MetricWindow) -> list[str]:
    """Which rules a window breaks."""
    try:
        check(window)
    except Rejected as error:
        return [str(error)]
    return []

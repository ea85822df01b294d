"""A series of metric windows: which of them were counted.

Protects: a window counts once, however often it is sent; no two windows of a series overlap, for their events would
count twice; what is older than what is remembered is refused, since nobody knows whether it was counted.
"""

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Final, assert_never

import msgspec

from neural_hive.aggregates.aggregate import Aggregate, Command, Event, Rejected, members
from neural_hive.aggregates.sla_window import DAY

REMEMBERED_MAX: Final = 256  # windows of a series: four hours of minutes
SERIES_MAX: Final = 20_000  # of one partition at once
FORGET_TIMER: Final = "forget"
SILENCE_US: Final = 7 * DAY  # after which it is known only up to when a series was counted
LIVE: Final = "metric_series"  # the name of the counter of those whose windows are remembered
_DIGEST_BYTES: Final = 8


class Note(Command, frozen=True):
    """A window shall count."""

    series_id: str
    message_id: str
    starts_at: int  # µs
    ends_at: int
    now: int


class Forget(Command, frozen=True):
    """Nothing has come for long."""

    series_id: str
    now: int


class MetricWindowNoted(Event, frozen=True):
    """A metric window counts for SLOs."""

    series_id: str
    message_id: str
    starts_at: int
    ends_at: int
    noted_at: int


class MetricSeriesForgotten(Event, frozen=True):
    """No window of a series has come for long: it is only kept up to when it was counted."""

    series_id: str
    forgotten_at: int


MetricSeriesCommand = Note | Forget
MetricSeriesEvent = MetricWindowNoted | MetricSeriesForgotten


class Noted(msgspec.Struct, frozen=True):
    """A window that counts."""

    starts_at: int
    ends_at: int
    message: bytes  # digest of the message's id


class MetricSeries(msgspec.Struct, frozen=True):
    """The windows that are remembered, in their order."""

    windows: tuple[Noted, ...] = ()
    counted_upto: int = 0  # µs: a window that begins before may have been counted
    last_at: int = 0  # when one was noted last


def decide(series: MetricSeries | None, command: MetricSeriesCommand) -> list[MetricSeriesEvent]:
    """Raises Rejected: the window overlaps another one, or is too old."""
    found = series or MetricSeries()
    match command:
        case Note():
            return _note(found, command)
        case Forget():
            return [MetricSeriesForgotten(command.series_id, command.now)] if found.windows else []
        case _:
            assert_never(command)


def _note(series: MetricSeries, command: Note) -> list[MetricSeriesEvent]:
    digest, starts_at, ends_at = _digest(command.message_id), command.starts_at, command.ends_at
    if any(noted.message == digest for noted in series.windows):
        return []
    for noted in series.windows:
        if starts_at < noted.ends_at and noted.starts_at < ends_at:
            raise Rejected(
                f"it overlaps the window from {noted.starts_at} to {noted.ends_at} µs of its series: windows are final "
                "and follow each other; who counts beside others says so with `instance`"
            )
    if starts_at < series.counted_upto:
        raise Rejected(
            f"it begins before {series.counted_upto} µs: whether windows of its series counted that are so old is "
            "not known any more"
        )
    return [MetricWindowNoted(command.series_id, command.message_id, starts_at, ends_at, command.now)]


def _digest(message_id: str) -> bytes:
    return blake2b(message_id.encode(), digest_size=_DIGEST_BYTES).digest()


def evolve(series: MetricSeries | None, event: MetricSeriesEvent) -> MetricSeries:
    """What an event makes of the series."""
    found = series or MetricSeries()
    match event:
        case MetricWindowNoted():
            noted = Noted(event.starts_at, event.ends_at, _digest(event.message_id))
            windows = sorted((*found.windows, noted), key=lambda window: window.ends_at)
            gone, kept = windows[:-REMEMBERED_MAX], windows[-REMEMBERED_MAX:]
            return MetricSeries(tuple(kept), _upto(found, gone), event.noted_at)
        case MetricSeriesForgotten():
            return MetricSeries((), _upto(found, found.windows), 0)
        case _:
            assert_never(event)


def _upto(series: MetricSeries, gone: tuple[Noted, ...] | list[Noted]) -> int:
    return max(series.counted_upto, *(noted.ends_at for noted in gone), 0)


def timers(series: MetricSeries) -> Mapping[str, int]:
    """When its windows are forgotten."""
    return {FORGET_TIMER: series.last_at + SILENCE_US} if series.windows else {}


def counters(
    event: MetricSeriesEvent, before: MetricSeries | None, after: MetricSeries
) -> Iterator[tuple[str, int]]:
    """How many series are remembered."""
    was_live = before is not None and bool(before.windows)
    if was_live != bool(after.windows):
        yield LIVE, -1 if was_live else 1


METRIC_SERIES: Final = Aggregate(
    "metric_series", "sla.sources", MetricSeries, members(MetricSeriesEvent), decide, evolve, timers, counters
)

"""A metric window: what a service's metric has counted in a time, told from outside or by who scrapes it.

Its events have no times of their own: all of them happened in the minute in which the window ends. Nor have they
values of their own, but buckets: an event has the upper bound of its bucket as its value, and infinity if it is above
them all. So a threshold is exact if it is a bound; else a bucket is below it only if its bound is.
"""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import msgspec

from neural_hive.aggregates.aggregate import Rejected
from neural_hive.aggregates.identity import derived_id
from neural_hive.aggregates.sla_window import HOUR

TOPIC: Final = "telemetry.aggregated"
BUCKETS_MAX: Final = 200
TEXT_CHARS_MAX: Final = 200
EVENTS_MAX: Final = 10**12
WINDOW_US_MAX: Final = HOUR
_TEXTS: Final = ("service", "metric", "outcome", "layer", "endpoint", "region", "instance")


class Bucket(msgspec.Struct, frozen=True):
    """Events with values up to a bound, which itself belongs to it, and above that of the bucket before."""

    upto: float
    events: int


class MetricWindow(msgspec.Struct, frozen=True):
    """What was counted from one time to another. A window is final: the next one follows it, and none overlaps it."""

    service: str
    metric: str
    starts_at: int  # µs
    ends_at: int
    events: int
    buckets: tuple[Bucket, ...] = ()  # bounds ascend; events that are in none are above all; none: no values
    outcome: str = ""
    layer: str = ""
    endpoint: str = ""
    region: str = ""
    instance: str = ""  # who has counted, if several count the same

    @property
    def series_id(self) -> str:
        """What the windows share that follow each other."""
        return derived_id(*(getattr(self, name) for name in _TEXTS))

    @property
    def message_id(self) -> str:
        """The id of its message: the same window has the same one, whoever sends it again."""
        held = [f"{bucket.upto!r}:{bucket.events}" for bucket in self.buckets]
        return derived_id(self.series_id, f"{self.starts_at}-{self.ends_at}", str(self.events), *held)

    @property
    def last_at(self) -> int:
        """The last moment that belongs to it, µs."""
        return self.ends_at - 1

    def values(self) -> Iterator[tuple[float | None, int]]:
        """The values of its events, and how many have each; None: they have none."""
        if not self.buckets:
            found: list[tuple[float | None, int]] = [(None, self.events)]
        else:
            found = [(bucket.upto, bucket.events) for bucket in self.buckets]
            found.append((math.inf, self.events - sum(bucket.events for bucket in self.buckets)))
        return ((value, events) for value, events in found if events)


def check(window: MetricWindow) -> None:
    """Raises Rejected, with all that is wrong."""
    if problems := [*_of_texts(window), *_of_time(window), *_of_events(window)]:
        raise Rejected("; ".join(problems))


def _of_texts(window: MetricWindow) -> Iterator[str]:
    for name in _TEXTS:
        text = getattr(window, name)
        if len(text) > TEXT_CHARS_MAX:
            yield f"{name} has more than {TEXT_CHARS_MAX} characters"
        elif name in ("service", "metric") and not text.strip():
            yield f"{name} must not be empty"


def _of_time(window: MetricWindow) -> Iterator[str]:
    if window.starts_at <= 0 or window.ends_at <= window.starts_at:
        yield "ends_at must be after starts_at, both in µs since 1970"
    elif window.ends_at - window.starts_at > WINDOW_US_MAX:
        yield "a window lasts an hour at most: its events count in the minute in which it ends"


def _of_events(window: MetricWindow) -> Iterator[str]:
    counts = [window.events, *(bucket.events for bucket in window.buckets)]
    bounds = [bucket.upto for bucket in window.buckets]
    if not all(0 <= count <= EVENTS_MAX for count in counts):
        yield f"events must be within 0 and {EVENTS_MAX:,}"
    if len(bounds) > BUCKETS_MAX:
        yield f"there are {len(bounds):,} buckets, more than {BUCKETS_MAX}"
    if not all(map(math.isfinite, bounds)) or any(a >= b for a, b in pairwise(bounds)):
        yield "bounds of buckets must be numbers that ascend; what is above the last one is in none"
    if sum(counts[1:]) > window.events:
        yield f"the buckets have {sum(counts[1:]):,} events, and the window only {window.events:,}: do not add them up"

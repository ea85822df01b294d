"""Silences in Alertmanager for what is excluded from budgets: made once, kept as they shall be, ended when lifted.

Nothing of them is remembered here: a silence is found again by the marker in its comment and by who made it. So who is
killed before the answer comes makes none a second time, and of two that were made at one moment one is ended.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

import structlog

from neural_hive.connectors.alertmanager import Alertmanager, Matcher, Silence
from neural_hive.streams.alertmanager import metrics
from neural_hive.streams.alertmanager.asking import SILENCES, asking
from neural_hive.streams.alertmanager.wanted import CREATED_BY, WantedSilence

EXPIRED: Final = "expired"
_SECOND: Final = 1_000_000  # µs; Alertmanager keeps milliseconds

log = structlog.get_logger()


class Silences:
    """Brings an Alertmanager's silences to what they shall be."""

    def __init__(self, server: Alertmanager) -> None:
        self._server = server
        self._left: set[str] = set()  # markers of those that somebody else has ended
        self._refused: set[WantedSilence] = set()  # the same again would be refused again

    def settle(self, wanted: Iterable[WantedSilence]) -> None:
        """Makes, changes and ends what is not as it shall be. Raises ApiAway.

        While it is not known which silences there are, none is made.
        """
        by_marker = {each.marker: each for each in wanted}
        self._left &= by_marker.keys()
        self._refused &= set(by_marker.values())
        found: dict[str, list[Silence]] = {marker: [] for marker in by_marker}
        if not by_marker:
            return
        with asking(SILENCES) as asked:
            for silence in self._server.silences():
                marker = silence.comment.rpartition(" ")[2]
                if silence.created_by == CREATED_BY and marker in found:
                    found[marker].append(silence)
        if asked.is_accepted:
            for marker, each in by_marker.items():
                self._settle_one(each, found[marker])

    def _settle_one(self, wanted: WantedSilence, found: list[Silence]) -> None:
        lasting = sorted((s for s in found if s.status.state != EXPIRED), key=lambda s: s.id)
        if wanted.is_lifted:
            self._end(lasting)
        elif lasting:
            self._end(lasting[1:])
            if not _is_as(wanted, lasting[0]):
                self._make(wanted, "changed", lasting[0].id)
        elif since := [s for s in found if us_of(s.ends_at) >= wanted.adjusted_at]:
            if not any(_is_near(silence.ends_at, wanted.ends_at) for silence in since):
                self._leave(wanted)
        else:
            self._make(wanted, "made")

    def _make(self, wanted: WantedSilence, change: str, silence_id: str = "") -> None:
        if wanted in self._refused:
            return
        matchers = [Matcher(name, value) for name, value in wanted.matches]
        times = time_of(wanted.starts_at), time_of(wanted.ends_at)
        with asking(SILENCES) as asked:
            self._server.silence(matchers, *times, CREATED_BY, wanted.comment, silence_id)
        if not asked.is_accepted:
            self._refused.add(wanted)
            return
        metrics.SILENCES.labels(change).inc()
        log.info("silence_made", change=change, comment=wanted.comment)

    def _end(self, silences: Iterable[Silence]) -> None:
        for silence in silences:
            with asking(SILENCES) as asked:
                self._server.end_silence(silence.id)
            if asked.is_accepted:
                metrics.SILENCES.labels("ended").inc()
                log.info("silence_ended", comment=silence.comment)

    def _leave(self, wanted: WantedSilence) -> None:
        """Somebody has ended it before its time: who does that in Alertmanager wants to hear of alerts."""
        if wanted.marker not in self._left:
            self._left.add(wanted.marker)
            metrics.SILENCES.labels("left").inc()
            log.info("silence_left", comment=wanted.comment)


def _is_as(wanted: WantedSilence, found: Silence) -> bool:
    """Whether a silence is as it shall be; of one that holds it does not matter when it began."""
    matches = {(m.name, m.value) for m in found.matchers if m.is_equal and not m.is_regex}
    is_same = len(found.matchers) == len(matches) and matches == set(wanted.matches)
    begins = found.status.state == "active" or _is_near(found.starts_at, wanted.starts_at)
    return is_same and begins and _is_near(found.ends_at, wanted.ends_at)


def _is_near(found: datetime, at: int) -> bool:
    return abs(us_of(found) - at) <= _SECOND


def time_of(at: int) -> datetime:
    """A time (µs since 1970 UTC), as Alertmanager is told it."""
    return datetime.fromtimestamp(at / _SECOND, UTC)


def us_of(at: datetime) -> int:
    """µs since 1970 UTC."""
    return round(at.timestamp() * _SECOND)

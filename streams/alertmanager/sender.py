"""What the hive tells an Alertmanager: violations as alerts, exclusions of budgets as silences.

    violations, budget_adjustments, slos (tables)   → what it shall know
    Alertmanager                                    ← alerts, again and again while they are open; silences, once

It keeps no state that a start would need: an alert that is told again is the same alert, and a silence is found again
(`silences.py`). So several may run beside each other, and whoever is killed goes on. Nothing waits for it:
what Alertmanager does not take now it is told with a later look, as it is then.

The tables are read, and not the log: a violation that lasts for months, or an exclusion that lies weeks ahead, would
hold an offset back over every look at every budget in between.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol, TypeVar

import structlog

from neural_hive.connectors.alertmanager import Alertmanager, FiringAlert
from neural_hive.connectors.clickhouse import ClickHouseError
from neural_hive.connectors.json_api import ApiAway
from neural_hive.streams.alertmanager import metrics
from neural_hive.streams.alertmanager.asking import ALERTS, asking
from neural_hive.streams.alertmanager.silences import Silences, time_of
from neural_hive.streams.alertmanager.wanted import Tables, Wanted, WantedAlert, wanted

NAME: Final = "alertmanager-sender"
AGAIN_S: Final = 60.0  # an open alert is told again
# Alertmanager takes an alert for over that it was not told again for so long: longer than an outage of this process
# that nobody shall hear of as "resolved", and short enough that a hive that is gone does not alert for ever.
HOLDS_S: Final = 900.0
AT_ONCE: Final = 500  # alerts in a request
BACKOFF_S_MAX: Final = 60.0
_SECOND: Final = 1_000_000  # µs
T = TypeVar("T")

log = structlog.get_logger()


class SendingSettings(Protocol):
    """What is needed of the settings."""

    @property
    def alertmanager_every_s(self) -> float:
        """How often the tables are looked at."""
        ...


def run(
    settings: SendingSettings,
    tables: Tables,
    server: Alertmanager,
    stopping: threading.Event,
    ready: Callable[[], None],
) -> None:
    """Works until told to stop."""
    sender = Sender(tables, server)
    ready()  # whether tables and Alertmanager answer is no matter of readiness: they are asked until they do
    wait_s = settings.alertmanager_every_s
    while not stopping.is_set():
        is_told = sender.look()
        wait_s = settings.alertmanager_every_s if is_told else min(2 * wait_s, BACKOFF_S_MAX)
        stopping.wait(wait_s)


class Sender:
    """Tells one Alertmanager; `look` does so once."""

    def __init__(
        self,
        tables: Tables,
        server: Alertmanager,
        now: Callable[[], int] = lambda: time.time_ns() // 1_000,
    ) -> None:
        """`now`: µs since 1970 UTC."""
        self._tables, self._server, self._now = tables, server, now
        self._silences = Silences(server)
        self._wanted = Wanted()
        self._told_at: dict[WantedAlert, int] = {}  # when Alertmanager was told of an alert as it is now
        self._complete_at = now()
        self._held = ""  # why it could not be told all

    def look(self) -> bool:
        """Tells what is to be told; whether that was all. While the tables are away, it tells what they last said."""
        now = self._now()
        try:
            self._read(now)
            held = ""
        except ClickHouseError as error:
            held = f"the tables do not answer: {error}"
        try:
            self._tell(now)
            if not held:
                self._silences.settle(self._wanted.silences)
        except ApiAway as error:
            held = str(error)
        self._note(held, now)
        return not held

    def _read(self, now: int) -> None:
        self._wanted = wanted(self._tables, now, now - int(HOLDS_S * _SECOND))
        if self._wanted.is_cut:
            log.error("more_than_is_told", why="there are more violations or exclusions than are looked at")
        kept = set(self._wanted.alerts)
        self._told_at = {alert: at for alert, at in self._told_at.items() if alert in kept}

    def _tell(self, now: int) -> None:
        """Raises ApiAway."""
        due = [alert for alert in self._wanted.alerts if self._is_due(alert, now)]
        for some in _chunks(due, AT_ONCE):
            with asking(ALERTS):
                self._server.tell([_firing(alert, now) for alert in some])
            self._told_at |= dict.fromkeys(some, now)  # what was refused is not told again at once either
        metrics.ALERTS.set(sum(alert.is_open for alert in self._told_at))

    def _is_due(self, alert: WantedAlert, now: int) -> bool:
        told_at = self._told_at.get(alert)
        return told_at is None or (alert.is_open and now - told_at >= AGAIN_S * _SECOND)

    def _note(self, held: str, now: int) -> None:
        if not held:
            self._complete_at = now
        metrics.BEHIND.set((now - self._complete_at) / _SECOND)
        if held and held != self._held:
            log.warning("alertmanager_behind", why=held)
        elif self._held and not held:
            log.info("alertmanager_told")
        self._held = held


def _firing(alert: WantedAlert, now: int) -> FiringAlert:
    ends_at = alert.ended_at or now + int(HOLDS_S * _SECOND)
    return FiringAlert(
        dict(alert.labels), dict(alert.annotations), time_of(alert.starts_at), time_of(ends_at)
    )


def _chunks(items: Sequence[T], count: int) -> Iterator[Sequence[T]]:
    return (items[at : at + count] for at in range(0, len(items), count))

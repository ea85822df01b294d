"""SLIs from Prometheus: each full minute of each SLO is asked for once, and told to the SLA calculator.

    slos, sli_counts (tables)   → which SLOs, and how far each was counted
    Prometheus                  → good and valid events of the next minute
    sla.measurements            ← CountSli

It keeps no state: after a start, the tables say where it left off, and of what was counted already, and is not in the
tables yet, the calculator takes no repeat. So several may run beside each other: each minute counts once.

What Prometheus does not answer now is asked again. What it says and is no count is left out: its minute counts nowhere.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import msgspec
import structlog

from neural_hive.aggregates.budget import POLLED, Counted, minute_of
from neural_hive.aggregates.identity import derived_id
from neural_hive.aggregates.sla_window import MINUTE
from neural_hive.connectors.clickhouse import ClickHouseError
from neural_hive.connectors.json_api import ApiAway, ApiRefused
from neural_hive.connectors.prometheus import Prometheus, Sample
from neural_hive.connectors.publisher import Publisher
from neural_hive.streams.sla.messages import MEASUREMENTS, CountSli
from neural_hive.streams.sli_prometheus import metrics
from neural_hive.streams.sli_prometheus.asked import Asked, Tables, asked_for, last_minutes
from neural_hive.streams.sli_prometheus.promql_counts import NoCount, counted

NAME: Final = "sli-prometheus"
_LOOK_EVERY_S: Final = 10.0
_SECOND: Final = 1_000_000  # µs
_FLUSH_S: Final = 1.0

Tell = Callable[[Asked, Counted], None]

log = structlog.get_logger()


class CountingStopped(Exception):
    """Counts do not arrive; the text says why."""


class CountingSettings(Protocol):
    """What is needed of the settings."""

    @property
    def prometheus_lag_s(self) -> float:
        """How old a minute must be."""
        ...

    @property
    def prometheus_back_s(self) -> float:
        """How old it may be."""
        ...

    @property
    def prometheus_per_s(self) -> float:
        """Queries a second; the next: at once."""
        ...

    @property
    def prometheus_at_once(self) -> int: ...

    @property
    def sla_metrics_slos(self) -> int:
        """How many SLOs may have a series of their own."""
        ...

    def kafka_config(self) -> dict[str, Any]:
        """librdkafka's settings of the connection."""
        ...


def run(
    settings: CountingSettings,
    tables: Tables,
    prometheus: Prometheus,
    stopping: threading.Event,
    ready: Callable[[], None],
) -> None:
    """Works until told to stop. Raises CountingStopped."""
    told = Told(Publisher(settings.kafka_config(), NAME))
    counter = MinuteCounter(settings, tables, prometheus, told.tell, stopping)
    ready()  # whether tables and Prometheus answer is no matter of readiness: it asks until they do
    while not stopping.is_set():
        try:
            counter.look()
        except ClickHouseError as error:
            log.warning("tables_away", why=str(error))
        told.settle(stopping)
        stopping.wait(_LOOK_EVERY_S)


class Told:
    """Tells the calculator. The same minute has the same message id, whoever tells it."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._failure = ""

    def tell(self, asked: Asked, found: Counted) -> None:
        """Publishes a count; whether it arrived, `settle` finds out."""
        message = message_of(asked, found)
        message_id = derived_id("CountSli", NAME, asked.slo_id, str(asked.measure), str(found.at))
        header = self._publisher.header("CountSli", message_id, asked.slo_id)
        self._publisher.publish(MEASUREMENTS, header, msgspec.to_builtins(message), self._delivered)
        self._publisher.poll()  # or its queue fills with what has arrived

    def settle(self, stopping: threading.Event) -> None:
        """Waits until all has arrived. Raises CountingStopped: it cannot."""
        while self._publisher.flush(_FLUSH_S) and not stopping.is_set():
            pass
        if self._failure:
            raise CountingStopped(f"a count could not be delivered: {self._failure}")

    def _delivered(self, undelivered: str) -> None:
        self._failure = self._failure or undelivered


def message_of(asked: Asked, found: Counted) -> CountSli:
    """What the calculator is told."""
    return CountSli(asked.slo_id, asked.measure, (found,), f"{POLLED}{_minute_text(found.at)}")


class MinuteCounter:
    """Asks for what is due; `look` does so once."""

    def __init__(
        self,
        settings: CountingSettings,
        tables: Tables,
        prometheus: Prometheus,
        tell: Tell,
        stopping: threading.Event,
        now: Callable[[], int] = lambda: time.time_ns() // 1_000,
    ) -> None:
        """`now`: µs since 1970 UTC."""
        self._tables, self._prometheus, self._tell = tables, prometheus, tell
        self._stopping, self._now = stopping, now
        self._lag, self._back = settings.prometheus_lag_s * _SECOND, settings.prometheus_back_s * _SECOND
        self._at_once = settings.prometheus_at_once
        self._pace = Pace(settings.prometheus_per_s, stopping)
        self._next: dict[str, int] = {}  # budget → the minute to be asked for next
        self._wrong = metrics.WrongSlos(settings.sla_metrics_slos)
        self._held: dict[str, str] = {}  # SLO → why there is no answer of it
        self._lock = threading.Lock()  # of what is said once

    def look(self) -> None:
        """Asks for all that is due, the oldest minutes of all SLOs first. Raises ClickHouseError."""
        asked = asked_for(self._tables)
        self._forget(asked)
        due = self._due(asked)
        if not due:
            metrics.BEHIND.set(0)
            return
        self._catch_up(due)
        due = self._due(due)
        with ThreadPoolExecutor(self._at_once, thread_name_prefix=NAME) as pool:
            while due and not self._stopping.is_set():
                self._show(due)
                answered = list(pool.map(self._count, due))
                due = self._due(
                    [each for each, is_answered in zip(due, answered, strict=True) if is_answered]
                )
        self._show(self._due(asked))

    def _forget(self, asked: list[Asked]) -> None:
        budgets, names = {each.budget_id for each in asked}, {each.slo_id for each in asked}
        for budget_id in self._next.keys() - budgets:
            del self._next[budget_id]
        for slo_id in self._wrong.names() - names:
            self._wrong.remove(slo_id)
        for slo_id in self._held.keys() - names:
            del self._held[slo_id]

    def _due(self, asked: list[Asked]) -> list[Asked]:
        return [each for each in asked if self._is_due(each)]

    def _is_due(self, each: Asked) -> bool:
        """Whether its next minute is old enough."""
        return self._next_of(each) + MINUTE <= self._now() - self._lag

    def _next_of(self, each: Asked) -> int:
        return max(self._next.get(each.budget_id, 0), minute_of(each.since) + MINUTE)

    def _catch_up(self, due: list[Asked]) -> None:
        """Leaves out what another one has counted meanwhile, and what is too old."""
        oldest = minute_of(int(self._now() - self._back))
        last = last_minutes(self._tables, due, oldest)
        for each in due:
            known = max(self._next_of(each), last.get(each.budget_id, 0) + MINUTE)
            if known < oldest and each.budget_id in self._next:
                metrics.MINUTES.labels("too_old").inc((oldest - known) // MINUTE)
                log.warning("minutes_too_old", slo_id=each.slo_id, since=_minute_text(known))
            self._next[each.budget_id] = max(known, oldest)

    def _count(self, each: Asked) -> bool:
        """Asks for an SLO's next minute; False: there was no answer, and it is asked for again with the next look."""
        minute = self._next[each.budget_id]
        try:
            found = counted(self._ask, each.queries, minute)
        except ApiAway as error:
            self._hold(each, str(error))
            return False
        except (ApiRefused, NoCount) as error:
            self._is_wrong(each, minute, str(error))
        else:
            self._wrong.remove(each.slo_id)
            metrics.MINUTES.labels("counted" if found else "empty").inc()
            if found:
                self._tell(each, found)
        with self._lock:
            self._held.pop(each.slo_id, None)
        self._next[each.budget_id] = minute + MINUTE
        return True

    def _ask(self, promql: str, at: int) -> list[Sample]:
        if not self._pace.wait():
            raise ApiAway("it was told to stop")
        with _measured():
            return self._prometheus.query(promql, at)

    def _hold(self, each: Asked, why: str) -> None:
        with self._lock:  # a server that is away is away for all: that is said once
            is_news = why not in self._held.values()
            self._held[each.slo_id] = why
        if is_news and not self._stopping.is_set():
            log.warning("prometheus_away", slo_id=each.slo_id, why=why)

    def _is_wrong(self, each: Asked, minute: int, why: str) -> None:
        metrics.MINUTES.labels("wrong").inc()
        if self._wrong.add(each.slo_id, why):
            log.error("no_count", slo_id=each.slo_id, minute=_minute_text(minute), why=why)

    def _show(self, due: list[Asked]) -> None:
        ready_at = min((self._next_of(each) for each in due), default=0) + MINUTE + self._lag
        metrics.BEHIND.set((self._now() - ready_at) / _SECOND if due else 0)


class Pace:
    """Lets through so many a second, one after the other."""

    def __init__(self, per_s: float, stopping: threading.Event) -> None:
        self._gap_s, self._stopping = 1 / per_s, stopping
        self._lock, self._at = threading.Lock(), 0.0

    def wait(self) -> bool:
        """Waits for its turn; False: it was told to stop meanwhile."""
        with self._lock:
            now = time.monotonic()
            self._at = max(self._at, now)
            wait_s = self._at - now
            self._at += self._gap_s
        return not self._stopping.wait(wait_s)


@contextmanager
def _measured() -> Iterator[None]:
    outcome = "away"
    begun = time.monotonic()
    try:
        yield
        outcome = "answered"
    except ApiRefused:
        outcome = "refused"
        raise
    finally:
        metrics.QUERIES.labels(outcome).inc()
        metrics.SECONDS.observe(time.monotonic() - begun)


def _minute_text(at: int) -> str:
    return f"{datetime.fromtimestamp(at / _SECOND, UTC):%Y-%m-%dT%H:%MZ}"

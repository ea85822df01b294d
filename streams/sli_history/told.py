"""How the SLA calculator is told of ranges of history."""

import threading
from typing import Final, Protocol

import msgspec

from neural_hive.aggregates.identity import derived_id
from neural_hive.connectors.publisher import Publisher
from neural_hive.streams.sla.history import CountHistory
from neural_hive.streams.sla.messages import MEASUREMENTS
from neural_hive.streams.sli_history import metrics

_ON_THE_WAY_MAX: Final = 1_000  # ranges that were not delivered yet


class HistoryStopped(Exception):
    """Ranges do not arrive; the text says why."""


class Tell(Protocol):
    """Who is told of ranges."""

    def __call__(self, counted: CountHistory) -> None:
        """One range; those of an SLO in a partition in their order."""
        ...

    def settle(self) -> None:
        """Waits until all has arrived."""
        ...


class Told:
    """Tells the calculator. The same range has the same message id, whoever tells it."""

    def __init__(self, publisher: Publisher, stopping: threading.Event) -> None:
        self._publisher, self._stopping = publisher, stopping
        self._on_the_way = 0
        self._failure = ""

    def __call__(self, counted: CountHistory) -> None:
        """Publishes a range. Raises HistoryStopped: one before it could not be delivered."""

        about = counted.slo_id, str(counted.measure), counted.topic, str(counted.partition)
        places = str(counted.from_offset), str(counted.to_offset), str(counted.is_whole)
        header = self._publisher.header(
            "CountHistory", derived_id("CountHistory", *about, *places), counted.slo_id
        )
        self._publisher.publish(MEASUREMENTS, header, msgspec.to_builtins(counted), self._delivered)
        self._on_the_way += 1
        metrics.RANGES.inc()
        self._publisher.poll()
        while self._on_the_way > _ON_THE_WAY_MAX and not self._stopping.is_set():
            self._publisher.poll(0.1)
        self._check()

    def settle(self) -> None:
        """Waits until all has arrived. Raises HistoryStopped."""
        while self._publisher.flush(1.0) and not self._stopping.is_set():
            pass
        self._check()

    def _delivered(self, undelivered: str) -> None:
        self._on_the_way -= 1
        self._failure = self._failure or undelivered

    def _check(self) -> None:
        if self._failure:
            raise HistoryStopped(f"a range could not be delivered: {self._failure}")

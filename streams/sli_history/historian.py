"""The history of SLOs: what stands in the log from before an SLO was counted is read once more, and counted.

    sla.definitions, sla.history   → which SLOs, and how far each was counted
    sla.sources, offsets of `sli`  → how far history goes (sli_history_reach)
    execution.tickets, …           → Kafka, and the archive before it: records, folded and summed up (sli_history_pass)
    sla.measurements               ← CountHistory, a range of a partition for an SLO

It keeps no state: after a start, `sla.history` says where each SLO was left off, and the partition is folded once more
from its beginning. The calculator takes a range only where the last one has ended, so it may be killed at any time, and
several may run: each event counts once. One pass over a partition counts for all SLOs that are not counted yet.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from typing import Any, Final, Protocol

import structlog
from confluent_kafka import KafkaException

from neural_hive.aggregates.sla_window import DAY, MINUTES_KEPT_US
from neural_hive.aggregates.sli_history import Span
from neural_hive.aggregates.slo import Slo
from neural_hive.connectors.clickhouse import ClickHouseError
from neural_hive.connectors.kafka_log import LostLog, StalledLog, UnreadableLog
from neural_hive.connectors.publisher import Publisher
from neural_hive.projections.layout import layout
from neural_hive.projections.source import LogLost
from neural_hive.projections.whole_log import ArchiveAway, OpenArchive
from neural_hive.schemas.catalogue import UnknownSchema
from neural_hive.streams.kernel.broadcast import Broadcast
from neural_hive.streams.kernel.partition_log import Indefinite
from neural_hive.streams.kernel.reading import MessageReader, RegistryAway
from neural_hive.streams.sla.history import CountHistory
from neural_hive.streams.sla.view import SLOS, Slos
from neural_hive.streams.sli.system import NAME as SLI
from neural_hive.streams.sli_history import metrics
from neural_hive.streams.sli_history.facts import SOURCES
from neural_hive.streams.sli_history.one_pass import Folded, Job, new_fold, read_over
from neural_hive.streams.sli_history.reach import KafkaLog, Log, Place, Reach, Reached
from neural_hive.streams.sli_history.told import Tell, Told
from neural_hive.streams.sli_history.view import HISTORIES, Histories, span_of

NAME: Final = "sli-history"
_LOOK_EVERY_S: Final = 5.0
_TAKEN_S: Final = 60.0  # without a word of the calculator what was told is told again
_PASSING: Final = (
    *(LostLog, StalledLog, UnreadableLog, LogLost, Indefinite, RegistryAway),
    *(ArchiveAway, ClickHouseError, UnknownSchema, KafkaException),
)

log = structlog.get_logger()


class HistorySettings(Protocol):
    """What is needed of the settings."""

    def kafka_config(self) -> dict[str, Any]:
        """librdkafka's settings of the connection."""
        ...


def run(
    settings: HistorySettings,
    open_archive: OpenArchive | None,
    read: MessageReader,
    stopping: threading.Event,
    ready: Callable[[], None],
) -> None:
    """Works until told to stop; `read` reads what others wrote. Raises HistoryStopped."""
    config = settings.kafka_config()
    topics = [SLOS.topic, HISTORIES.topic, "sla.sources", *(source.topic for source in SOURCES.values())]
    found = layout(config, topics)
    ids = {topic: topic_id for topic, (topic_id, _) in found.items()}
    partitions = {topic: count for topic, (_, count) in found.items()}
    with (
        _read_whole(config, partitions, open_archive) as (slos, histories),
        closing(KafkaLog(config, SLI, ids, open_archive)) as kafka,
    ):
        told = Told(Publisher(config, NAME), stopping)
        historian = Historian(slos, histories, kafka, partitions, told, stopping, read)
        ready()
        while not stopping.is_set():
            historian.look()
            stopping.wait(_LOOK_EVERY_S)


@contextmanager
def _read_whole(
    config: dict[str, Any], partitions: Mapping[str, int], open_archive: OpenArchive | None
) -> Iterator[tuple[Callable[[], Slos], Callable[[], Histories]]]:
    slos = Broadcast(config, SLOS, partitions[SLOS.topic], open_archive)
    histories = Broadcast(config, HISTORIES, partitions[HISTORIES.topic], open_archive)
    try:
        slos.start()
        histories.start()
        yield lambda: slos.snapshot().value, lambda: histories.snapshot().value
    finally:
        slos.stop()
        histories.stop()


Key = tuple[str, int, str, int]  # SLO, measure, topic, partition
Wanted = dict[tuple[str, int], Slo]  # by id and measure


class Historian:
    """Counts what is not counted yet; `look` does so once."""

    def __init__(
        self,
        slos: Callable[[], Slos],
        histories: Callable[[], Histories],
        kafka: Log,
        partitions: Mapping[str, int],
        tell: Tell,
        stopping: threading.Event,
        read: MessageReader,
        taken_s: float = _TAKEN_S,
        now: Callable[[], int] = lambda: time.time_ns() // 1_000,
    ) -> None:
        """`partitions`: of each topic. `taken_s`: how long it waits for the calculator's word. `now`: µs since 1970."""
        self._slos, self._histories, self._log = slos, histories, kafka
        self._partitions, self._tell, self._stopping, self._taken_s = partitions, tell, stopping, taken_s
        self._reach, self._read, self._now = Reach(kafka), read, now
        self._folds: dict[Place, Folded] = {}
        self._finished: dict[tuple[str, int], frozenset[Place]] = {}
        self._reached: dict[Key, Reached] = {}
        self._held: dict[Place, str] = {}

    def look(self) -> None:
        """Brings every SLO as far as its history goes now."""
        todo = self._todo()
        for place, slos in todo.items():
            if self._stopping.is_set():
                return
            with self._holding(place):
                self._reached |= self._reach.look({place: slos})
                self._show()
                self._count(place, slos)
        for kept in (self._folds, self._held):  # of what nobody asks for any more
            for place in kept.keys() - todo.keys():
                del kept[place]
        self._show()

    def _todo(self) -> dict[Place, Wanted]:
        """The SLOs whose history may go on, by partitions."""
        found: dict[Place, Wanted] = {}
        asking = {
            (slo.definition.slo_id, slo.measure): slo
            for slo in self._slos().values()
            if slo.is_measured and slo.definition.indicator.source in SOURCES
        }
        self._finished = {name: self._finished.get(name, frozenset()) for name in asking}
        self._reached = {key: there for key, there in self._reached.items() if (key[0], key[1]) in asking}
        for name, slo in asking.items():
            topic = SOURCES[slo.definition.indicator.source].topic
            for partition in range(self._partitions[topic]):
                if (topic, partition) not in self._finished[name]:
                    found.setdefault((topic, partition), {})[name] = slo
        return found

    def _count(self, place: Place, slos: Wanted) -> None:
        known = self._histories()
        todo: list[tuple[Slo, Span, Reached]] = []
        for name, slo in slos.items():
            span, there = span_of(known, *name, *place), self._reached[*name, *place]
            if there.is_last and span.is_whole and span.upto >= there.upto:
                self._finished[name] |= {place}
                del self._reached[*name, *place]
            elif span.upto < there.upto or there.is_whole > span.is_whole:
                todo.append((slo, span, there))
        if todo:
            self._pass(place, todo)

    def _pass(self, place: Place, todo: list[tuple[Slo, Span, Reached]]) -> None:
        topic, partition = place
        with closing(self._log.whole(partition)) as whole:
            log_begin = whole.range(topic)[0]
            jobs = [_job(slo, span, there, log_begin) for slo, span, there in todo]
            folded = self._fold(place, min(job.at for job in jobs), log_begin, todo[0][0])
            self._folds.pop(place, None)  # of what fails in between nobody knows how much is folded
            forgotten = folded.facts.forgotten
            # By full days, so that two processes tell the same.
            minutes_from = (self._now() - MINUTES_KEPT_US) // DAY * DAY - DAY
            read = partial(whole.read, topic)
            with folded.facts.beside(whole):
                read_over(folded, jobs, read, self._told, self._seen, minutes_from)
            metrics.FORGOTTEN.inc(folded.facts.forgotten - forgotten)
            self._folds[place] = folded
        self._tell.settle()
        self._await(place, jobs)

    def _fold(self, place: Place, first: int, log_begin: int, slo: Slo) -> Folded:
        """What was read of the partition, if that is not too far; else nothing was read."""
        known = self._folds.get(place)
        if known is not None and known.position <= first:
            return known
        source = SOURCES[slo.definition.indicator.source]
        return new_fold(source, place[1], self._partitions[place[0]], log_begin, self._read)

    def _told(self, counted: CountHistory) -> None:
        if self._stopping.is_set():
            raise _Stopping
        self._tell(counted)

    def _seen(self, count: int) -> None:
        metrics.EVENTS.inc(count)
        if self._stopping.is_set():
            raise _Stopping

    def _await(self, place: Place, jobs: list[Job]) -> None:
        """Waits until the calculator has taken what it was told; after a while without a word it is told again."""
        before, since = 0, time.monotonic()
        while not self._stopping.is_set():
            known, slos = self._histories(), self._slos()
            spans = {
                job.slo_id: span_of(known, job.slo_id, job.measure, *place)
                for job in jobs
                if (slo := slos.get(job.slo_id)) and slo.is_measured and slo.measure == job.measure
            }
            if all(spans[j.slo_id].upto >= j.until for j in jobs if j.slo_id in spans):
                return
            if (now := sum(span.upto for span in spans.values())) > before:
                before, since = now, time.monotonic()
            elif time.monotonic() - since > self._taken_s:
                log.warning(
                    "history is not taken", topic=place[0], partition=place[1], slos=sorted(spans)[:10]
                )
                return
            self._stopping.wait(0.05)

    @contextmanager
    def _holding(self, place: Place) -> Iterator[None]:
        """Other partitions go on if one cannot be read."""
        try:
            yield
        except _Stopping:
            return
        except _PASSING as error:
            why = f"{type(error).__name__}: {error}"
            if self._held.get(place) != why:
                log.warning("history waits", topic=place[0], partition=place[1], why=why)
            self._held[place] = why
        else:
            if self._held.pop(place, ""):
                log.info("history goes on", topic=place[0], partition=place[1])

    def _show(self) -> None:
        """What is still to be done, as far as one knows."""
        known, behind = self._histories(), dict[tuple[str, int], int]()
        for (slo_id, measure, topic, partition), there in self._reached.items():
            span = span_of(known, slo_id, measure, topic, partition)
            if not span.is_whole or span.upto < there.upto:
                name = slo_id, measure
                behind[name] = behind.get(name, 0) + max(there.upto - span.upto, 0)
        metrics.SLOS.set(len(behind))
        metrics.BEHIND.set(max(behind.values(), default=0))
        metrics.HELD.set(len(self._held))


class _Stopping(Exception):
    """It was told to stop in the middle of a pass."""


def _job(slo: Slo, span: Span, there: Reached, log_begin: int) -> Job:
    """What is to be counted; what the log does not have any more is passed over, and the calculator says so."""
    until = max(there.upto, span.upto)
    at = max(span.upto, min(log_begin, until))
    definition = slo.definition
    return Job(
        definition.slo_id, slo.measure, definition.indicator, at, until, there.is_whole, log_begin=log_begin
    )

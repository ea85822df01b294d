"""The projector: follows the log into the archive and the read models.

claim → tables → what is missing → the batch left pending → then, for ever: read a batch while the last is written.
"""

import gc
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar

import structlog

from neural_hive.connectors.kafka_log import CommittedLog, begin_offsets, end_offsets
from neural_hive.projections import metrics, traces
from neural_hive.projections.archive import Archive
from neural_hive.projections.catalogue import PROJECTIONS
from neural_hive.projections.http_store import HttpStore, ServerSettings
from neural_hive.projections.layout import check, layout, past_expired
from neural_hive.projections.parts import Part as DataPart
from neural_hive.projections.parts import drop, set_aside_damaged, torn
from neural_hive.projections.positions import Position, Positions, Standing, TakenOver
from neural_hive.projections.projection import Projection
from neural_hive.projections.ranges import Batch, Part, Place, Range
from neural_hive.projections.read_models import prepare
from neural_hive.projections.rebuilds import keep_open, swap_filled
from neural_hive.projections.repair import NOTHING, Held, Repair, held_rows
from neural_hive.projections.sink import Reached, Sink, UndecodableEvent
from neural_hive.projections.source import LogLost, Source, archive_of, looked_at, part_of
from neural_hive.projections.store import Store, StoreRefused, StoreUnavailable
from neural_hive.schemas.extensions import all_topics
from neural_hive.schemas.topics import Kind

LINGER_S: Final = 0.05
GC_THRESHOLDS: Final = (100_000, 50, 100)
"""Of a process that does nothing else: the records that it holds have no cycles, and are many to look through."""
REBUILDS_EVERY_S: Final = 2.0  # how often it looks for tables that were made anew beside the live ones
_RETRY_FIRST_S: Final = 0.1
_RETRY_MAX_S: Final = 5.0
_LAG_EVERY_S: Final = 1.0

T = TypeVar("T")
log = structlog.get_logger(__name__)


class Secret(Protocol):
    """A password that does not show itself."""

    def get_secret_value(self) -> str:
        """The password."""
        ...


class Settings(ServerSettings, Protocol):
    """What the projector needs of the settings."""

    def kafka_config(self) -> dict[str, Any]:
        """librdkafka's settings of the connection."""
        ...


def run(
    settings: Settings,
    stopping: threading.Event,
    ready: Callable[[bool], None] = lambda ready: None,
) -> None:
    """Follows all topics until `stopping` is set; tells `ready` whether it keeps up its work.

    Raises TakenOver, LogLost, DamagedTable: what must not be gone on from.
    """
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    store = HttpStore.of(settings)
    kinds = {name: topic.kind for name, topic in all_topics().items()}
    try:
        if persist(store.create_database, stopping, ready):
            Projector(store, settings.kafka_config(), kinds, stopping, ready=ready).run()
    finally:
        store.close()


def persist(
    attempt: Callable[[], None], stopping: threading.Event, ready: Callable[[bool], None] = lambda ready: None
) -> bool:
    """Tries until ClickHouse takes it, with growing pauses. False: told to stop before that."""
    pause_s = _RETRY_FIRST_S
    while not stopping.is_set():
        try:
            attempt()
            return True
        except (StoreUnavailable, StoreRefused) as error:
            ready(False)
            metrics.RETRIES.inc()
            log.warning("clickhouse does not take it, trying again", error=str(error)[:500], pause_s=pause_s)
            stopping.wait(pause_s)
            pause_s = min(pause_s * 2, _RETRY_MAX_S)
    return False


class BeginAgain(RuntimeError):
    """What the tables hold is to be looked at again, and mended, before anything more is written."""


class Projector:
    """One projector over some topics; see `run`."""

    def __init__(
        self,
        store: Store,
        config: Mapping[str, Any],
        kinds: Mapping[str, Kind],
        stopping: threading.Event,
        projections: Sequence[Projection] = PROJECTIONS,
        ready: Callable[[bool], None] = lambda ready: None,
        reached: Reached = lambda step: None,
        linger_s: float = LINGER_S,
    ) -> None:
        self._store, self._config, self._projections = store, config, projections
        self._archives: dict[str, Archive] = {name: archive_of(kind) for name, kind in kinds.items()}
        self._derived = {name for name, kind in kinds.items() if kind is Kind.DERIVED}
        self._stopping, self._ready, self._reached, self._linger_s = stopping, ready, reached, linger_s
        self._batches: queue.Queue[Batch | None] = queue.Queue(maxsize=1)
        self._wants = threading.Event()  # the writer waits for a batch, or will when this one could be ready
        self._failure: BaseException | None = None
        self._damage: list[DataPart] = []  # parts that were set aside while the log is followed
        self._has_followed = False
        self._stops: dict[Place, str] = {}

    def run(self) -> None:
        """Until told to stop, or something is found that must not be gone on from."""
        positions = Positions(self._store)
        while not self._stopping.is_set():
            try:
                if (sink := self._begin_until_taken(positions)) is not None:
                    self._follow(sink)
                return
            except BeginAgain as error:
                self._ready(False)
                log.warning("looking at the tables again", why=str(error))

    def _begin_until_taken(self, positions: Positions) -> Sink | None:
        """None: told to stop before that."""
        begun: list[Sink] = []
        persist(lambda: begun.append(self._begin(positions)), self._stopping, self._ready)
        return begun[-1] if begun else None

    def _begin(self, positions: Positions) -> Sink:
        """Everything that comes before following. Ends with all tables at the positions."""
        try:
            return self._begun(positions)
        except StoreRefused as error:
            if error.is_about_files:
                set_aside_damaged(self._store)
            raise

    def _begun(self, positions: Positions) -> Sink:
        if self._has_followed:
            positions.check()  # or two projectors would take over from each other for ever
        claimed = positions.claim()
        positions.server_restarted = False
        prepare(self._store, self._projections)
        keep_open(self._store, self._projections)
        held, set_aside = held_rows(self._store), torn(self._store)
        found = self._located(claimed, held)
        sink = Sink(
            self._store, positions, found.positions, self._projections, self._reached, self._wants.set
        )
        repair = Repair(
            self._store, self._config, self._archives, sink, self._projections, frozenset(self._derived)
        )
        standing = repair.run(found, held, set_aside)
        if standing != found:
            positions.restate(standing)
            sink.standing.update(standing.positions)
        sink.looks = bool(set_aside) or standing != found
        if standing.pending:
            self._write(sink, self._read_again(standing.pending), again=True)
        for part in set_aside:
            drop(self._store, part)
        return sink

    def _located(self, standing: Standing, held: Mapping[Place, Held]) -> Standing:
        """The standing, checked against the log, with new partitions at their beginning.

        What was archived of the batch left pending, Kafka need not have any more.
        """
        ids = layout(self._config, list(self._archives))
        places = [(topic, number) for topic, (_, count) in ids.items() for number in range(count)]
        begins, ends = begin_offsets(self._config, places), end_offsets(self._config, places)
        found = dict(standing.positions)
        pending = tuple(r for r in standing.pending if r.topic in self._archives)
        for place in places:
            topic_id = ids[place[0]][0]
            if place not in found:
                found[place] = Position(*place, topic_id, begins[place], 0)
            else:
                if place[0] in self._derived:
                    found[place] = past_expired(found[place], begins[place])
                check(found[place], topic_id, begins[place], ends[place], held.get(place, NOTHING).last + 1)
        return Standing({place: found[place] for place in places}, pending)

    def _read_again(self, pending: Sequence[Range]) -> Batch:
        parts = []
        for r in pending:
            archive = self._archives[r.topic]
            if self._is_archived(r):
                parts.append(Part(r, archive, ()))  # read models are made from the archive
                continue
            records = list(CommittedLog(self._config, r.topic, r.partition, r.first, r.last + 1))
            if len(records) != r.records:
                raise LogLost(
                    f"{r.topic}:{r.partition} gives {len(records)} records from offset {r.first} to {r.last}, "
                    f"and gave {r.records} before: the log has changed"
                )
            parts.append(part_of(r.place, archive, tuple(looked_at(record, archive) for record in records)))
        return Batch(tuple(parts), {r.place: r.last + 1 for r in pending})

    def _is_archived(self, r: Range) -> bool:
        table = self._archives[r.topic].table
        [(count,)] = self._store.rows(f"SELECT count() FROM {table} WHERE {r.condition}")
        return int(count) == r.records

    def _follow(self, sink: Sink) -> None:
        self._begins_anew()
        source = Source(self._config, self._archives, {k: p.next for k, p in sink.standing.items()})
        for place, reason in self._stops.items():
            source.stop(place, reason)
        writer = threading.Thread(target=self._keep_writing, args=(sink,), name="writer")
        writer.start()
        threading.Thread(target=self._look_through, name="parts", daemon=True).start()
        try:
            self._keep_reading(source)
        finally:
            self._hand_over(None)
            writer.join()
            source.close()
        if self._failure is not None:
            raise self._failure
        if self._damage:
            raise BeginAgain(f"damaged parts: {self._damage}")
        self._pass_markers(source, sink)

    def _begins_anew(self) -> None:
        self._has_followed, self._failure, self._damage = True, None, []
        self._batches = queue.Queue(maxsize=1)
        self._wants.clear()

    def _look_through(self) -> None:
        """Reads all files of the tables once, beside all else: what was damaged while nothing ran is found soon."""
        try:
            self._damage = set_aside_damaged(self._store, self._stopping.is_set)
        except (StoreUnavailable, StoreRefused) as error:
            log.warning("not all parts were looked at", error=str(error)[:500])

    def _pass_markers(self, source: Source, sink: Sink) -> None:
        """Tells, before the end, what is told seldom: once Kafka has deleted markers, they could have been records.

        Tried once: who is told to stop waits for nobody.
        """
        nexts = {p: to for p, (start, to) in source.passed().items() if sink.standing[p].next == start}
        try:
            if nexts:
                sink.write(Batch((), nexts))
        except (StoreUnavailable, StoreRefused, TakenOver) as error:
            log.warning("the last positions are not told", error=str(error)[:500])

    def _keep_reading(self, source: Source) -> None:
        lag_at = 0.0
        while not self._stopping.is_set() and self._failure is None and not self._damage:
            batch = source.batch(self._linger_s, self._is_wanted)
            for place, reason in list(self._stops.items()):
                source.stop(place, reason)
            if batch.nexts:
                self._wants.clear()  # at once, or a second one would be cut before the writer has come
                self._hand_over(batch.with_containers())
            elif self._batches.empty():
                self._ready(not source.stopped)
            if time.monotonic() > lag_at:
                lag_at = time.monotonic() + _LAG_EVERY_S
                metrics.tell(source.lags(), source.stopped)

    def _is_wanted(self) -> bool:
        """Whether the batch that is being read should end: the writer waits for it, will soon, or takes no more.

        Not as soon as there is room for it: what comes while it would lie there can go with it.
        """
        is_over = self._failure is not None or bool(self._damage) or self._stopping.is_set()
        return is_over or (self._wants.is_set() and self._batches.empty())

    def _hand_over(self, batch: Batch | None) -> None:
        """Waits for the writer; while ClickHouse is away this is where reading waits too."""
        while self._failure is None:
            try:
                self._batches.put(batch, timeout=0.2)
                return
            except queue.Full:
                continue

    def _keep_writing(self, sink: Sink) -> None:
        looked_at = 0.0
        try:
            while True:
                if time.monotonic() - looked_at > REBUILDS_EVERY_S:
                    self._swap_filled(sink)
                    looked_at = time.monotonic()
                self._wants.set()
                try:
                    batch = self._batches.get(timeout=REBUILDS_EVERY_S)
                except queue.Empty:
                    continue
                self._wants.clear()
                if batch is None:
                    return
                if not self._stopping.is_set() or batch.parts:
                    self._write_until_taken(sink, batch)
        except BaseException as error:  # handed to the reading thread, which ends with it
            self._failure = error

    def _swap_filled(self, sink: Sink) -> None:
        """Puts tables that were made anew in their place. If ClickHouse does not take it now, then the next time."""
        try:
            swap_filled(self._store, self._projections, sink.standing, sink.positions.fence)
        except (StoreUnavailable, StoreRefused) as error:
            log.warning("tables made anew wait for their place", error=str(error)[:500])

    def _write_until_taken(self, sink: Sink, batch: Batch) -> None:
        tried: list[bool] = []

        def attempt() -> None:
            again = bool(tried)
            tried.append(True)
            try:
                self._write(sink, batch, again)
            except StoreRefused as error:
                if error.is_about_files and (damage := set_aside_damaged(self._store)):
                    raise BeginAgain(f"damaged parts: {damage}") from error
                raise

        if persist(attempt, self._stopping, self._ready):
            if sink.positions.server_restarted:
                raise BeginAgain("ClickHouse was started anew, and may have set parts aside")
            self._ready(not self._stops)

    def _write(self, sink: Sink, batch: Batch, again: bool) -> None:
        batch = _without(batch, self._stops)
        while batch.nexts:
            started_at = time.monotonic()
            try:
                sink.write(batch, again)
                took_s = time.monotonic() - started_at
                metrics.written(batch, took_s)
                traces.written(batch, took_s)
                return
            except UndecodableEvent as error:
                self._stops[error.place] = f"offset {error.offset}: {error.reason}"
                batch, again = _cut(batch, error), False


def _without(batch: Batch, stops: Mapping[Place, str]) -> Batch:
    """The batch without partitions that have stopped since it was read."""
    if not stops:
        return batch
    parts = tuple(part for part in batch.parts if part.range.place not in stops)
    return Batch(parts, {place: n for place, n in batch.nexts.items() if place not in stops})


def _cut(batch: Batch, error: UndecodableEvent) -> Batch:
    """The batch with the partition of a bad event cut off before it."""
    parts: list[Part] = []
    nexts = dict(batch.nexts)
    for part in batch.parts:
        if part.range.place != error.place:
            parts.append(part)
            continue
        rows = tuple(row for row in part.rows if row.record.offset < error.offset)
        del nexts[error.place]
        if rows:
            parts.append(part_of(error.place, part.archive, rows))
            nexts[error.place] = error.offset
    return Batch(tuple(parts), nexts)

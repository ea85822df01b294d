"""One pass over a source's partition for all SLOs whose history is not counted: folds, sums up, and tells in ranges.

Ranges end at round offsets, at an SLO's aim, and where a message is full; so who begins at the same place tells the
same, and of two that work at once each range counts once.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import msgspec
import structlog

from neural_hive.aggregates.budget import Counted, hour_of, minute_of
from neural_hive.aggregates.sli_expression import Facts as Said
from neural_hive.aggregates.sli_history import HistoryPart
from neural_hive.aggregates.slo import Indicator
from neural_hive.connectors.record import Record
from neural_hive.schemas.codec import BadRecord
from neural_hive.streams.kernel.reading import MessageReader
from neural_hive.streams.sla.history import CountHistory
from neural_hive.streams.sli.facts import Sample
from neural_hive.streams.sli.index import Meter, meter_of
from neural_hive.streams.sli_history.facts import Facts, HistorySource

RANGE_OFFSETS: Final = 50_000  # after so many an SLO tells what it has counted
EMPTY_RANGES: Final = 10  # and after so many of them that there was nothing
ROWS_MAX: Final = 2_000  # minutes of budgets, in one message

_GOOD: Final = 1 << 64  # one good event; valid ones are the units: a number costs less than an object

log = structlog.get_logger()


class Job(msgspec.Struct):
    """An SLO whose history is counted in one partition."""

    slo_id: str
    measure: int
    indicator: Indicator
    at: int  # from where on it is counted
    until: int
    is_whole: bool  # whether all is counted then
    log_begin: int = 0
    sums: dict[str, dict[int, int]] = {}  # dimension → minute → good and valid, see _GOOD
    rows: int = 0  # how many they are
    is_done: bool = False
    meter: Meter | None = None

    def __post_init__(self) -> None:
        self.meter = meter_of(self.slo_id, self.measure, self.indicator)

    def add(self, minute: int, facts: Said, events: int) -> None:
        """Counts events that are alike."""
        meter = self.meter
        if meter is None or not meter.valid.holds(facts):
            return
        dimension = meter.dimension(facts)
        sums = self.sums.get(dimension)
        if sums is None:
            sums = self.sums[dimension] = {}
        before = sums.get(minute, 0)
        self.rows += not before
        sums[minute] = before + events * (_GOOD + 1 if meter.good.holds(facts) else 1)

    def told(self, topic: str, partition: int, partitions: int, end: int) -> CountHistory:
        """What was counted up to an offset; from there on it counts anew."""
        parts = tuple(
            HistoryPart(name, tuple(Counted(at, *divmod(both, _GOOD)) for at, both in sorted(sums.items())))
            for name, sums in sorted(self.sums.items())
        )
        begin, self.at, self.sums, self.rows = self.at, end, {}, 0
        self.is_done = end >= self.until
        return CountHistory(
            self.slo_id,
            self.measure,
            topic,
            partition,
            partitions,
            begin,
            end,
            self.log_begin,
            self.until,
            self.is_whole and self.is_done,
            parts,
        )


class Folded(msgspec.Struct):
    """A partition as it was read so far."""

    source: HistorySource
    partition: int
    partitions: int
    facts: Facts
    position: int = 0  # what is before it is folded


Tell = Callable[[CountHistory], None]
ReadRange = Callable[[int, int], Iterable[Record]]  # the committed records from one offset to another


def read_over(
    folded: Folded,
    jobs: list[Job],
    read: ReadRange,
    tell: Tell,
    seen: Callable[[int], None],
    minutes_from: int,
) -> None:
    """Counts all jobs to their ends; what happened before `minutes_from` (µs, a full hour) by hours.

    `seen` hears how many records were read.

    Raises UnknownSchema: a newer build wrote an event; and what `read` and `Facts.read` raise. What was told stands.
    """
    end = max((job.until for job in jobs), default=0)
    ranges = _Ranges(folded, jobs, tell, minutes_from)
    for offset, said in _said(folded, read, end, seen):
        ranges.pass_by(offset)
        ranges.add(offset, _samples(folded, offset, said))
    folded.position = max(folded.position, end)
    ranges.end()


def _said(
    folded: Folded, read: ReadRange, end: int, seen: Callable[[int], None]
) -> Iterator[tuple[int, Any]]:
    """The records that say something, with their offsets, each once its predecessors are folded."""
    count = 0
    if folded.position >= end:
        return
    try:
        for record in read(folded.position, end):
            count += 1
            if count >= 1_000:
                seen(count)
                count = 0
            if (said := _read(folded, record)) is not None:
                yield record.offset, said
            folded.position = record.offset + 1
    finally:
        seen(count)


def _read(folded: Folded, record: Record) -> Any | None:
    """What a record says; None: nothing, or nobody can decode it, and then it was not counted as it came either."""
    try:
        return folded.facts.read(record)
    except BadRecord as error:
        _not_counted(folded, record.offset, str(error))
        return None


def _samples(folded: Folded, offset: int, said: Any) -> Iterable[Sample]:
    try:
        return folded.facts.take(said)
    except (LookupError, TypeError, ValueError) as error:  # as above: `sli` had the same error with it
        _not_counted(folded, offset, f"{type(error).__name__}: {error}")
        return ()


def _not_counted(folded: Folded, offset: int, why: str) -> None:
    log.error("not counted", place=f"{folded.source.topic}:{folded.partition}:{offset}", why=why)


class _Ranges:
    """Cuts what is counted into ranges."""

    def __init__(self, folded: Folded, jobs: list[Job], tell: Tell, minutes_from: int) -> None:
        self._folded, self._tell, self._minutes_from = folded, tell, minutes_from
        self._jobs = jobs
        self._next = 0  # the next round offset
        self._begin_at(folded.position)

    def add(self, offset: int, samples: Iterable[Sample]) -> None:
        """All that the record at an offset says: it is in one range, the whole of it."""
        jobs = [job for job in self._jobs if job.at <= offset < job.until]
        for sample in samples:
            minute = minute_of(sample.at)
            if minute < self._minutes_from:
                minute = hour_of(minute)
            for job in jobs:
                job.add(minute, sample.facts, sample.events)
        for job in jobs:
            if job.rows >= ROWS_MAX:
                self._cut(job, offset + 1)

    def pass_by(self, offset: int) -> None:
        """An event at an offset comes next: the ranges that end before it are told."""
        if offset < self._next:
            return
        last = offset // RANGE_OFFSETS * RANGE_OFFSETS
        for job in self._jobs:
            cut = min(last, job.until)
            is_due = job.rows > 0 or job.until <= cut or last % (EMPTY_RANGES * RANGE_OFFSETS) == 0
            if job.at < cut and is_due:
                self._cut(job, cut)
        self._begin_at(offset)

    def end(self) -> None:
        """All was read."""
        for job in self._jobs:
            if not job.is_done:
                self._cut(job, job.until)

    def _begin_at(self, offset: int) -> None:
        self._next = (offset // RANGE_OFFSETS + 1) * RANGE_OFFSETS

    def _cut(self, job: Job, end: int) -> None:
        folded = self._folded
        self._tell(job.told(folded.source.topic, folded.partition, folded.partitions, end))


def new_fold(
    source: HistorySource, partition: int, partitions: int, begin: int, read: MessageReader
) -> Folded:
    """A partition of which nothing was read: it begins at an offset. `read`: reads what others wrote."""
    return Folded(source, partition, partitions, source.facts(read), begin)

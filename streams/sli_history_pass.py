"""One pass over a source's partition for all SLOs whose history is not counted: folds, sums up, and tells in ranges.

Ranges end at round offsets, at an SLO's aim, and where a message is full; so who begins at the same place tells the
same, and of two that work at once each range counts once.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec
import structlog

from neural_hive.aggregates.budget import Counted, hour_of, minute_of
from neural_hive.aggregates.sli_expression import Facts as Said
from neural_hive.aggregates.sli_history import HistoryPart
from neural_hive.aggregates.slo import Indicator
from neural_hive.connectors.record import Record
from neural_hive.schemas.catalogue import UnknownSchema, registered
from neural_hive.schemas.codec import FRAME_BYTES, BadRecord, decode, schema_id
from neural_hive.schemas.envelope import Envelope
from neural_hive.streams.kernel.system import Happened
from neural_hive.streams.sla_history import CountHistory
from neural_hive.streams.sli_facts import Sample
from neural_hive.streams.sli_history_facts import Facts, HistorySource
from neural_hive.streams.sli_index import Meter, meter_of

RANGE_OFFSETS: Final = 50_000  # after so many an SLO tells what it has counted
EMPTY_RANGES: Final = 10  # and after so many of them that there was nothing
ROWS_MAX: Final = 2_000  # minutes of budgets, in one message

_GOOD: Final = 1 << 40  # one good event; valid ones are the units: a number costs less than an object

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

    def add(self, minute: int, facts: Said) -> None:
        """Counts an event."""
        meter = self.meter
        if meter is None or not meter.valid.holds(facts):
            return
        dimension = meter.dimension(facts)
        sums = self.sums.get(dimension)
        if sums is None:
            sums = self.sums[dimension] = {}
        before = sums.get(minute, 0)
        self.rows += not before
        sums[minute] = before + (_GOOD + 1 if meter.good.holds(facts) else 1)

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

    Raises UnknownSchema: a newer build wrote an event; and what `read` raises. What was told stands.
    """
    end = max((job.until for job in jobs), default=0)
    ranges = _Ranges(folded, jobs, tell, minutes_from)
    for happened in _events(folded, read, end, seen):
        offset = happened.record.offset
        ranges.pass_by(offset)
        for sample in _samples(folded, happened):
            ranges.add(offset, sample)
    folded.position = max(folded.position, end)
    ranges.end()


def _events(folded: Folded, read: ReadRange, end: int, seen: Callable[[int], None]) -> Iterator[Happened]:
    """The events that say something, each once its predecessors are folded."""
    count, wanted = 0, _Wanted(folded.source.types)
    if folded.position >= end:
        return
    try:
        for record in read(folded.position, end):
            count += 1
            if count >= 1_000:
                seen(count)
                count = 0
            if (value := record.value) and wanted.is_one(value) and (happened := _happened(record)):
                yield happened
            folded.position = record.offset + 1
    finally:
        seen(count)


def _happened(record: Record) -> Happened | None:
    """An event; None: what cannot be decoded was not counted as it came either, but is a dead letter."""
    try:
        decoded = decode(record.value or b"", "event")
    except BadRecord as error:
        log.error("not counted", place=f"{record.topic}:{record.partition}:{record.offset}", why=str(error))
        return None
    assert isinstance(decoded.head, Envelope)
    return Happened(record, (record.key or b"").decode(errors="replace"), decoded.head, decoded.payload)


def _samples(folded: Folded, happened: Happened) -> Iterable[Sample]:
    try:
        return folded.facts.take(happened)
    except (LookupError, TypeError, ValueError) as error:  # as above: `sli` had the same error with it
        record = happened.record
        why = f"{type(error).__name__}: {error}"
        log.error("not counted", place=f"{record.topic}:{record.partition}:{record.offset}", why=why)
        return ()


class _Wanted:
    """Tells by its first bytes whether an event is of one of some types."""

    def __init__(self, types: frozenset[str]) -> None:
        self._types = types
        self._known: dict[bytes, bool] = {}

    def is_one(self, value: bytes) -> bool:
        """Raises UnknownSchema."""
        found = self._known.get(value[:FRAME_BYTES])
        return self._look(value) if found is None else found

    def _look(self, value: bytes) -> bool:
        try:
            number = schema_id(value)
        except BadRecord:
            return True  # decoding it will say what is wrong
        row = registered().get(number)
        if row is None:
            raise UnknownSchema(f"this build does not know schema id {number}: a newer one wrote an event")
        found = self._known[value[:FRAME_BYTES]] = row.name in self._types
        return found


class _Ranges:
    """Cuts what is counted into ranges."""

    def __init__(self, folded: Folded, jobs: list[Job], tell: Tell, minutes_from: int) -> None:
        self._folded, self._tell, self._minutes_from = folded, tell, minutes_from
        self._jobs = jobs
        self._next = 0  # the next round offset
        self._begin_at(folded.position)

    def add(self, offset: int, sample: Sample) -> None:
        """What the event at an offset says."""
        facts, minute = sample.facts, minute_of(sample.at)
        if minute < self._minutes_from:
            minute = hour_of(minute)
        for job in self._jobs:
            if job.at <= offset < job.until:
                job.add(minute, facts)
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


def new_fold(source: HistorySource, partition: int, partitions: int, begin: int) -> Folded:
    """A partition of which nothing was read: it begins at an offset."""
    return Folded(source, partition, partitions, source.facts(), begin)

"""Metric windows as history reads them: those count that the system `sli` has noted, and no other.

    telemetry.aggregated   all that was sent: twice, overlapping, too late, or of no sense
    sla.sources            MetricWindowNoted → which of them count, by their offsets

Whether a window counts depends on what came before it, and on what was forgotten meanwhile. `sli` decides that once,
when the window comes, whichever SLOs ask for it; so what history counts and what comes afterwards cannot be the same
window, however often it is sent. Both topics are read side by side: notes stand in the order of the windows.
"""

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Final

import msgspec

from neural_hive.aggregates.metric_series import METRIC_SERIES, MetricWindowNoted
from neural_hive.aggregates.metric_window import TOPIC, MetricWindow
from neural_hive.connectors.kafka_log import LostLog
from neural_hive.connectors.record import Record
from neural_hive.projections.whole_log import Readable
from neural_hive.schemas.codec import BadRecord, decode
from neural_hive.schemas.envelope import Envelope
from neural_hive.streams.kernel.reading import MessageReader
from neural_hive.streams.sli.facts import Sample
from neural_hive.streams.sli.telemetry import weighed
from neural_hive.streams.sli_history.types import Types

_NOTES: Final = METRIC_SERIES.topic


class Windows:
    """See Facts: the windows of a partition that count."""

    forgotten = 0  # each says all by itself

    def __init__(self, read: MessageReader) -> None:
        self._read_message = read
        self._types = Types(frozenset({MetricWindowNoted.__name__}))
        self._next = 0  # what is before it in the topic of the notes was read
        self._noted = -1  # the offset of the last window of which a note was read
        self._notes: Iterator[int] = iter(())

    @contextmanager
    def beside(self, log: Readable) -> Iterator[None]:
        """See Facts.beside. Raises LostLog: notes are gone.

        What `sli` had committed when one has looked how far history goes stands in the log by now, its notes too.
        """
        begin, end = log.range(_NOTES)
        if begin > self._next:
            raise LostLog(_NOTES, log.partition, self._next, "it says which windows count")
        with closing(self._offsets(log, end)) as self._notes:
            yield

    def _offsets(self, log: Readable, end: int) -> Generator[int, None, None]:
        """The offsets of the windows that count, in their order."""
        for record in log.read(_NOTES, self._next, end):
            self._next = record.offset + 1
            if (value := record.value) and self._types.has(value):
                head = _head(record, value)
                if head.source_topic == TOPIC:
                    yield head.source_offset

    def read(self, record: Record) -> MetricWindow | None:
        """See Facts.read."""
        if not self._counts(record.offset):
            return None
        return msgspec.convert(self._read_message(record.value or b"").payload, MetricWindow)

    def _counts(self, offset: int) -> bool:
        while self._noted < offset:
            if (noted := next(self._notes, None)) is None:
                return False
            self._noted = noted
        return self._noted == offset

    def take(self, said: MetricWindow) -> Iterable[Sample]:
        """See Facts.take."""
        return (Sample(said.last_at, each.facts, each.events) for each in weighed(said))


def _head(record: Record, value: bytes) -> Envelope:
    """Raises LostLog: a note that cannot be read is as good as gone."""
    try:
        head = decode(value, "event").head
    except BadRecord as error:
        raise LostLog(record.topic, record.partition, record.offset, str(error)) from error
    assert isinstance(head, Envelope)
    return head

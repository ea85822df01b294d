"""The events of one writer partition, all its topics merged by sequence, with their envelopes read."""

from collections.abc import Iterator, Mapping
from hashlib import sha256

from neural_hive.connectors.kafka_log import merged
from neural_hive.replay.checks.chain import Event
from neural_hive.replay.envelopes import EnvelopeReader
from neural_hive.replay.reader import LogSource, Range
from neural_hive.replay.report import Check, Findings
from neural_hive.schemas.catalogue import UnknownSchema
from neural_hive.schemas.codec import BadRecord


class EventStream:
    """Reads events; what cannot be read is noted once, and left out."""

    def __init__(self, source: LogSource, findings: Findings) -> None:
        self._source, self._findings = source, findings
        self._reader = EnvelopeReader()

    def events(self, partition: int, ranges: Mapping[str, Range]) -> Iterator[Event]:
        """The events of a partition over these topics, in the order in which they were written."""
        readers = [self._topic(topic, partition, *bounds) for topic, bounds in ranges.items()]
        numbered = readers[0] if len(readers) == 1 else merged(readers)
        for _, event in numbered:
            yield event

    def _topic(self, topic: str, partition: int, first: int, end: int) -> Iterator[tuple[int, Event]]:
        read, findings = self._reader.located, self._findings
        for batch in self._source.batches(topic, partition, first, end):
            findings.examined[Check.DECODE] += len(batch)
            for record in batch:
                try:
                    value = record.value or b""
                    lead, rest, payload_at = read(value)
                except (BadRecord, UnknownSchema) as error:
                    place = f"{topic}:{partition}:{record.offset}"
                    findings.add(Check.DECODE, place, "", "an event of this system", error)
                    continue
                yield rest["sequence"], Event(record, lead, rest, payload_at, sha256(value).digest())

"""The index of one log, brought up to what Kafka has of it; and the log compared with what the index had of it."""

from collections.abc import Iterable
from hashlib import sha256
from typing import Final

from neural_hive.connectors.kafka_log import Record
from neural_hive.eventsourcing.draft import BrokenLog, Draft
from neural_hive.eventsourcing.index import Index
from neural_hive.eventsourcing.records import read
from neural_hive.schemas.codec import BadRecord
from neural_hive.streams.kernel.partition_log import KafkaPartitionLog

FOLD_RECORDS: Final = 5_000  # of the log, in one write of the index


class Follower:
    """See above; for one thread at a time. Every call may raise Indefinite, StalledLog, StateUnusable: not now.

    BrokenLog, LostLog: the log is not what it was.
    """

    def __init__(self, topic: str, kafka: KafkaPartitionLog, index: Index) -> None:
        self.topic, self.index = topic, index
        self.next = index.position.offset + 1  # the offset that reading goes on from
        self.is_found = False  # whether `wanted` was read
        self._wanted = b""
        self._kafka = kafka

    def resume(self, topic_id: str, end: int) -> None:
        """Reads what the index lacks up to an end, after a look at the last record that it has."""
        at = self.index.position
        if at.topic_id != topic_id:
            raise BrokenLog(f"the topic {self.topic} was made anew. {self._advice()}")
        end = max(end, at.offset + 1)
        records = self._kafka.read(self.topic, max(at.offset, 0), end)
        if at.offset >= 0:
            known = next(records, None)
            if known is None or known.offset != at.offset or sha256(known.value or b"").digest() != at.hash:
                raise BrokenLog(
                    f"{self.topic} has another record at offset {at.offset} than it had. {self._advice()}"
                )
        self._fold(records)
        self.next = end

    def want(self, wanted: bytes) -> None:
        """Looks out for a record with this hash in what is read from here on."""
        self._wanted, self.is_found = wanted, False

    def follow(self, end: int) -> None:
        """Reads up to an end."""
        if end > self.next:
            self._fold(self._kafka.read(self.topic, self.next, end))
            self.next = end

    def draft(self) -> Draft:
        """What is to be added."""
        return Draft(self.index.position, self.index.get)

    def write(self, draft: Draft) -> None:
        """Adds it; the position of the draft has the offset of its last record."""
        self.index.write(draft)
        self.next = draft.position.offset + 1

    def _fold(self, records: Iterable[Record]) -> None:
        draft = self.draft()
        for count, record in enumerate(records, 1):
            try:
                entry = read(record.value or b"")
                draft.add(entry, record.offset)
            except (BadRecord, BrokenLog) as error:
                raise BrokenLog(
                    f"{self.topic}:{record.partition} at offset {record.offset}: {error}"
                ) from error
            self.is_found = self.is_found or entry.hash == self._wanted
            if count % FOLD_RECORDS == 0:
                self.write(draft)
                draft = self.draft()
        if draft.rows:
            self.write(draft)

    def _advice(self) -> str:
        return f"Recorded events were lost: restore the log, or remove {self.index.folder} to go on with what is left"

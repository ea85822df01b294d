"""One reader over the log: the same records from Kafka, or from the archive where Kafka has no more."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from neural_hive.connectors.kafka_log import (
    CALL_TIMEOUT_S,
    CommittedLog,
    Record,
    UnreadableLog,
    begin_offsets,
    end_offsets,
)
from neural_hive.replay.report import Part

Range = tuple[int, int]  # first offset, and the one that follows the last


class LogSource(Protocol):
    """Somewhere that whole partitions can be read from, in the order of the log."""

    def ranges(self, topic: str) -> Mapping[int, Range]:
        """What there is of each partition now. Raises UnreadableLog: the topic is not there."""
        ...

    def batches(self, topic: str, partition: int, first: int, end: int) -> Iterator[list[Record]]:
        """The records of [first, end), in lists."""
        ...

    @property
    def parts(self) -> list[Part]:
        """What was read so far, and where."""
        ...


class KafkaSource:
    """The log itself: committed records, transaction markers and aborted ones left out."""

    def __init__(self, config: Mapping[str, Any], stall_s: float = 30.0) -> None:
        self.config = config
        self.parts: list[Part] = []
        self._stall_s = stall_s

    def ranges(self, topic: str) -> dict[int, Range]:
        """See LogSource.ranges; the end includes what open transactions hold: reading waits for them."""
        admin = AdminClient({"log_level": 3, **self.config})
        try:
            known = admin.list_topics(topic, timeout=CALL_TIMEOUT_S).topics[topic]
        except KafkaException as error:
            raise UnreadableLog(f"{topic}: {error.args[0].str()}") from error
        if known.error is not None:
            raise UnreadableLog(f"{topic}: {known.error.str()}")
        places = [(topic, partition) for partition in sorted(known.partitions)]
        begins, ends = begin_offsets(self.config, places), end_offsets(self.config, places)
        return {place[1]: (begins[place], ends[place]) for place in places}

    def batches(self, topic: str, partition: int, first: int, end: int) -> Iterator[list[Record]]:
        """See LogSource.batches. Raises StalledLog, LostLog, UnreadableLog."""
        count = 0
        for batch in CommittedLog(self.config, topic, partition, first, end, self._stall_s).batches():
            count += len(batch)
            yield batch
        self.parts.append(Part("kafka", topic, partition, first, end, count))

"""A partition's log from its first record on: what Kafka has, and before that what the archive keeps of it.

Kafka may have deleted the beginning of a topic (retention, DeleteRecords), and the state is the fold of all of it. The
archive is asked only where Kafka has no more; what it says is looked at as sharply as what Kafka says.
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

import structlog

from neural_hive.connectors.clickhouse import ClickHouseError
from neural_hive.connectors.kafka_log import LostLog, Record
from neural_hive.projections.positions import Position
from neural_hive.projections.ranges import Place

log = structlog.get_logger()


class ArchiveAway(ConnectionError):
    """The archive is needed, and does not answer: try again later."""


class Archive(Protocol):
    """Where the log is kept for longer than Kafka keeps it. Every call raises ClickHouseError."""

    def positions(self) -> Mapping[Place, Position]:
        """How far each partition is archived."""
        ...

    def batches(self, topic: str, partition: int, first: int, end: int) -> Iterator[list[Record]]:
        """The records of [first, end), in lists."""
        ...

    def close(self) -> None:
        """Lets the server go."""
        ...


OpenArchive = Callable[[], Archive]


class Readable(Protocol):
    """The same partition of some topics, to be read."""

    @property
    def partition(self) -> int: ...

    def range(self, topic: str) -> tuple[int, int]:
        """The first offset that there is, and the one that follows the last, open transactions included."""
        ...

    def read(self, topic: str, first: int, end: int) -> Iterator[Record]:
        """The committed records of [first, end). Raises StalledLog, LostLog."""
        ...


class WholeLog:
    """See Readable: Kafka's log, and the archive before it. For one thread and a short while; close it.

    Raises ArchiveAway.
    """

    def __init__(
        self, kafka: Readable, topic_ids: Mapping[str, str], open_archive: OpenArchive | None
    ) -> None:
        """`topic_ids`: of the topics that may be continued by the archive, which must be of the same ones."""
        self.partition = kafka.partition
        self._kafka, self._topic_ids, self._open_archive = kafka, topic_ids, open_archive
        self._archive: Archive | None = None
        self._archived: Mapping[Place, Position] = {}

    def range(self, topic: str) -> tuple[int, int]:
        """The first offset that there is, in the archive or in Kafka, and the one that follows Kafka's last."""
        begin, end = self._kafka.range(topic)
        if begin == 0:
            return begin, end
        if why_not := self._why_not(topic, begin):
            place = f"{topic}:{self.partition}"
            log.warning("the beginning of the log is gone", place=place, begin=begin, why=why_not)
            return begin, end
        return 0, end

    def read(self, topic: str, first: int, end: int) -> Generator[Record, None, None]:
        """The committed records of [first, end). Raises StalledLog, LostLog."""
        while first < end:
            begin = self._kafka.range(topic)[0]
            if first < begin:
                stop = min(begin, end)
                yield from self._read_archive(topic, first, stop)
                first = stop
                continue
            try:
                for record in self._kafka.read(topic, first, end):
                    yield record
                    first = record.offset + 1
                return
            except LostLog:
                if self._kafka.range(topic)[0] <= first:
                    raise  # it was not deleted meanwhile: it is gone

    def _read_archive(self, topic: str, first: int, end: int) -> Iterator[Record]:
        if why_not := self._why_not(topic, end):
            raise LostLog(
                topic, self.partition, first, f"Kafka has no record before offset {end}, and {why_not}"
            )
        log.info("reading the archive", topic=topic, partition=self.partition, first=first, end=end)
        with _answering():
            assert self._archive is not None
            for batch in self._archive.batches(topic, self.partition, first, end):
                yield from batch

    def _why_not(self, topic: str, end: int) -> str | None:
        """Why the archive cannot give what was before an offset; None: it can."""
        if self._open_archive is None:
            return "there is no archive to go on with"
        with _answering():
            if self._archive is None:
                self._archive = self._open_archive()
            archived = self._archived.get((topic, self.partition))
            if archived is None or archived.next < end:
                self._archived = self._archive.positions()
                archived = self._archived.get((topic, self.partition))
        if archived is None:
            return "the archive has nothing of it"
        if archived.topic_id != self._topic_ids.get(topic):
            return f"the archive is of another topic of that name (topic id {archived.topic_id})"
        return None if archived.next >= end else f"the archive ends at offset {archived.next}"

    def close(self) -> None:
        """Lets the archive go."""
        if self._archive is not None:
            self._archive.close()
            self._archive = None


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except ClickHouseError as error:
        if error.is_passing:
            raise ArchiveAway(f"Kafka has no more, and the archive does not answer: {error}") from error
        raise

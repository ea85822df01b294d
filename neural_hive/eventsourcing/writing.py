"""The one writer of a log: it takes over, and then adds transactions to the log first and to the index second."""

import time
from enum import Enum, auto
from typing import Final

import msgspec
import structlog
from eventsourcing.persistence import OperationalError

from neural_hive.connectors.kafka_log import StalledLog
from neural_hive.eventsourcing.draft import Draft
from neural_hive.eventsourcing.following import Follower
from neural_hive.streams.kernel.partition_log import Fenced, Indefinite, KafkaPartitionLog
from neural_hive.streams.kernel.rocks import StateUnusable
from neural_hive.streams.kernel.unit import Output

SETTLE_S: Final = 30.0  # how long it is tried to find out what became of an insert
SETTLE_PAUSE_S: Final = 0.5
log = structlog.get_logger()


class Role(Enum):
    """What this process is to the log."""

    READER = auto()  # follows it; becomes the writer with its first insert
    WRITER = auto()
    REPLACED = auto()  # was the writer, and is a reader for good


class Writer:
    """See above; for one thread at a time. Raises what Follower raises, and Fenced: there is another writer."""

    def __init__(self, kafka: KafkaPartitionLog, follower: Follower) -> None:
        self.role = Role.READER
        self._kafka, self._follower, self._topic = kafka, follower, follower.topic

    def own(self) -> None:
        """Becomes the writer, with all of the log in the index."""
        if self.role is Role.WRITER:
            return
        if self.role is Role.REPLACED:
            raise Fenced(self._topic)
        try:
            self._kafka.take_over()
        except Fenced:
            self.role = Role.REPLACED
            raise
        self._follow_all()
        self.role = Role.WRITER

    def commit(self, draft: Draft, records: list[tuple[bytes, bytes]]) -> None:
        """To the log, and then to the index. Raises OperationalError: it was not recorded, or that is not known."""
        outputs = [Output(self._topic, self._kafka.partition, key, value, [], None) for key, value in records]
        outputs[-1] = msgspec.structs.replace(outputs[-1], hash=draft.position.hash)  # its offset is told
        try:
            offset = self._kafka.commit(outputs, {})[self._topic]
        except (Indefinite, Fenced) as error:
            self.role = Role.READER if isinstance(error, Indefinite) else Role.REPLACED
            self._settle(draft, error)
            return
        except BaseException:
            self.role = Role.READER  # whatever became of it: the next insert finds out
            raise
        draft.position = msgspec.structs.replace(draft.position, offset=offset)
        try:
            self._follower.write(draft)
            self._follower.next += 1  # the end of the transaction has an offset too
        except StateUnusable as error:
            self.role = Role.READER  # the log has it: it is read from there
            log.error("recorded, but not in the index", topic=self._topic, why=str(error))

    def _settle(self, draft: Draft, unknown: Indefinite | Fenced) -> None:
        """Finds out whether a transaction was committed. Raises what follows if it was not, or cannot be known yet."""
        self._follower.want(draft.position.hash)
        until = time.monotonic() + SETTLE_S
        while True:
            try:
                self._read_all()
                break
            except (Indefinite, StalledLog, StateUnusable) as error:
                if time.monotonic() > until:
                    raise OperationalError(
                        f"it is not known whether this insert was recorded ({unknown}), and the log cannot be read "
                        f"now ({error}). Insert it again later: if it was recorded, that raises IntegrityError"
                    ) from error
                time.sleep(SETTLE_PAUSE_S)
        if self._follower.is_found:
            return
        if isinstance(unknown, Fenced):
            raise unknown
        raise OperationalError(f"this insert was not recorded ({unknown}); insert it again")

    def _read_all(self) -> None:
        """Reads the log to an end behind which nothing of this process can come."""
        try:
            self.own()
        except Fenced:  # who has taken over has also decided what was open
            self._follow_all()

    def _follow_all(self) -> None:
        self._follower.follow(self._kafka.range(self._topic)[1])

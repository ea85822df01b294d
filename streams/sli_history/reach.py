"""How far history goes in a partition of a source: up to where its events are counted as they come.

The system `sli` reads each partition in order. At the first event that it reads once it knows an SLO it writes a cursor
(SliSourceOpened), in the transaction that commits its own offset behind that event. What stands before the cursor is
history; from the cursor on it counts what comes.

Where there is no cursor (nothing has come yet), it is not known where one will stand, but not before G, the offset that
`sli` has committed: it will be at an event that is still to be read. So [0, G) is history, if G is read *first*, and
then there is no cursor among all that was written. Were cursors read first, one could be written behind that look, and
G committed behind the cursor: what lies between would count twice.

What G's transaction has written is among what is read then: its records were in the log before it could be committed,
so the log's end, open transactions included, is behind them; and reading waits until these have ended.

Later cursors and offsets only add to what was taken for history: [G, cursor) is counted with the next look.
"""

from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import Any, Final, Protocol

import msgspec
from confluent_kafka import TopicPartition

from neural_hive.aggregates.sli_cursor import SLI_CURSOR, cursor_id_of
from neural_hive.connectors.kafka_log import LostLog, Offsets, Record
from neural_hive.projections.whole_log import OpenArchive, WholeLog
from neural_hive.schemas.codec import decode
from neural_hive.schemas.envelope import Envelope
from neural_hive.streams.kernel.partition_log import KafkaReadable

Place = tuple[str, int]  # topic and partition
_ASK_TIMEOUT_S: Final = 30.0
_STALL_S: Final = 30.0
_NAME: Final = b"SliSourceOpened"  # it stands in the event as it is written: others need not be decoded


class Log(Protocol):
    """What is asked of the log."""

    def committed(self, places: Iterable[Place]) -> dict[Place, int]:
        """What `sli` has committed; 0 where it has nothing yet."""
        ...

    def ends(self, places: Iterable[Place]) -> dict[Place, int]:
        """The offset behind the last record, open transactions included."""
        ...

    def whole(self, partition: int) -> WholeLog:
        """A partition of all topics, from its first record on. Close it."""
        ...


class KafkaLog:
    """See Log. Raises UnreadableLog, Indefinite, KafkaException: no answer, for now."""

    def __init__(
        self,
        config: Mapping[str, Any],
        group: str,
        topic_ids: Mapping[str, str],
        open_archive: OpenArchive | None,
    ) -> None:
        self._config, self._topic_ids, self._open_archive = config, topic_ids, open_archive
        self._offsets = Offsets(config, group=group)

    def committed(self, places: Iterable[Place]) -> dict[Place, int]:
        """See Log.committed."""
        asked = [TopicPartition(topic, partition) for topic, partition in places]
        if not asked:
            return {}
        found = self._offsets.consumer.committed(asked, _ASK_TIMEOUT_S)
        return {(at.topic, at.partition): max(at.offset, 0) for at in found}

    def ends(self, places: Iterable[Place]) -> dict[Place, int]:
        """See Log.ends."""
        return self._offsets.ends(places)

    def whole(self, partition: int) -> WholeLog:
        """See Log.whole."""
        readable = KafkaReadable(self._config, self._offsets, partition, _STALL_S)
        return WholeLog(readable, self._topic_ids, self._open_archive)

    def close(self) -> None:
        """Lets the broker go."""
        self._offsets.close()


class Reached(msgspec.Struct, frozen=True):
    """How far the history of an SLO goes in one partition, as far as one can tell now."""

    upto: int
    is_last: bool  # there is a cursor: it will never go further
    is_whole: bool  # all that was there when the SLO was first seen is before `upto`, or counted as it comes


class Reach:
    """Looks how far history goes; remembers what it has read."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._cursors: dict[str, int] = {}
        self._read_to: dict[int, int] = {}  # of the cursors' topic, by partition
        self._ends: dict[tuple[str, int, str, int], int] = {}  # when an SLO was first seen

    def look(
        self, wanted: Mapping[Place, Iterable[tuple[str, int]]]
    ) -> dict[tuple[str, int, str, int], Reached]:
        """For SLOs (id and measure) in partitions: how far. Raises LostLog, StalledLog, and what Log raises."""
        keys = [(*slo, *place) for place, slos in wanted.items() for slo in slos]
        self._note_ends(keys)
        committed = self._log.committed(wanted)  # before the cursors: see above
        for partition in sorted({partition for _, partition in wanted}):
            self._read_cursors(partition)
        return {key: self._reached(key, committed[key[2], key[3]]) for key in keys}

    def _note_ends(self, keys: Iterable[tuple[str, int, str, int]]) -> None:
        new = [key for key in keys if key not in self._ends and cursor_id_of(*key) not in self._cursors]
        ends = self._log.ends({(topic, partition) for _, _, topic, partition in new}) if new else {}
        self._ends |= {key: ends[key[2], key[3]] for key in new}

    def _reached(self, key: tuple[str, int, str, int], committed: int) -> Reached:
        cursor = self._cursors.get(cursor_id_of(*key))
        if cursor is not None:
            self._ends.pop(key, None)
            return Reached(cursor, True, True)
        return Reached(committed, False, committed >= self._ends[key])

    def _read_cursors(self, partition: int) -> None:
        topic, at = SLI_CURSOR.topic, self._read_to.get(partition, 0)
        with closing(self._log.whole(partition)) as whole:
            begin, end = whole.range(topic)
            if not begin <= at <= end:
                why = f"it has the offsets {begin} to {end}: from where on SLOs are counted stands in all of them"
                raise LostLog(topic, partition, at, why)
            if at < end:
                for record in whole.read(topic, at, end):
                    self._take(record)
        self._read_to[partition] = end

    def _take(self, record: Record) -> None:
        value = record.value or b""
        if _NAME not in value:
            return
        decoded = decode(value, "event")
        assert isinstance(decoded.head, Envelope)
        if decoded.head.aggregate_type == SLI_CURSOR.name:
            self._cursors[decoded.head.aggregate_id] = decoded.payload["offset"]

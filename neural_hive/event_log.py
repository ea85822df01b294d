"""Events as they stand in the log and as they come, decoded: the newest, those since a time, those that follow.

Each partition has its order; between partitions they are sorted by the time at which they were appended.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from heapq import nsmallest
from typing import Any, Final

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from neural_hive.connectors.kafka_offsets import Offsets, Place
from neural_hive.connectors.publisher import KAFKA_LOG
from neural_hive.following import unreachable
from neural_hive.schemas.catalogue import UnknownSchema
from neural_hive.schemas.codec import BadRecord
from neural_hive.schemas.envelope import Envelope
from neural_hive.schemas.extensions import all_topics
from neural_hive.schemas.topics import Kind
from neural_hive.streams.kernel.reading import Fetch, MessageReader, RegistryAway

_CHUNK_RECORDS: Final = 1_000
_POLL_S: Final = 0.2
_CALL_TIMEOUT_S: Final = 10.0
_WIDEN: Final = 8  # how much farther back is looked when too little was found
_LOST: Final = (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET)


class NoSuchTopic(LookupError):
    """No event topic has this name; the text says which there are."""


class Shown(msgspec.Struct, frozen=True):
    """One event, and where it stands; or what stands there and cannot be read, with the reason."""

    place: str
    appended_ms: int
    order: tuple[int, int, int]  # append time, partition, sequence
    envelope: Envelope | None
    payload: dict[str, Any]
    error: str = ""

    def document(self) -> dict[str, Any]:
        """All of it, for JSON: without the hash, which is of bytes that are not shown."""
        head = {} if self.envelope is None else msgspec.to_builtins(self.envelope)
        head.pop("prev_hash", None)
        told: dict[str, Any] = {"place": self.place, "appended_at_ms": self.appended_ms, **head}
        return {**told, "error": self.error} if self.error else {**told, "payload": self.payload}


class Wanted(msgspec.Struct, frozen=True):
    """Which events are looked for; what is empty does not count."""

    types: frozenset[str] = frozenset()
    aggregates: frozenset[str] = frozenset()
    correlations: frozenset[str] = frozenset()

    def takes(self, found: Shown) -> bool:
        """Whether an event is one of them; what cannot be read is, if all are."""
        head = found.envelope
        if head is None:
            return not (self.types or self.aggregates or self.correlations)
        asked = (
            (self.types, head.event_type),
            (self.aggregates, head.aggregate_id),
            (self.correlations, head.correlation_id),
        )
        return all(not texts or text in texts for texts, text in asked)


class EventLog:
    """The event topics, for one reader; in no group. Raises Unreachable, UnreadableLog, NoSuchTopic."""

    def __init__(
        self, kafka: Mapping[str, Any], topics: Iterable[str], wanted: Wanted, fetch: Fetch | None = None
    ) -> None:
        """`topics`: none are all. `fetch` finds the schemas of a newer build."""
        self._wanted, self._read_event = wanted, MessageReader(fetch, "event")
        self._offsets = Offsets(kafka, timeout_s=_CALL_TIMEOUT_S)
        self._consumer = Consumer(_reading(kafka), logger=KAFKA_LOG)
        try:
            there = self._consumer.list_topics(timeout=_CALL_TIMEOUT_S).topics
        except KafkaException as error:
            self.close()
            raise unreachable(dict(kafka), error) from error
        names = _chosen(topics, there)
        self._places: list[Place] = [(name, number) for name in names for number in there[name].partitions]
        self._begins = self._offsets.begins(self._places)
        self.ends = self._offsets.ends(
            self._places
        )  # as of now: what is shown ends here, what follows begins

    def newest(self, count: int) -> list[Shown]:
        """The newest `count`, in order. Looks farther and farther back until there are so many."""
        kept: list[Shown] = []
        left, reach = dict(self.ends), count
        upper = dict(self.ends)
        while left and count:
            starts = {place: max(self._begins[place], upper[place] - reach) for place in left}
            oldest: dict[Place, int] = {}
            for found, place in self._read(starts, {place: upper[place] for place in left}):
                oldest.setdefault(place, found.appended_ms)
                if self._wanted.takes(found):
                    kept.append(found)
            kept = sorted(kept, key=lambda found: found.order)[-count:]
            upper |= starts
            reach *= _WIDEN
            enough_at = kept[0].appended_ms if len(kept) == count else -1
            left = {
                place: start
                for place, start in starts.items()
                if start > self._begins[place] and oldest.get(place, enough_at) >= enough_at
            }
        return kept

    def since(self, at_us: int, count: int) -> tuple[list[Shown], bool]:
        """The first `count` that were appended at a time or later, in order; and whether there are more."""
        found_at = self._offsets.since(self._places, at_us // 1_000)
        starts = {place: at if at >= 0 else self.ends[place] for place, at in found_at.items()}
        taken = (found for found, _ in self._read(starts, self.ends, count + 1) if self._wanted.takes(found))
        first = nsmallest(count + 1, taken, key=lambda found: found.order)
        return first[:count], len(first) > count

    def follow(self, is_over: Callable[[], bool] = lambda: False) -> Iterator[Shown]:
        """What was appended since this was made, as it comes; without an end."""
        self._consumer.assign([TopicPartition(*place, at) for place, at in self.ends.items()])
        while not is_over():
            messages = self._consumer.consume(_CHUNK_RECORDS, _POLL_S)
            found = [self._shown(message) for message in messages if message.error() is None]
            yield from sorted(filter(self._wanted.takes, found), key=lambda shown: shown.order)

    def _read(
        self, starts: Mapping[Place, int], ends: Mapping[Place, int], most: int = 0
    ) -> Iterator[tuple[Shown, Place]]:
        """What is committed in ranges; of each partition no more than `most` that are wanted, 0 for all."""
        left = {place for place, start in starts.items() if start < ends[place]}
        taken: dict[Place, int] = {}
        self._consumer.assign([TopicPartition(*place, starts[place]) for place in left])
        while left:
            for message in self._consumer.consume(_CHUNK_RECORDS, _POLL_S):
                place = (message.topic(), message.partition())
                if message.error() is not None:
                    if _is_end(message):
                        left.discard(place)
                    continue
                if place not in left:
                    continue
                if message.offset() < ends[place]:
                    found = self._shown(message)
                    taken[place] = taken.get(place, 0) + self._wanted.takes(found)
                    yield found, place
                if message.offset() + 1 >= ends[place] or 0 < most <= taken[place]:
                    left.discard(place)
                    self._consumer.incremental_unassign([TopicPartition(*place)])

    def _shown(self, message: Message) -> Shown:
        value, at_ms = message.value() or b"", message.timestamp()[1]
        place = f"{message.topic()}:{message.partition()}:{message.offset()}"
        try:
            decoded = self._read_event(value)
        except (BadRecord, UnknownSchema, RegistryAway) as error:
            return Shown(place, at_ms, (at_ms, message.partition(), 0), None, {}, str(error))
        head = decoded.head
        assert isinstance(head, Envelope)
        return Shown(place, at_ms, (at_ms, message.partition(), head.sequence), head, decoded.payload)

    def close(self) -> None:
        """Lets the broker go."""
        self._offsets.close()
        self._consumer.close()


def _chosen(topics: Iterable[str], there: Mapping[str, Any]) -> list[str]:
    known = sorted(name for name, topic in all_topics().items() if topic.kind is Kind.EVENT and name in there)
    wanted = sorted(set(topics)) or known
    if unknown := [name for name in wanted if name not in known]:
        raise NoSuchTopic(f"no events stand in {unknown[0]!r}; they do in: {', '.join(known)}")
    return wanted


def _is_end(message: Message) -> bool:
    code = message.error().code()
    return code == KafkaError._PARTITION_EOF or code in _LOST


def _reading(kafka: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **kafka,
        "group.id": "neural-hive.events",  # a name only: nothing is joined or committed
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "earliest",
        "fetch.wait.max.ms": 100,
    }

"""Where partitions begin and end, asked of their leaders.

By a consumer and not by an admin client: while a leader is dead, librdkafka's admin client takes all of a core until
the time is over, and then answers −1001 and no error. A few of them starve the broker that is to come back.
"""

import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import Any, Final, Literal

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, OFFSET_INVALID, Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as Asked

Config = Mapping[str, Any]
Isolation = Literal["read_uncommitted", "read_committed"]
Place = tuple[str, int]  # topic and partition
CALL_TIMEOUT_S: Final = 30.0
NO_GROUP: Final = "neural-hive.reader"  # confluent-kafka wants a name; nothing is ever joined or committed
_PAUSE_FIRST_S: Final = 0.02
_PAUSE_MAX_S: Final = 1.0  # while no broker is there, each try costs a client
_PASSING: Final = (  # a leader is being elected, has not heard of its topic yet, or died while it was asked
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.FENCED_LEADER_EPOCH,  # asked by a client that knew the leader before
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError._TIMED_OUT,
    KafkaError._TRANSPORT,
    KafkaError._DESTROY_BROKER,
)
# A question to a leader that was killed is never asked of the next one. So the first try is short, and the next one is
# made by a client that asks who leads now.
_FIRST_TRY_S: Final = 2.0
_earliest, _latest = OFFSET_BEGINNING, OFFSET_END  # as the protocol has them, in the place of a time


class UnreadableLog(RuntimeError):
    """The broker refused the read (unknown topic, no right, broken record); the text is the broker's."""


class Offsets:
    """Asks on one connection, and on a new one when an answer stays away. May be used from many threads.

    `isolation`: whether ends are those of all records, or of what is before the first open transaction.
    Every question raises UnreadableLog: there is no answer, after `timeout_s` or for good.
    """

    def __init__(
        self,
        config: Config,
        isolation: Isolation = "read_uncommitted",
        group: str = NO_GROUP,
        timeout_s: float | None = None,
    ) -> None:
        self._settings = {"log_level": 2, **config, "group.id": group, "isolation.level": isolation}
        self._timeout_s = CALL_TIMEOUT_S if timeout_s is None else timeout_s
        self._lock = threading.Lock()
        self._consumer: Consumer | None = None

    @property
    def consumer(self) -> Consumer:
        """The client that is asked now."""
        with self._lock:
            if self._consumer is None:
                self._consumer = Consumer(self._settings)
            return self._consumer

    def renew(self) -> None:
        """Lets the client go; the next question makes another one.

        One that saw a broker die may call a partition unknown for ever, where others read it.
        """
        with self._lock:
            # Not closed here: another thread may be asking it. Nobody holds it, so it goes when that has ended.
            self._consumer = None

    def close(self) -> None:
        """Lets the broker go. Call when nobody asks any more."""
        with self._lock:
            if self._consumer is not None:
                self._consumer.close()
                self._consumer = None

    def begins(self, places: Iterable[Place]) -> dict[Place, int]:
        """The first offset that the log still has."""
        return self._ask(places, _earliest)

    def ends(self, places: Iterable[Place]) -> dict[Place, int]:
        """The offset that follows the last record."""
        return self._ask(places, _latest)

    def since(self, places: Iterable[Place], timestamp_ms: int) -> dict[Place, int]:
        """The first offset appended at a time or later; −1: there is none."""
        return self._ask(places, timestamp_ms)

    def range(self, place: Place) -> tuple[int, int]:
        """The first offset of one partition, and the one that follows the last."""
        return self.begins([place])[place], self.ends([place])[place]

    def ranges(self, topic: str) -> dict[int, tuple[int, int]]:
        """The same of each partition of a topic."""
        places = [(topic, partition) for partition in self.partitions(topic)]
        begins, ends = self.begins(places), self.ends(places)
        return {place[1]: (begins[place], ends[place]) for place in places}

    def partitions(self, topic: str) -> list[int]:
        """The numbers of a topic's partitions."""
        try:
            known = self.consumer.list_topics(topic, timeout=self._timeout_s).topics[topic]
        except KafkaException as error:
            self.renew()
            raise UnreadableLog(
                f"topic {topic} cannot be read: {error.args[0].str()}. Is Kafka running, and is the setting "
                "kafka_bootstrap right?"
            ) from error
        if known.error is not None:
            raise UnreadableLog(f"{topic}: {known.error.str()}")
        return sorted(known.partitions)

    def _ask(self, places: Iterable[Place], wanted: int) -> dict[Place, int]:
        asked = [Asked(topic, partition, wanted) for topic, partition in places]
        until, try_s, pause_s = time.monotonic() + self._timeout_s, _FIRST_TRY_S, _PAUSE_FIRST_S
        while asked:
            try:
                answer = self.consumer.offsets_for_times(asked, min(try_s, self._timeout_s))
                return {(at.topic, at.partition): _told(at) for at in answer}
            except KafkaException as error:
                self.renew()
                reason = error.args[0]
                if reason.code() not in _PASSING or time.monotonic() > until:
                    named = f"{asked[0].topic}:{asked[0].partition}" + (" and others" if asked[1:] else "")
                    raise UnreadableLog(f"{named}: {reason.str()}") from error
                if reason.code() == KafkaError._TIMED_OUT:
                    try_s *= 1.5
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _PAUSE_MAX_S)
        return {}


def _told(at: Asked) -> int:
    """librdkafka may answer −1001 where it could not ask the leader: it must not pass for an offset.

    As an end it would say that a log was read to its end; as a beginning it would stand for the group's offset.
    """
    if at.error is not None:
        raise KafkaException(at.error)
    if at.offset == OFFSET_INVALID:
        raise KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE, "the leader could not be asked"))
    return int(at.offset)


def end_offsets(
    config: Config, places: Iterable[Place], isolation: Isolation = "read_uncommitted"
) -> dict[Place, int]:
    """See Offsets.ends. Who asks many times keeps an `Offsets`: each call here connects anew."""
    with closing(Offsets(config, isolation)) as offsets:
        return offsets.ends(places)


def begin_offsets(config: Config, places: Iterable[Place]) -> dict[Place, int]:
    """See Offsets.begins."""
    with closing(Offsets(config)) as offsets:
        return offsets.begins(places)

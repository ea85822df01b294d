"""Topics for one measurement: made, filled, and watched until all is there."""

import os
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import msgspec
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from neural_hive.connectors.kafka_log import CommittedLog, end_offsets

PARTITIONS = 4
_LOOK_EVERY_S = 0.5
_STILL_MAX_S = 180.0
_TRICKLE = 20  # records at once
_TRICKLE_EVERY_S = 0.05


class Topics(msgspec.Struct, frozen=True):
    """Where one run reads and writes; `name` is free for its group."""

    bootstrap: str
    source: str
    events: str
    name: str


class Stopped(RuntimeError):
    """Nothing more arrived, and not all is there."""


def new_topics(bootstrap: str, source: str = "") -> Topics:
    """Fresh topics on the broker; `source`: one that is filled already."""
    suffix = uuid.uuid4().hex[:6]
    topics = Topics(
        bootstrap, source or f"bench.source.{suffix}", f"bench.events.{suffix}", f"bench.{suffix}"
    )
    _create(bootstrap, {topics.source, topics.events, "dead.letters"})
    return topics


def _create(bootstrap: str, names: set[str]) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    wanted = names - set(admin.list_topics(timeout=30).topics)
    times = {"message.timestamp.type": "LogAppendTime"}
    made = admin.create_topics([NewTopic(name, PARTITIONS, 1, config=times) for name in wanted])
    for future in made.values():
        future.result(30)


def fill(bootstrap: str, topic: str, records: int, keys: int, record_bytes: int, first: int = 0) -> None:
    """Publishes records of random bytes under `keys` keys in turn; `first`: how many there are already."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "linger.ms": 20,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 1_000_000,
            "partitioner": "murmur2_random",
        }
    )
    value = os.urandom(record_bytes)
    for number in range(first, first + records):
        producer.produce(topic, value, f"key-{number % keys}".encode())
        if number % 1_000 == 0:
            producer.poll(0)
    producer.flush()


def show(topics: Topics, records: int, keys: int, record_bytes: int) -> None:
    """Publishes records of random bytes that who reads committed records sees all at once."""
    producer = Producer(
        {
            "bootstrap.servers": topics.bootstrap,
            "transactional.id": f"{topics.source}.show",
            "transaction.timeout.ms": 120_000,
            "linger.ms": 20,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 1_000_000,
            "partitioner": "murmur2_random",
        }
    )
    producer.init_transactions()
    producer.begin_transaction()
    value = os.urandom(record_bytes)
    for number in range(records):
        producer.produce(topics.source, value, f"key-{number % keys}".encode())
    producer.flush()
    producer.commit_transaction()


@contextmanager
def trickle(topics: Topics, keys: int, record_bytes: int) -> Iterator[None]:
    """A few records all the time, so that every partition has something to do."""
    stopping = threading.Event()

    def publish() -> None:
        config = {"bootstrap.servers": topics.bootstrap, "log_level": 2}
        producer = Producer(config | {"partitioner": "murmur2_random", "linger.ms": 5})
        value, number = os.urandom(record_bytes), 0
        while not stopping.wait(_TRICKLE_EVERY_S):
            for _ in range(_TRICKLE):
                producer.produce(topics.source, value, f"key-{number % keys}".encode())
                number += 1
            producer.poll(0)
        producer.flush()

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def forget(topics: Topics) -> None:
    """Deletes them: the broker's disk is not to fill up."""
    admin = AdminClient({"bootstrap.servers": topics.bootstrap, "log_level": 2})  # of syslog's levels
    for future in admin.delete_topics([topics.source, topics.events]).values():
        future.result(30)


def ends(topics: Topics, topic: str = "") -> dict[int, int]:
    """The offset that follows what is committed of each partition, of the events' topic or another."""
    places = [(topic or topics.events, partition) for partition in range(PARTITIONS)]
    found = end_offsets({"bootstrap.servers": topics.bootstrap}, places, "read_committed")
    return {partition: offset for (_, partition), offset in found.items()}


def wait_for(topics: Topics, records: int) -> None:
    """Waits until so many committed records stand in the events' topic. Raises Stopped."""
    before, moved_at = -1, time.monotonic()
    while (found := sum(ends(topics).values())) < records:
        if found != before:
            before, moved_at = found, time.monotonic()
        elif time.monotonic() - moved_at > _STILL_MAX_S:
            raise Stopped(f"{found:,} of {records:,} events, and nothing came for {_STILL_MAX_S:g} s")
        time.sleep(_LOOK_EVERY_S)


class Written(msgspec.Struct, frozen=True):
    """What stands in the events' topic."""

    count: int
    first_ms: int  # append times
    last_ms: int

    @property
    def rate(self) -> float:
        """Events a second, from the first append to the last."""
        return self.count / max(self.last_ms - self.first_ms, 1) * 1000


def written(topics: Topics, begins: Mapping[int, int] | None = None) -> Written:
    """Counts the committed records and their append times; `begins`: those from an offset of each partition on."""
    config = {"bootstrap.servers": topics.bootstrap}
    stamps = [
        record.timestamp_ms
        for partition in range(PARTITIONS)
        for record in CommittedLog(config, topics.events, partition, (begins or {}).get(partition, 0))
    ]
    return Written(len(stamps), min(stamps), max(stamps))

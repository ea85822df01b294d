"""The kernel's rate: records of 300 bytes in, one event each out, in the normal exactly-once configuration.

`python -m bench.kernel BOOTSTRAP [RECORDS]` publishes to a topic of its own, runs one worker until all is committed,
and prints events/s between the first and the last event's append times. Needs NEURAL_HIVE_SCHEMAS=tests/toy/schemas.
"""

import multiprocessing
import os
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from neural_hive.aggregates.aggregate import Aggregate
from neural_hive.connectors.kafka_log import CommittedLog, end_offsets
from neural_hive.streams.kernel.system import System
from neural_hive.streams.runner import run_system
from tests.toy.counter import COUNTER, Counter, Raise

KEYS, PARTITIONS, RECORD_BYTES = 5_000, 4, 300


def build(source: str, events: str, name: str) -> System:
    """A system that raises a counter for each record of a foreign topic."""
    counters: Aggregate[Counter] = msgspec.structs.replace(COUNTER, topic=events)
    system = System(name, (counters,), (__name__,))

    @system.on_raw(source)
    def count(unit: Any, record: Any) -> None:
        unit.execute(counters, record.key.decode(), Raise(1))

    return system


def work(bootstrap: str, data: str, source: str, events: str, name: str) -> None:
    """One worker."""
    run_system(build(source, events, name), {"bootstrap.servers": bootstrap}, Path(data))


def main(bootstrap: str, records: int) -> None:
    """One measurement."""
    suffix = uuid.uuid4().hex[:6]
    source, events, name = f"bench.source.{suffix}", f"bench.events.{suffix}", f"bench.{suffix}"
    admin = AdminClient({"bootstrap.servers": bootstrap})
    times = {"message.timestamp.type": "LogAppendTime"}
    topics = [NewTopic(topic, PARTITIONS, 1, config=times) for topic in (source, events, "dead.letters")]
    for future in admin.create_topics(topics).values():
        try:
            future.result()
        except Exception as error:
            if "exists" not in str(error):
                raise
    publish(bootstrap, source, records)
    with tempfile.TemporaryDirectory() as data:
        worker = multiprocessing.get_context("spawn").Process(
            target=work, args=(bootstrap, data, source, events, name)
        )
        worker.start()
        try:
            first_ms, last_ms, count = wait(bootstrap, events, records)
        finally:
            worker.terminate()
            worker.join()
    print(f"{count} events, {count / (last_ms - first_ms) * 1000:,.0f} events/s")


def publish(bootstrap: str, topic: str, records: int) -> None:
    """Fills the source."""
    producer = Producer(
        {"bootstrap.servers": bootstrap, "linger.ms": 20, "compression.type": "lz4"}
        | {"queue.buffering.max.messages": 1_000_000, "partitioner": "murmur2_random"}
    )
    value = os.urandom(RECORD_BYTES)
    for number in range(records):
        producer.produce(topic, value, f"key-{number % KEYS}".encode())
        producer.poll(0)
    producer.flush()


def wait(bootstrap: str, topic: str, records: int) -> tuple[int, int, int]:
    """Waits for all events; append time of the first and of the last, ms, and how many there are."""
    config = {"bootstrap.servers": bootstrap}
    places = [(topic, partition) for partition in range(PARTITIONS)]
    while sum(end_offsets(config, places, "read_committed").values()) < records:
        time.sleep(0.2)
    time.sleep(1)
    stamps = [r.timestamp_ms for place in places for r in CommittedLog(config, *place, 0)]
    return min(stamps), max(stamps), len(stamps)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 200_000)

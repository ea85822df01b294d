"""The kernel's rate: records of 300 bytes in, one event each out, in the normal exactly-once configuration.

`python -m bench.kernel [RECORDS] [RUNS]` starts a broker, publishes to a topic, runs one worker until all is committed,
and prints events/s between the first and the last event's append times, for each run and their median.
"""

import multiprocessing
import os
import statistics
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
from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.connectors.kafka_log import CommittedLog, end_offsets
from neural_hive.schemas.catalogue import FOLDERS_VARIABLE
from neural_hive.streams.kernel.system import System
from neural_hive.streams.runner import run_system
from tests.toy.counter import COUNTER, Counter, Raise
from tests.toy.harness import SCHEMAS

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


def main(records: int, runs: int) -> None:
    """All runs, on a broker of their own."""
    os.environ[FOLDERS_VARIABLE] = str(SCHEMAS)
    with tempfile.TemporaryDirectory() as folder, EmbeddedKafka(Path(folder)) as kafka:
        rates = []
        for _ in range(runs):
            rates.append(measure(kafka.bootstrap, records))
            print(f"{records} events, {rates[-1]:,.0f} events/s", flush=True)
    print(f"median {statistics.median(rates):,.0f} events/s")


def measure(bootstrap: str, records: int) -> float:
    """One run: events per second."""
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
    return count / (last_ms - first_ms) * 1000


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
    given = [int(argument) for argument in sys.argv[1:3]]
    main(*given, *(400_000, 5)[len(given) :])

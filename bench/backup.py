"""How many records a second are saved, checked and restored: python -m bench.backup [--records 100000] [--each 20]

Two brokers on this machine. One topic of four partitions is filled with records of 400 bytes, half of them random, in
transactions of `--each` records, as processors write events, and one with as many records without transactions, as
publishers write inputs. The tables are not filled: `python -m bench.run projection` measures the projector.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.projections.http_store import HttpStore
from neural_hive.replay.backup import restored
from neural_hive.replay.backup.check import check
from neural_hive.replay.backup.restored import Target, restore
from neural_hive.replay.backup.saved import Source, back_up
from neural_hive.schemas.topics import Kind
from neural_hive.streams.kernel.system import System

PARTITIONS: Final = 4
RECORD_BYTES: Final = 400
EVENTS: Final = "bench.events"
INPUTS: Final = "bench.inputs"
T = TypeVar("T")


def fill(config: dict[str, Any], records: int, each: int) -> None:
    """Writes both topics."""
    admin = AdminClient(config)
    times = {"message.timestamp.type": "LogAppendTime"}
    wanted = [NewTopic(name, PARTITIONS, 1, config=times) for name in (EVENTS, INPUTS)]
    for made in admin.create_topics(wanted).values():
        made.result(60)
    time.sleep(1)
    values = [os.urandom(RECORD_BYTES // 2) + b"." * (RECORD_BYTES // 2) for _ in range(10_000)]
    plain = Producer({**config, "queue.buffering.max.messages": 1_000_000})
    for number in range(records):
        plain.produce(INPUTS, values[number % len(values)], str(number), number % PARTITIONS)
        plain.poll(0)
    plain.flush()
    producer = Producer({**config, "transactional.id": "bench", "retry.backoff.ms": 1, "linger.ms": 0})
    producer.init_transactions(60)
    for first in range(0, records, each * PARTITIONS):
        producer.begin_transaction()
        for number in range(first, first + each * PARTITIONS):
            producer.produce(EVENTS, values[number % len(values)], str(number), number % PARTITIONS)
        producer.commit_transaction(60)


def timed(what: str, records: int, work: Callable[[], T]) -> T:
    """Says how fast it was."""
    started = time.monotonic()
    found = work()
    took_s = time.monotonic() - started
    print(f"{what:<10} {took_s:8.1f} s {records / took_s:12,.0f} records/s", flush=True)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and prints."""
    parser = argparse.ArgumentParser(prog="python -m bench.backup")
    parser.add_argument("--records", type=int, default=100_000, help="in each of the two topics")
    parser.add_argument("--each", type=int, default=20, help="records of a partition in a transaction")
    given = parser.parse_args(arguments)
    restored.check_empty = lambda store: None  # there is no ClickHouse here
    with (
        tempfile.TemporaryDirectory(prefix="neural-hive-bench-") as name,
        EmbeddedKafka(Path(name) / "first") as first,
        EmbeddedKafka(Path(name) / "second") as second,
    ):
        config = {"bootstrap.servers": first.bootstrap, "log_level": 2}
        fill(config, given.records, given.each)
        system = System("bench", (), (__name__,))
        system.on_raw(INPUTS)(lambda unit, record: None)
        source = Source(
            config, (system,), {EVENTS: Kind.EVENT, INPUTS: Kind.INPUT}, None, Path(name), "bench"
        )
        folder = Path(name) / "backup"
        manifest = timed("saved", 2 * given.records, lambda: back_up(source, folder))
        size_bytes = sum(file.size_bytes for file in manifest.files)
        print(f"held for {manifest.held_s:.1f} s, {size_bytes / 1e6:.1f} MB, {manifest.records:,} records")
        timed("checked", manifest.records, lambda: check(folder))
        store = HttpStore("127.0.0.1", 1, "", "", "")
        target = Target({**config, "bootstrap.servers": second.bootstrap}, 1, store, {}, Path(name) / "data")
        timed("restored", manifest.records, lambda: restore(folder, target))


if __name__ == "__main__":
    main()

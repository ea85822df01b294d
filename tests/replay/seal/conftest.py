"""Sealers on the session's broker, each with a log, keys and files of its own."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import Producer

from neural_hive.connectors.kafka_admin import ensure_topics
from neural_hive.connectors.kafka_embedded import EmbeddedKafka
from neural_hive.connectors.kafka_log import Record
from neural_hive.connectors.publisher import Publisher
from neural_hive.replay.reader import KafkaSource, LogSource
from neural_hive.replay.seal.chain import Chain
from neural_hive.replay.seal.ledger import SealFile, published
from neural_hive.replay.seal.note import LOG, PrivateKey
from neural_hive.replay.seal.seal import CHECKPOINTS, WITNESSES, Seal
from neural_hive.replay.seal.sealer import Files, Sealer
from neural_hive.schemas.topics import TOPICS
from tests.conftest import TopicFactory, note_undelivered

TIMEOUT_S = 60.0


class Settings(msgspec.Struct):
    """What a sealer needs of the settings."""

    bootstrap: str
    seal_every_s: float = 0.3
    seal_every_records: int = 10_000

    def kafka_config(self) -> dict[str, Any]:
        return {"bootstrap.servers": self.bootstrap, "log_level": 2}


class World:
    """A log of one topic with two partitions, its sealer's key, and where the sealer keeps what it knows."""

    def __init__(self, bootstrap: str, topic: str, folder: Path) -> None:
        self.settings = Settings(bootstrap)
        self.config = self.settings.kafka_config()
        self.topic, self.folder = topic, folder
        self.key = PrivateKey.make(f"neural-hive.test/{uuid.uuid4().hex[:8]}", LOG)
        self.files = Files(folder, folder / "seals.jsonl")
        self._producer = Producer(
            {**self.config, "transactional.id": topic, "retry.backoff.ms": 1, "linger.ms": 1}
        )
        self._producer.init_transactions(30)

    def write(
        self, count: int, topic: str = "", value: Callable[[int], bytes] = lambda n: b"value %d" % n
    ) -> None:
        """One transaction of so many records on both partitions."""
        self._producer.begin_transaction()
        for number in range(count):
            headers = [("event_type", b"Counted"), ("nothing", None)]
            self._producer.produce(
                topic or self.topic,
                value(number),
                b"key",
                number % 2,
                headers=headers,
                on_delivery=note_undelivered,
            )
        self._producer.commit_transaction(30)

    def source(self) -> KafkaSource:
        return KafkaSource({**self.config, "log_level": 2}, stall_s=5)

    def records(self, topic: str = "") -> dict[int, list[Record]]:
        source = self.source()
        return {
            partition: [r for batch in source.batches(topic or self.topic, partition, *bounds) for r in batch]
            for partition, bounds in source.ranges(topic or self.topic).items()
        }

    def seals(self) -> list[Seal]:
        """What the topic has."""
        return [seal for _, seal in published(self.source(), self.key.name)]

    def file(self) -> SealFile:
        return SealFile(self.files.seals)

    def chain(self) -> Chain:
        chain = Chain(self.key.public)
        for seal in self.seals():
            chain.take(seal)
        return chain

    def sealer(
        self, stopping: threading.Event, kind: type[Sealer] = Sealer, source: LogSource | None = None
    ) -> Sealer:
        publisher = Publisher(self.config, "neural-hive.sealer")
        log = source or self.source()
        return kind(self.settings, self.key, self.files, log, publisher, stopping, topics=[self.topic])

    @contextmanager
    def sealing(self) -> Iterator[None]:
        """A sealer works while this is entered; what it raises is raised."""
        stopping = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(self.sealer(stopping).run)
            try:
                yield
            finally:
                stopping.set()
            running.result(TIMEOUT_S)

    def refusal(self) -> Exception:
        """What a sealer says that must not seal."""
        stopping = threading.Event()
        threading.Timer(TIMEOUT_S, stopping.set).start()
        with pytest.raises(Exception) as error:
            self.sealer(stopping).run()
        return error.value

    def sealed(self, records: int) -> None:
        """Seals until so many records are sealed."""
        with self.sealing():
            eventually(lambda: self.file().last() and self.chain().records >= records)


def eventually(look: Callable[[], Any]) -> None:
    until = time.monotonic() + TIMEOUT_S
    while not look():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.1)


@pytest.fixture
def world(kafka: EmbeddedKafka, topic_factory: TopicFactory, tmp_path: Path) -> World:
    ensure_topics(kafka.bootstrap, [TOPICS[CHECKPOINTS], TOPICS[WITNESSES]])
    return World(kafka.bootstrap, topic_factory("sealed", partitions=2), tmp_path)

"""An input topic and what a group has read of it, on one cluster; and what a restore makes of it on another one."""

import uuid
from pathlib import Path
from typing import Any

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from neural_hive.connectors.kafka_cluster import Cluster
from neural_hive.connectors.kafka_log import Offsets, Record, read_committed
from neural_hive.projections.http_store import HttpStore
from neural_hive.replay.backup.manifest import Manifest
from neural_hive.replay.backup.restored import Target, restore
from neural_hive.replay.backup.saved import Source, back_up
from neural_hive.replay.backup.sources import Archive
from neural_hive.schemas.topics import Kind
from neural_hive.streams.kernel.system import System
from tests.conftest import TopicFactory, note_undelivered

PARTITIONS = 2
AT_MS = 1_700_000_000_000


class TwoClusters:
    """`topic` is on the first cluster; nothing of it is on the second."""

    def __init__(
        self, first: str, second: str, make_topic: TopicFactory, store: HttpStore, folder: Path
    ) -> None:
        self.first = {"bootstrap.servers": first, "log_level": 2}
        self.second = {"bootstrap.servers": second, "log_level": 2}
        self.config = {"retention.ms": "2592000000", "cleanup.policy": "delete"}
        self.topic = make_topic("saved", PARTITIONS, **self.config)
        self.system = System(f"reader.{uuid.uuid4().hex[:6]}", (), (__name__,))
        self.system.on_raw(self.topic)(lambda unit, record: None)
        self.folder, self.data, self.store = folder / "backup", folder / "data", store
        self.plain = Producer({**self.first, "linger.ms": 0})
        self._producer = Producer(
            {**self.first, "transactional.id": uuid.uuid4().hex, "retry.backoff.ms": 1, "linger.ms": 0}
        )
        self._producer.init_transactions(60)
        self._written = 0

    def write(self, count: int, partition: int = 0) -> None:
        """Records in no transaction."""
        self._produce(self.plain, count, partition)

    def transact(self, count: int, partition: int = 0, commit: bool = True) -> None:
        """Records in a transaction."""
        self._producer.begin_transaction()
        self._produce(self._producer, count, partition)
        if commit:
            self._producer.commit_transaction(60)
        else:
            self._producer.abort_transaction(60)
        self._settle(partition)

    def _settle(self, partition: int) -> None:
        """Markers come after the word that a transaction has ended."""
        while self._ends("read_committed")[partition] != self._ends()[partition]:
            pass

    def _ends(self, isolation: Any = "read_uncommitted") -> dict[int, int]:
        places = [(self.topic, n) for n in range(PARTITIONS)]
        return {place[1]: end for place, end in Offsets(self.first, isolation).ends(places).items()}

    def _produce(self, producer: Producer, count: int, partition: int) -> None:
        for _ in range(count):
            self._written += 1
            text = str(self._written).encode()
            headers = [("number", text), ("nothing", None)]
            producer.produce(
                self.topic, text * 3, text, partition, on_delivery=note_undelivered, headers=headers
            )
        assert producer.flush(60) == 0

    def commit(self, offset: int, partition: int = 0) -> None:
        """What the group has read."""
        Cluster(self.first).commit(self.system.name, {(self.topic, partition): offset})

    def delete_before(self, offset: int, partition: int = 0) -> None:
        """Deletes the beginning, as retention does."""
        place = TopicPartition(self.topic, partition, offset)
        admin = AdminClient(self.first)  # to be kept until the answer is there
        for answer in admin.delete_records([place]).values():
            answer.result(60)

    def save(self, archive: Archive | None = None) -> Manifest:
        """A backup of the first cluster."""
        source = Source(
            self.first, (self.system,), {self.topic: Kind.INPUT}, archive, self.data, "test", rest_s=0.5
        )
        return back_up(source, self.folder)

    def restore(self, data: Path | None = None) -> Manifest:
        """On the second cluster, with tables; `data`: another data folder than the saved one."""
        kinds = {self.topic: Kind.INPUT}
        return restore(self.folder, Target(self.second, 1, self.store, kinds, data or self.data))

    def records(self, config: dict[str, Any], partition: int = 0) -> list[Record]:
        """What a cluster has."""
        bounds = Offsets(config).ranges(self.topic)[partition]
        return list(read_committed(config, self.topic, partition, *bounds))

    def archived(self, partition: int = 0) -> list[tuple[int, bytes]]:
        """Offsets and values in the tables."""
        sql = f"SELECT offset, value FROM messages WHERE topic = '{self.topic}' AND partition = {partition}"
        return [(int(o), str(v).encode()) for o, v in self.store.rows(f"{sql} ORDER BY offset")]

"""The toy system with a projector behind it, on a log whose beginning can be deleted."""

import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from neural_hive.connectors.kafka_log import Offsets, Record, read_committed
from neural_hive.projections.archive_reader import ArchiveReader
from neural_hive.projections.positions import read_standing
from neural_hive.replay.everything import Request, Tables, verify_everything
from neural_hive.replay.report import Report
from neural_hive.schemas.topics import Kind
from neural_hive.streams.kernel.fold import Fold
from neural_hive.streams.kernel.recovery import recover
from neural_hive.streams.kernel.state import Store
from neural_hive.streams.kernel.versions import state_version
from neural_hive.streams.runner import cluster_of
from tests.fixtures_clickhouse import ClickHouseServer
from tests.projections.support import Follower
from tests.toy.harness import Toy

PARTITIONS = 2


class ArchivedToy:
    """A toy system whose topics are archived while `projected` runs."""

    def __init__(self, toy: Toy, server: ClickHouseServer, database: str) -> None:
        self.toy, self.config = toy, toy.config
        self._server, self._database = server, database
        self.inputs = [toy.commands, toy.results, f"toy.repartition{toy.suffix}", toy.blocks]
        self.kinds = dict.fromkeys(toy.event_topics, Kind.EVENT) | dict.fromkeys(self.inputs, Kind.INPUT)
        self.seen: dict[tuple[str, int], list[Record]] = {}
        self._offsets = Offsets(self.config)

    def use_archive(self) -> None:
        """Tells the workers that start from now on where the archive is."""
        server = self._server
        where = {"host": server.host, "port": server.port, "user": server.user, "password": server.password}
        self.toy.environment["TOY_ARCHIVE"] = json.dumps({**where, "database": self._database})

    def archive_all(self) -> None:
        """A projector follows until all that is in the log now is archived, and is told to stop."""
        follower = Follower(self, self._server, self._database)  # type: ignore[arg-type]
        ends = {
            (t, p): bounds for t in self.kinds for p, bounds in self._offsets.ranges(t).items() if bounds[1]
        }
        lasts = {place: self._last(*place, *bounds) for place, bounds in ends.items()}
        with follower.running():
            follower.wait(lambda: self._is_archived(follower, lasts), "all is archived")
        assert follower.failure is None, follower.failure
        standing = read_standing(follower.store).positions
        assert {place: standing[place].next for place in ends} == {p: end for p, (_, end) in ends.items()}

    def _last(self, topic: str, partition: int, begin: int, end: int) -> int:
        """The offset of the last record; markers stand behind it."""
        records = read_committed(self.config, topic, partition, max(begin, end - 10), end)
        return max((record.offset for record in records), default=-1)

    def _is_archived(self, follower: Follower, lasts: dict[tuple[str, int], int]) -> bool:
        if not follower.is_ready:
            return False  # the tables may not be there yet
        standing = read_standing(follower.store).positions
        return all(place in standing and standing[place].next > last for place, last in lasts.items())

    def note(self) -> None:
        """Remembers all events that Kafka has now, so that the whole log is known when it has them no more."""
        for topic in self.toy.event_topics:
            for partition, (first, end) in self._offsets.ranges(topic).items():
                seen = self.seen.setdefault((topic, partition), [])
                seen += [
                    record
                    for record in read_committed(self.config, topic, partition, first, end)
                    if not seen or record.offset > seen[-1].offset
                ]

    def delete(self, topics: Iterable[str], share: float = 1.0) -> None:
        """Deletes the first records of topics, as retention does."""
        places = []
        for topic in topics:
            for partition, (first, end) in self._offsets.ranges(topic).items():
                places.append(TopicPartition(topic, partition, first + int((end - first) * share)))
        admin = AdminClient(self.config)
        for deleted in admin.delete_records(places).values():
            deleted.result(60)
        for place in places:
            assert self._offsets.ranges(place.topic)[place.partition][0] == place.offset

    def delete_state(self) -> None:
        """RocksDB of all workers is gone."""
        stores = list(self.toy.folder.glob("toy*/worker-*/[0-9]*"))
        assert stores
        for store in stores:
            shutil.rmtree(store)

    def verify(self) -> Report:
        """What replay says of it all."""
        store = Follower(self, self._server, self._database).store  # type: ignore[arg-type]
        with self._server.client(database=self._database) as client:
            tables = Tables(client, store)
            return verify_everything(Request((self.toy.system,), self.config, tables, self.toy.folder))

    def reader(self) -> ArchiveReader:
        """The archive."""
        return ArchiveReader(self._server.client(database=self._database))

    def check_state(self) -> None:
        """RocksDB equals the fold of all events that were ever noted."""
        ids = cluster_of(self.config, self.toy.system).topic_ids
        for partition in range(self.toy.partitions):
            with TemporaryDirectory() as folder:
                fresh = Store(Path(folder))
                recover(
                    Fold(self.toy.system.all_aggregates, fresh), Noted(partition, self.seen), ids, "fresh"
                )
                expected = dict(fresh.rows())
                fresh.close()
            name = f"toy{self.toy.suffix}/worker-0/{partition}/{state_version(self.toy.system)}"
            kept = Store(self.toy.folder / name, read_only=True)
            assert expected, "nothing to compare"
            assert dict(kept.rows()) == expected
            kept.close()


class Noted:
    """See Readable: the events that were noted."""

    def __init__(self, partition: int, seen: dict[tuple[str, int], list[Record]]) -> None:
        self.partition, self._seen = partition, seen

    def range(self, topic: str) -> tuple[int, int]:
        """All of them."""
        records = self._seen[topic, self.partition]
        return 0, records[-1].offset + 1 if records else 0

    def read(self, topic: str, first: int, end: int) -> Iterator[Record]:
        """Those of a range."""
        yield from (r for r in self._seen[topic, self.partition] if first <= r.offset < end)


def log_of(toy: Toy) -> str:
    """What the last worker has logged."""
    path: Path = toy.folder / f"worker-{len(toy.workers) - 1}.log"
    return path.read_text()

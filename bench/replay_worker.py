"""One contender of the replay benchmark: makes the states of all aggregates once, and prints how long it took.

python -m bench.replay_worker WAY AGGREGATES FOLDER [BOOTSTRAP SOURCE EVENTS GROUP]

WAY: kafka or archive (Neural Hive's recovery of all partitions, each in a thread as in a worker, into RocksDB), or
sqlite or memory (the library `eventsourcing`, which writes its aggregates before its time begins). Printed are the time
and the process's own processor time, s.
"""

import gc
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from eventsourcing.application import Application

from bench.domain_model import LibraryAccount
from bench.kernel_worker import build
from bench.topics import PARTITIONS
from neural_hive.connectors.kafka_log import Record
from neural_hive.projections.archive_reader import ArchiveReader
from neural_hive.projections.whole_log import Readable
from neural_hive.settings import load_settings
from neural_hive.streams.kernel.fold import Fold
from neural_hive.streams.kernel.partition_log import KafkaPartitionLog
from neural_hive.streams.kernel.recovery import recover
from neural_hive.streams.kernel.state import Store, row_key
from neural_hive.streams.runner import GC_THRESHOLDS, STALL_S, SWITCH_INTERVAL_S, cluster_of
from tests.toy.counter import COUNTER

EVENTS_EACH: Final = 100
_COUNTERS: Final = row_key(COUNTER.name, "")
_LIBRARY: Final = {"sqlite": "eventsourcing.sqlite", "memory": "eventsourcing.popo"}
Way = Callable[[], int]  # makes all states; how many events it has folded


class ArchiveLog:
    """See Readable: one partition of the archive alone."""

    def __init__(self, archive: ArchiveReader, partition: int) -> None:
        self.partition, self._archive = partition, archive
        self._ends = {place: position.next for place, position in archive.positions().items()}

    def range(self, topic: str) -> tuple[int, int]:
        """See Readable.range."""
        return 0, self._ends.get((topic, self.partition), 0)

    def read(self, topic: str, first: int, end: int) -> Iterator[Record]:
        """See Readable.read."""
        for batch in self._archive.batches(topic, self.partition, first, end):
            yield from batch


class Recovery:
    """All partitions of the kernel benchmark's system, without state."""

    def __init__(self, way: str, folder: Path, *topics: str) -> None:
        bootstrap, source, events, group = topics
        self._config = {"bootstrap.servers": bootstrap}
        system = build(source, events, group)
        self._topic_ids = cluster_of(self._config, system).topic_ids
        self.stores = [Store(folder / str(partition)) for partition in range(PARTITIONS)]
        self._folds = [Fold(system.all_aggregates, store) for store in self.stores]
        self._logs: list[Readable] = [self._log(way, group, partition) for partition in range(PARTITIONS)]

    def _log(self, way: str, group: str, partition: int) -> Readable:
        if way == "archive":
            return ArchiveLog(ArchiveReader.of(load_settings(running=False)), partition)
        return KafkaPartitionLog(self._config, group, f"{group}.{partition}", partition, STALL_S)

    def run(self) -> int:
        """See Way."""
        with ThreadPoolExecutor(PARTITIONS) as pool:
            return sum(pool.map(self._partition, range(PARTITIONS)))

    def _partition(self, partition: int) -> int:
        return recover(self._folds[partition], self._logs[partition], self._topic_ids, "bench").folded

    def count(self) -> int:
        """How many aggregates there are."""
        return sum(key.startswith(_COUNTERS) for store in self.stores for key, _ in store.rows())


class Library:
    """The library's application, with as many accounts as there are to be."""

    def __init__(self, way: str, aggregates: int, folder: Path) -> None:
        self._app = Application(
            env={"PERSISTENCE_MODULE": _LIBRARY[way], "SQLITE_DBNAME": str(folder / "accounts.db")}
        )
        self._ids = [self._written().id for _ in range(aggregates)]
        self._totals: list[int] = []

    def _written(self) -> LibraryAccount:
        account = LibraryAccount("x")
        for at in range(EVENTS_EACH - 1):
            account.raise_by(1, at)
        self._app.save(account)
        return account

    def run(self) -> int:
        """See Way."""
        get = self._app.repository.get
        accounts = [get(id_) for id_ in self._ids]
        return sum(account.version for account in accounts)

    def count(self) -> int:
        """How many aggregates there are."""
        return len(self._ids)


def main(way: str, aggregates: str, folder: str, *topics: str) -> None:
    """See above."""
    wanted = int(aggregates)
    made = Library(way, wanted, Path(folder)) if way in _LIBRARY else Recovery(way, Path(folder), *topics)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)  # of a worker; for all of them
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    began, cpu_began = time.monotonic(), time.process_time()
    folded = made.run()
    took_s, cpu_s = time.monotonic() - began, time.process_time() - cpu_began
    if folded != wanted * EVENTS_EACH or made.count() != wanted:
        raise RuntimeError(f"{folded:,} events of {made.count():,} aggregates, expected {wanted:,}")
    print(took_s, cpu_s)


if __name__ == "__main__":
    main(*sys.argv[1:])

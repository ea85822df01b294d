"""A Kafka in memory, as far as the kernel's guarantees rest on it: offsets, transactions, fences, the stable end.

What it keeps to is Kafka's protocol: a new owner of a transactional id aborts what the old one left open and completes
what it had decided; the end of a transaction may reach the partitions later than its owner hears of it; a reader of
committed records gets none behind the first open transaction.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum

import msgspec

from neural_hive.connectors.kafka_log import Record, StalledLog
from neural_hive.streams.kernel.partition_log import BEGUN_SUFFIX, Fenced, Indefinite
from neural_hive.streams.kernel.transport import Batch, Fetched
from neural_hive.streams.kernel.unit import Output

TRANSACTION_TIMEOUT_US = 10_000_000
Place = tuple[str, int]  # topic, partition


class Fate(Enum):
    """Where a transaction stands."""

    OPEN = "open"
    DECIDED = "decided"  # to be committed: the coordinator knows, the partitions do not yet
    COMMITTED = "committed"
    ABORTED = "aborted"


class Transaction:
    """One transaction, from its first record to the markers that end it."""

    def __init__(self, begun_at: int) -> None:
        self.begun_at = begun_at  # µs, of the clock that never jumps
        self.fate = Fate.OPEN
        self.places: list[Place] = []
        self.offsets: dict[tuple[str, str, int], int] = {}


class Entry(msgspec.Struct):
    """One offset of a partition: a record, or the marker of a transaction's end."""

    at: int  # append time, µs
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    transaction: Transaction | None
    is_marker: bool = False


class Broker:
    """All partitions, groups and transactional ids. `now` is its clock, µs."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000_000
        self.elapsed_us = 0
        self.logs: dict[Place, list[Entry]] = {}
        self.groups: dict[tuple[str, str, int], int] = {}
        self.epochs: dict[str, int] = {}
        self.open: dict[str, Transaction] = {}  # by transactional id; decided ones too

    def append(
        self,
        place: Place,
        key: bytes | None,
        value: bytes | None,
        headers: Iterable[tuple[str, bytes | None]] = (),
        transaction: Transaction | None = None,
    ) -> int:
        """Adds a record and gives its offset."""
        log = self.logs.setdefault(place, [])
        log.append(Entry(self.now, key, value, tuple(headers), transaction))
        if transaction is not None and place not in transaction.places:
            transaction.places.append(place)
        return len(log) - 1

    def begin(self, transactional_id: str) -> Transaction:
        """Opens a transaction."""
        transaction = self.open[transactional_id] = Transaction(self.elapsed_us)
        return transaction

    def finish(self, transactional_id: str, commit: bool) -> None:
        """Writes the markers; committed offsets count from now on."""
        transaction = self.open.pop(transactional_id)
        transaction.fate = Fate.COMMITTED if commit else Fate.ABORTED
        for place in transaction.places:
            self.logs[place].append(Entry(self.now, None, None, (), transaction, is_marker=True))
        if commit:
            self.groups.update(transaction.offsets)

    def settle(self, transactional_id: str) -> None:
        """Ends what a transactional id has begun: what was decided is completed, anything else aborted."""
        if (transaction := self.open.get(transactional_id)) is not None:
            self.finish(transactional_id, transaction.fate is Fate.DECIDED)

    def pass_time(self, us: int) -> None:
        """Time passes: markers arrive, and what stayed open for too long is aborted."""
        self.now += us
        self.elapsed_us += us
        for transactional_id, transaction in list(self.open.items()):
            if (
                transaction.fate is Fate.DECIDED
                or self.elapsed_us - transaction.begun_at > TRANSACTION_TIMEOUT_US
            ):
                self.settle(transactional_id)
                # The coordinator raises the epoch, so that its owner cannot go on with what was aborted.
                if transaction.fate is Fate.ABORTED:
                    self.epochs[transactional_id] = self.epochs.get(transactional_id, 0) + 1

    def stable_end(self, place: Place) -> int:
        """The last stable offset: that of the first record whose transaction has not ended."""
        log = self.logs.get(place, [])
        for offset, entry in enumerate(log):
            if entry.transaction is not None and entry.transaction.fate in (Fate.OPEN, Fate.DECIDED):
                return offset
        return len(log)

    def committed(self, place: Place, first: int, end: int) -> Iterator[tuple[int, Entry]]:
        """The committed records of [first, end)."""
        for offset, entry in enumerate(self.logs.get(place, [])[first:end], first):
            if not entry.is_marker and (
                entry.transaction is None or entry.transaction.fate is Fate.COMMITTED
            ):
                yield offset, entry

    def fetch(self, place: Place, first: int, count: int) -> Batch | None:
        """What a consumer gets that stands at an offset: at most `count` offsets; None: nothing."""
        following = min(self.stable_end(place), first + count)
        if following <= first:
            return None
        records = [
            Fetched(*place, offset, entry.at // 1_000, entry.key, entry.value, entry.headers)
            for offset, entry in self.committed(place, first, following)
        ]
        return Batch(*place, first, following, records, sum(len(r.value or b"") for r in records))


class SimulatedLog:
    """A process's PartitionLog on the broker. `reached(step)` is called at every step that a crash can follow."""

    def __init__(
        self,
        broker: Broker,
        group: str,
        transactional_id: str,
        partition: int,
        reached: Callable[[str], None],
    ) -> None:
        self.partition = partition
        self._broker, self._group, self._id, self._reached = broker, group, transactional_id, reached
        self._epoch = -1

    def take_over(self) -> None:
        """See PartitionLog.take_over."""
        self._reached("take over")
        self._broker.settle(self._id)
        self._epoch = self._broker.epochs[self._id] = self._broker.epochs.get(self._id, 0) + 1
        self._reached("taken over")

    def committed(self, topics: Iterable[str]) -> dict[str, int]:
        """See PartitionLog.committed."""
        self._reached("committed")
        groups = self._broker.groups
        return {topic: groups.get((self._group, topic, self.partition), -1) for topic in topics}

    def begun(self, topics: Iterable[str]) -> set[str]:
        """See PartitionLog.begun."""
        self._reached("begun inputs")
        groups = self._broker.groups
        return {topic for topic in topics if (self._group + BEGUN_SUFFIX, topic, self.partition) in groups}

    def note_begun(self, topics: Iterable[str]) -> None:
        """See PartitionLog.note_begun."""
        self._transact([], dict.fromkeys(topics, 0), self._group + BEGUN_SUFFIX)

    def range(self, topic: str) -> tuple[int, int]:
        """See PartitionLog.range."""
        self._reached("range")
        return 0, len(self._broker.logs.get((topic, self.partition), []))

    def read(self, topic: str, first: int, end: int) -> Iterator[Record]:
        """See PartitionLog.read: waits for open transactions to end."""
        place = (topic, self.partition)
        for _ in range(3):
            if self._broker.stable_end(place) >= end:
                break
            self._broker.pass_time(TRANSACTION_TIMEOUT_US)
        else:
            raise StalledLog(topic, self.partition, self._broker.stable_end(place), end, 30.0)
        for offset, entry in list(self._broker.committed(place, first, end)):
            yield Record(*place, offset, entry.at // 1_000, entry.key, entry.value, entry.headers)

    def at(self, partition: int) -> "SimulatedLog":
        """See PartitionLog.at."""
        return SimulatedLog(self._broker, self._group, self._id, partition, self._reached)

    def commit(self, outputs: list[Output], offsets: Mapping[str, int]) -> dict[str, int]:
        """See PartitionLog.commit."""
        return self._transact(outputs, offsets, self._group)

    def _transact(self, outputs: list[Output], offsets: Mapping[str, int], group: str) -> dict[str, int]:
        broker = self._broker
        self._check_owner()
        if self._id in broker.open:  # the coordinator still writes the markers of the one before
            broker.settle(self._id)
        transaction = broker.begin(self._id)
        self._reached("begun")
        landed = {}
        for output in outputs:
            self._check_owner()
            place = (output.topic, output.partition)
            offset = broker.append(place, output.key, output.value, output.headers, transaction)
            if output.hash is not None:
                landed[output.topic] = offset
        self._reached("produced")
        self._check_owner()
        transaction.offsets = {(group, topic, self.partition): at for topic, at in offsets.items()}
        self._reached("offsets sent")
        self._check_owner()
        transaction.fate = Fate.DECIDED
        self._reached("decided")
        if broker.open.get(self._id) is transaction:
            self._reached("markers")
        return landed

    def ask_time(self, topic: str) -> int:
        """See PartitionLog.ask_time: a transaction that is aborted."""
        broker = self._broker
        self._check_owner()
        if self._id in broker.open:
            broker.settle(self._id)
        transaction = broker.begin(self._id)
        broker.append((topic, self.partition), b"", b"", (), transaction)
        told = broker.now
        self._reached("asked")
        self._check_owner()
        if broker.open.get(self._id) is transaction:
            broker.finish(self._id, commit=False)
        return told

    def _check_owner(self) -> None:
        if self._broker.epochs.get(self._id) != self._epoch:
            raise Fenced(f"{self._id}: there is a newer owner")


class Unanswered(Indefinite):
    """The connection broke: nobody knows how far the call came."""

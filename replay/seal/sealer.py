"""The sealer: reads all that is committed, and signs from time to time that the log is so, and only grew.

It writes to the topic of checkpoints and to a file elsewhere, and has no part in events.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import structlog
from confluent_kafka import KafkaException

from neural_hive.aggregates.identity import derived_id
from neural_hive.connectors.kafka_log import LostLog, Offsets, Record, StalledLog, UnreadableLog
from neural_hive.connectors.publisher import Place, Publisher
from neural_hive.projections.layout import layout
from neural_hive.replay.reader import JoinedSource, KafkaSource, LogSource, Range, Span
from neural_hive.replay.seal import metrics
from neural_hive.replay.seal.catch_up import CatchUp, SealRefused, Standing
from neural_hive.replay.seal.follow import Follower
from neural_hive.replay.seal.keys import public_file
from neural_hive.replay.seal.leaf import Place as LogPlace
from neural_hive.replay.seal.leaf import record_leaf
from neural_hive.replay.seal.leaves import COMPACTED
from neural_hive.replay.seal.ledger import NoSealFile, SealFile
from neural_hive.replay.seal.merkle import leaf_hash
from neural_hive.replay.seal.note import PrivateKey
from neural_hive.replay.seal.seal import CHECKPOINTS, SEALED, Seal
from neural_hive.replay.seal.sealed_topics import sealed_topics
from neural_hive.replay.seal.state import StateFile, kept_state
from neural_hive.replay.seal.succession import follows, old_key

POLL_S: Final = 1.0
CALM_S: Final = 5.0  # how long a new place is tried again in vain before people are told
_RETRY_S: Final = 2.0
_LOOK_S: Final = 2.0
# A lost offset too: whether records are really gone shows when all is looked at again.
_PASSING: Final = (UnreadableLog, StalledLog, LostLog, KafkaException, NoSealFile, OSError)

log = structlog.get_logger(__name__)


class Settings(Protocol):
    """What the sealer needs of the settings."""

    @property
    def seal_every_s(self) -> float:
        """How long what is committed may wait for its seal."""
        ...

    @property
    def seal_every_records(self) -> int:
        """How many records a seal may cover at most."""
        ...

    def kafka_config(self) -> dict[str, Any]:
        """librdkafka's settings of the connection."""
        ...


class Files(msgspec.Struct, frozen=True):
    """What a sealer keeps on a disk."""

    folder: Path  # keys and state
    seals: Path

    @property
    def state(self) -> Path:
        return self.folder / "state.json"


def run(
    settings: Settings,
    key: PrivateKey,
    files: Files,
    open_archive: Callable[[], LogSource],
    stopping: threading.Event,
    ready: Callable[[bool], None] = lambda ready: None,
) -> None:
    """Seals until `stopping` is set; once the log is no extension of what was sealed, it only waits for that."""
    config = settings.kafka_config()
    source = JoinedSource(_Late(open_archive), KafkaSource({**config, "log_level": 2}))
    publisher = Publisher(config, "neural-hive.sealer", is_traced=False)
    while not stopping.is_set():
        try:
            Sealer(settings, key, files, source, publisher, stopping, ready).run()
        except SealStopped:
            return
        except SealRefused as error:
            ready(False)
            metrics.REFUSED.set(1)
            log.critical("nothing more is sealed: the log is not what was sealed", why=str(error))
            while not stopping.wait(_LOOK_S):
                if not _is_key(files, key):
                    return  # it is to be sealed anew: whoever started this process starts the next one
        except _PASSING as error:
            ready(False)
            log.warning("sealing waits, and tries again", why=str(error)[:500])
            stopping.wait(_RETRY_S)


def _is_key(files: Files, key: PrivateKey) -> bool:
    """Whether it is still this key that seals."""
    try:
        return public_file(files.folder, "seal").read_text().strip() == key.public.text
    except OSError:
        return False


class Sealer:
    """One attempt at sealing, from catching up on; see `run`."""

    def __init__(
        self,
        settings: Settings,
        key: PrivateKey,
        files: Files,
        source: LogSource,
        publisher: Publisher,
        stopping: threading.Event,
        ready: Callable[[bool], None] = lambda ready: None,
        topics: Iterable[str] | None = None,
    ) -> None:
        """`topics` differ only in tests."""
        self._settings, self._key, self._source, self._publisher = settings, key, source, publisher
        self._stopping, self._ready, self._topics = stopping, ready, topics
        self._config = {**settings.kafka_config(), "log_level": 2}
        self._state, self._file = StateFile(files.state), SealFile(files.seals)
        self._follows = follows(files.folder)
        self._old_key = old_key(files.folder, self._follows)
        self._unconfirmed: dict[LogPlace, bytes] = {}  # leaf hash of the last record that is sealed

    def run(self) -> None:
        """Until told to stop. Raises SealRefused, SealStopped; and what may pass."""
        with closing(Offsets(self._config)) as offsets:
            standing, starts = self.begun(offsets)
        with closing(Follower(self._config, starts)) as follower:
            self._follow(standing, follower)

    def begun(self, offsets: Offsets) -> tuple[Standing, dict[LogPlace, int]]:
        """All that comes before following: where the trees stand, and from where each partition is read."""
        topics = sorted(self._topics or sealed_topics().intersection(self._there(offsets)))
        found = layout(self._config, topics)
        standing = CatchUp(self._key.public, self._source, self._state, self._file).run(
            {topic: topic_id for topic, (topic_id, _) in found.items()}
        )
        if standing.unpublished:
            self._publish(standing, standing.unpublished)
        self._keep(standing)
        places = [(topic, number) for topic, (_, count) in found.items() for number in range(count)]
        return standing, self._starts(standing, offsets, places)

    def _there(self, offsets: Offsets) -> list[str]:
        return list(offsets.consumer.list_topics(timeout=30).topics)

    def _starts(self, standing: Standing, offsets: Offsets, places: list[LogPlace]) -> dict[LogPlace, int]:
        """From where each partition is read: the last sealed record again, to see that it is still the same."""
        begins, ends = offsets.begins(places), offsets.ends(places)
        starts = {}
        for place in places:
            tree = standing.trees.by_place.get(place)
            last = tree.last_offset if tree else -1
            if ends[place] <= last:
                raise SealRefused(
                    f"{place[0]}:{place[1]} ends at offset {ends[place]}, and is sealed up to {last}: records are gone"
                )
            if begins[place] > last + 1:
                self._read_expired(standing, place, last + 1, begins[place])
            if tree and begins[place] <= last and place[0] not in COMPACTED:
                self._unconfirmed[place] = tree.last_hash
                starts[place] = last
            else:
                starts[place] = max(begins[place], last + 1)
        return starts

    def _read_expired(self, standing: Standing, place: LogPlace, first: int, end: int) -> None:
        """Takes from the archive what Kafka deleted before it was sealed."""
        self._source.ranges(place[0])
        for record in chain.from_iterable(self._source.batches(*place, first, end)):
            standing.trees.take(record)

    def _follow(self, standing: Standing, follower: Follower) -> None:
        trees, seal_at = standing.trees, time.monotonic() + self._settings.seal_every_s
        self._tell(standing, follower)
        while not self._stopping.is_set():
            for record in follower.records(POLL_S):
                if not self._is_confirmed(record):
                    trees.take(record)
            is_time = time.monotonic() >= seal_at
            if trees.unsealed and (is_time or trees.unsealed >= self._settings.seal_every_records):
                if self._unconfirmed:
                    continue
                self._seal(standing)
            if is_time:
                seal_at = time.monotonic() + self._settings.seal_every_s
            self._tell(standing, follower)
            self._ready(not self._unconfirmed)

    def _is_confirmed(self, record: Record) -> bool:
        """Whether this is the last record that is sealed, read again. Raises SealRefused: it is another one."""
        expected = self._unconfirmed.pop((record.topic, record.partition), None)
        if expected is None:
            return False
        if leaf_hash(record_leaf(record)) != expected:
            raise SealRefused(
                f"{record.topic}:{record.partition}:{record.offset} is not the record that was sealed there"
            )
        return True

    def _seal(self, standing: Standing) -> None:
        now = time.time_ns() // 1_000
        seal = standing.trees.seal(self._key, now, self._follows.lines, self._old_key)
        # Whoever signs twice for one size shows two logs: what is signed is kept before anybody sees it.
        self._state.write(kept_state(standing.trees, standing.topic_ids, standing.place, seal))
        self._file.append([seal])
        self._publish(standing, seal)
        count = standing.trees.unsealed
        standing.trees.settle(seal)
        self._keep(standing)
        metrics.CHECKPOINTS.inc()
        metrics.RECORDS.inc(count)

    def _keep(self, standing: Standing) -> None:
        self._state.write(kept_state(standing.trees, standing.topic_ids, standing.place))

    def _publish(self, standing: Standing, seal: Seal) -> None:
        """Raises SealStopped: told to stop before it was delivered; it is published at the next start."""
        outcome: list[str] = []
        places: list[Place] = []
        header = self._publisher.header(SEALED, derived_id(self._key.name, seal.note), self._key.name)
        self._publisher.publish(CHECKPOINTS, header, seal.payload, outcome.append, places.append)
        told_at = time.monotonic() + CALM_S
        while not outcome:
            self._publisher.poll(0.1)
            if self._stopping.is_set():
                self._publisher.flush(CALM_S)
                if not outcome:
                    raise SealStopped
            if time.monotonic() > told_at:
                self._ready(False)
        if outcome[0]:
            raise UnreadableLog(f"the checkpoint was not taken by {CHECKPOINTS}: {outcome[0]}")
        standing.place = (places[0].partition, places[0].offset)
        standing.unpublished = None

    def _tell(self, standing: Standing, follower: Follower) -> None:
        chain_now = standing.trees.chain
        metrics.REFUSED.set(0)
        metrics.SIZE.set(chain_now.size)
        metrics.UNSEALED.set(standing.trees.unsealed + follower.behind())
        if chain_now.last:
            metrics.SEALED_AT.set(chain_now.last.sealed_at / 1_000_000)


class SealStopped(RuntimeError):
    """Told to stop while a checkpoint was on its way."""


class _Late:
    """The archive, opened when something must be read from it: mostly never. Raises UnreadableLog."""

    name = "archive"

    def __init__(self, opened: Callable[[], LogSource]) -> None:
        self._open = opened
        self._archive: LogSource | None = None

    def ranges(self, topic: str) -> Mapping[int, Range]:
        """See LogSource.ranges."""
        with _as_unreadable():
            return self._opened().ranges(topic)

    def spans(self, topic: str, partition: int, first: int, end: int) -> list[Span]:
        """See LogSource.spans."""
        return [(self.name, self, first, end)]

    def batches(self, topic: str, partition: int, first: int, end: int) -> Iterator[list[Record]]:
        """See LogSource.batches."""
        with _as_unreadable():
            yield from self._opened().batches(topic, partition, first, end)

    def _opened(self) -> LogSource:
        self._archive = self._archive or self._open()
        return self._archive


@contextmanager
def _as_unreadable() -> Iterator[None]:
    # The archive's errors are not imported: its client is large, and mostly not needed.
    try:
        yield
    except (UnreadableLog, GeneratorExit):
        raise
    except Exception as error:
        raise UnreadableLog(f"the archive cannot be read: {error}") from error

"""Saves a system: the log of all its topics and its groups' offsets as of one moment, with keys and artifacts.

The manifest comes last. A backup that did not end leaves the one before as it was; the next one goes on from that.
"""

import fcntl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from neural_hive.connectors.kafka_cluster import Cluster, FoundTopic
from neural_hive.connectors.kafka_offsets import Offsets, Place
from neural_hive.connectors.schema_log import TOPIC as SCHEMAS
from neural_hive.replay.backup.copies import ARTIFACTS, copy_artifacts, copy_keys
from neural_hive.replay.backup.cut import LIMIT_S, REST_S, Asked, Cut, cut
from neural_hive.replay.backup.files import remove_strangers, write_files
from neural_hive.replay.backup.manifest import (
    BackupUnusable,
    Manifest,
    SavedOffset,
    SavedPartition,
    SavedTopic,
    manifest_of,
    synced,
    write_manifest,
)
from neural_hive.replay.backup.sources import Archive, Sources, spans
from neural_hive.schemas.catalogue import registered
from neural_hive.schemas.topics import Kind
from neural_hive.streams.kernel.partition_log import BEGUN_SUFFIX
from neural_hive.streams.kernel.router import router_name
from neural_hive.streams.kernel.system import System

_NOTHING: Final = SavedPartition(-1, -1, 0, ())


class Progress(msgspec.Struct, frozen=True):
    """How far it is: offsets passed, of so many."""

    what: str
    done: int
    all: int


Tell = Callable[[Progress], None]


class Source(msgspec.Struct, frozen=True):
    """What to save."""

    kafka: Mapping[str, Any]
    systems: Sequence[System]
    topics: Mapping[str, Kind]  # all that the project and its extensions declare
    archive: Archive | None
    data: Path  # the data folder, with keys and artifacts
    build: str
    with_keys: bool = True
    limit_s: float = LIMIT_S
    rest_s: float = REST_S


def back_up(source: Source, folder: Path, tell: Tell = lambda progress: None) -> Manifest:
    """Saves what the folder does not have yet, and gives the new manifest.

    Raises BackupUnusable: the folder is of another cluster, or in use; NoRest; all that reading raises.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with held(folder):
        return _Backup(source, folder, tell).run()


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Holds a backup's folder for this process. Raises BackupUnusable: another one has it."""
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupUnusable(f"another backup writes into {folder}: wait until it has ended") from None
        yield


def groups_of(system: System, partitions: Mapping[str, int]) -> dict[str, frozenset[str]]:
    """The groups of a system and of its routers, and the topics that each reads."""
    topics = [*system.inputs, *([system.repartition] if system.repartition else [])]
    there = [topic for topic in topics if topic in partitions]
    own = next((partitions[topic] for topic in system.event_topics if topic in partitions), None)
    routed = {topic for topic in there if own is not None and partitions[topic] != own}
    groups = {router_name(system.name, topic): frozenset({topic}) for topic in routed}
    return {system.name: frozenset(there) - routed} | groups


class _Backup:
    def __init__(self, source: Source, folder: Path, tell: Tell) -> None:
        self._source, self._folder, self._tell = source, folder, tell
        self._cluster = Cluster(source.kafka)
        self._sources = Sources(source.kafka, source.archive)
        self._warnings: list[str] = []

    def run(self) -> Manifest:
        source, before, began_at = self._source, manifest_of(self._folder), _now()
        topics = self._cluster.topics([*self._names(), SCHEMAS])
        self._check(topics, before)
        remove_strangers(self._folder, before.files if before else ())
        groups = self._groups(topics)
        found = cut(source.kafka, self._asked(topics, groups), source.limit_s, source.rest_s)
        cut_at = _now()
        if not found.rested:
            self._warnings.append(
                "some inputs were not read to their end, and nothing moved: is the system at work?"
            )
        # What was begun only now has no offset in the moment that is saved.
        begun = {f"{group}{BEGUN_SUFFIX}": of.keys() for group, of in found.offsets.items()}
        offsets = {**found.offsets, **{g: self._cluster.committed(g, p) for g, p in begun.items()}}
        saved = self._topics(topics, found, before)
        manifest = Manifest(
            build=source.build,
            began_at=began_at,
            cut_at=cut_at,
            ended_at=_now(),
            held_s=round(found.took_s, 3),
            cluster_id=self._cluster.cluster_id,
            topics=saved,
            groups={group: _saved(of) for group, of in offsets.items() if of},
            schema_ids=tuple(sorted(registered())),
            keys=copy_keys(source.data, self._folder, source.with_keys),
            artifacts=copy_artifacts(source.data / ARTIFACTS, self._folder / ARTIFACTS),
            warnings=tuple(self._warnings),
        )
        synced(self._folder)
        write_manifest(self._folder, manifest)
        return manifest

    def _names(self) -> set[str]:
        """All topics that belong to it: declared ones, and what the systems read beside them."""
        of_systems = {
            name
            for system in self._source.systems
            for name in (
                *system.inputs,
                *([system.repartition] if system.repartition else []),
                *system.event_topics,
                *(view.topic for view in system.views.values()),
            )
        }
        return {*self._source.topics, *of_systems}

    def _check(self, topics: Mapping[str, FoundTopic], before: Manifest | None) -> None:
        if not set(topics) - {SCHEMAS}:
            raise BackupUnusable("there is nothing to save: Kafka has none of the system's topics")
        for known in before.topics if before else ():
            found = topics.get(known.name)
            if found is None or found.topic_id != known.topic_id:
                raise BackupUnusable(
                    f"{self._folder} holds a backup of another topic {known.name} (its id is {known.topic_id}, here it "
                    f"is {found.topic_id if found else 'missing'}): give this cluster a folder of its own"
                )

    def _groups(self, topics: Mapping[str, FoundTopic]) -> dict[str, frozenset[Place]]:
        counts = {name: topic.partitions for name, topic in topics.items()}
        return {
            group: frozenset((topic, p) for topic in read for p in range(counts[topic]))
            for system in self._source.systems
            for group, read in groups_of(system, counts).items()
            if read
        }

    def _asked(self, topics: Mapping[str, FoundTopic], groups: Mapping[str, frozenset[Place]]) -> Asked:
        places = {name: [(name, p) for p in range(topics[name].partitions)] for name in topics}
        kinds = self._source.topics
        events = {name for system in self._source.systems for name in system.event_topics}
        ours = {name for name in topics if name in events or kinds.get(name) in (Kind.EVENT, Kind.DEAD)}
        written = frozenset(place for name in ours for place in places[name])
        inputs = frozenset(
            place for read in groups.values() for place in read
        )  # events of other systems among them
        rest = {place for name in topics if name != SCHEMAS for place in places[name]} - inputs - written
        return Asked(groups, written, frozenset(rest))

    def _topics(
        self, topics: Mapping[str, FoundTopic], found: Cut, before: Manifest | None
    ) -> tuple[SavedTopic, ...]:
        # Last, so that every schema of what was noted before is in it.
        ends = {**found.ends, **self._ends(topics.get(SCHEMAS))}
        begins = self._sources.begins(sorted(ends))
        known = {
            (topic.name, p.partition): p
            for topic in (before.topics if before else ())
            for p in topic.partitions
        }
        total = sum(end - known.get(place, _NOTHING).end for place, end in ends.items())
        done, saved = 0, list[SavedTopic]()
        for name, topic in sorted(topics.items()):
            partitions = []
            for number in range(topic.partitions):
                place = (name, number)
                self._tell(Progress(f"{name}:{number}", done, total))
                there = known.get(place, _NOTHING)
                partitions.append(self._partition(topic, place, there, begins[place], ends[place]))
                done += ends[place] - there.end
            saved.append(SavedTopic(name, topic.topic_id, topic.config, tuple(partitions)))
        self._tell(Progress("", total, total))
        return tuple(saved)

    def _ends(self, topic: FoundTopic | None) -> dict[Place, int]:
        if topic is None:
            self._warnings.append(f"there is no topic {SCHEMAS}: save the schema registry by its own means")
            return {}
        offsets = Offsets(self._source.kafka)
        try:
            return offsets.ends([(topic.name, number) for number in range(topic.partitions)])
        finally:
            offsets.close()

    def _partition(
        self, topic: FoundTopic, place: Place, known: SavedPartition, begin: int, end: int
    ) -> SavedPartition:
        first = known.end
        if end < first:
            raise BackupUnusable(
                f"{place[0]}:{place[1]} ends at offset {end}, and is saved up to {first}: the log has lost records. "
                "Keep this backup, it may be the only copy, and save into another folder"
            )
        archived = self._sources.archived(place, topic.topic_id) if first < begin else 0
        found, missing = spans(first, begin, end, archived)
        if missing:
            self._warnings.append(
                f"{place[0]}:{place[1]}: {missing} offsets before {min(begin, end)} are neither in Kafka nor in the "
                "archive"
            )
        batches = self._sources.batches(place, found)
        files = (*known.files, *write_files(self._folder, *place, first, end, batches))
        start = found[0].first if found else end
        return SavedPartition(place[1], known.first if known.partition >= 0 else start, end, files)


def _saved(offsets: Mapping[Place, int]) -> tuple[SavedOffset, ...]:
    return tuple(SavedOffset(topic, p, offset) for (topic, p), offset in sorted(offsets.items()))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")

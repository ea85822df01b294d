"""Restores a backup into an empty cluster: the same records at the same offsets with the same times, groups, tables.

Offsets must stay, for events name the offsets of their causes, and proofs and positions stand on them. What Kafka
decides anew are the ids of topics, so what keeps them (RocksDB, the tables' positions) is made anew from the log.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any, Final

import msgspec

from neural_hive.connectors.kafka_cluster import Cluster, FoundTopic
from neural_hive.connectors.kafka_log import CommittedLog, Offsets, Record
from neural_hive.connectors.kafka_offsets import Place
from neural_hive.projections.http_store import HttpStore
from neural_hive.replay.backup.check import check
from neural_hive.replay.backup.copies import ARTIFACTS, copy_artifacts, restore_keys
from neural_hive.replay.backup.files import read_file
from neural_hive.replay.backup.gaps import Step, steps
from neural_hive.replay.backup.manifest import Manifest, SavedPartition, SavedTopic
from neural_hive.replay.backup.saved import Progress, Tell
from neural_hive.replay.backup.tables import check_empty, fill
from neural_hive.replay.backup.writer import NotAsSaved, write_all
from neural_hive.schemas.topics import Kind

_FOR_EVER: Final = str((1 << 63) - 1)
WHILE_WRITTEN: Final = {
    "message.timestamp.type": "CreateTime",  # or every record would get the time of now
    "message.timestamp.before.max.ms": _FOR_EVER,
    "message.timestamp.after.max.ms": _FOR_EVER,
    "cleanup.policy": "delete",  # compaction would change what is compared
    "retention.ms": "-1",
    "retention.bytes": "-1",
}
_TIMES: Final = "message.timestamp.type"


class NotEmpty(RuntimeError):
    """The cluster holds something already; nothing was written."""


class Target(msgspec.Struct, frozen=True):
    """Where to restore to."""

    kafka: Mapping[str, Any]
    replication: int
    store: HttpStore
    kinds: Mapping[str, Kind]  # of the topics that the projector follows
    data: Path  # the data folder, for keys and artifacts


def restore(folder: Path, target: Target, tell: Tell = lambda progress: None) -> Manifest:
    """Restores all of it, and gives the manifest.

    Once all records stand in Kafka, it may be called again after whatever went wrong, and goes on from there.
    Raises BackupUnusable; NotEmpty; NotAsSaved; TablesInUse, TablesNotFilled.
    """
    manifest = check(folder, tell)
    return _Restore(folder, manifest, target, tell).run()


class _Restore:
    def __init__(self, folder: Path, manifest: Manifest, target: Target, tell: Tell) -> None:
        self._folder, self._manifest, self._target, self._tell = folder, manifest, target, tell
        self._cluster = Cluster(target.kafka)
        self._parts = {
            (topic.name, partition.partition): partition
            for topic in manifest.topics
            for partition in topic.partitions
        }

    def run(self) -> Manifest:
        there = self._cluster.topics(topic.name for topic in self._manifest.topics)
        if not self._is_written(there):
            self._check_empty(there)
            check_empty(self._target.store)
            self._create(there)
            self._write()
        self._delete_beginnings()
        self._compare()
        self._commit()
        restore_keys(self._folder, self._manifest.keys, self._target.data)
        copy_artifacts(self._folder / ARTIFACTS, self._target.data / ARTIFACTS)
        self._fill()
        for topic in self._manifest.topics:
            self._cluster.set_config(topic.name, self._config(topic), WHILE_WRITTEN)
        return self._manifest

    def _config(self, topic: SavedTopic) -> dict[str, str]:
        """What is set for the topic in the end: as many copies must have a record as the cluster can hold."""
        in_sync = {"min.insync.replicas": str(min(self._target.replication, 2))}
        return topic.config | {name: value for name, value in in_sync.items() if name in topic.config}

    def _is_written(self, there: Mapping[str, FoundTopic]) -> bool:
        """Whether an earlier restore has written all and went no further. The records themselves are compared later."""
        topics = self._manifest.topics
        if any(t.name not in there or there[t.name].partitions != len(t.partitions) for t in topics):
            return False
        is_open = all(there[t.name].config.get(_TIMES) == WHILE_WRITTEN[_TIMES] for t in topics)
        return is_open and self._ends(self._parts) == {place: part.end for place, part in self._parts.items()}

    def _ends(self, places: Iterable[Place]) -> dict[Place, int]:
        with closing(Offsets(self._target.kafka)) as offsets:
            return offsets.ends(places)

    def _check_empty(self, there: Mapping[str, FoundTopic]) -> None:
        for topic in self._manifest.topics:
            found = there.get(topic.name)
            if found is None:
                continue
            if found.partitions != len(topic.partitions):
                raise NotEmpty(
                    f"topic {topic.name} is there with {found.partitions} partitions, the backup has "
                    f"{len(topic.partitions)}: delete it, or restore into another cluster"
                )
        ends = self._ends([place for place in self._parts if place[0] in there])
        if held := sorted({topic for (topic, _), end in ends.items() if end}):
            states = {there[topic].config.get(_TIMES) for topic in held}
            cut_off = (
                "An earlier restore was interrupted, and cannot go on. " if states == {"CreateTime"} else ""
            )
            raise NotEmpty(
                f"the cluster is not empty: there were records in {', '.join(held[:3])}"
                f"{f' and {len(held) - 3} more' if held[3:] else ''}. {cut_off}Nothing was written: a backup is not "
                "mixed with anything else. Delete these topics (or the data folder of a system on one machine), or "
                "restore into another cluster"
            )
        for group, offsets in self._manifest.groups.items():
            places = [(o.topic, o.partition) for o in offsets if o.topic in there]
            if self._cluster.committed(group, places):
                raise NotEmpty(
                    f"the group {group} has offsets on this cluster. Nothing was written: delete the group "
                    f"(kafka-consumer-groups.sh --delete --group {group}), or restore into another cluster"
                )

    def _create(self, there: Mapping[str, FoundTopic]) -> None:
        for topic in self._manifest.topics:
            config = self._config(topic) | WHILE_WRITTEN
            if topic.name in there:
                self._cluster.set_config(topic.name, config)
            else:
                self._cluster.create(topic.name, len(topic.partitions), self._target.replication, config)
        wanted = {topic.name: len(topic.partitions) for topic in self._manifest.topics}
        self._cluster.wait_led(wanted)

    def _write(self) -> None:
        total = self._manifest.records

        def tell(written: int) -> None:
            self._tell(Progress("writing", written, total))

        write_all(self._target.kafka, {place: self._steps(place) for place in self._parts}, tell)
        ends = self._ends(self._parts)
        for place, part in self._parts.items():
            if ends[place] != part.end:
                raise NotAsSaved(f"{place[0]}:{place[1]} ends at {ends[place]}, and must end at {part.end}")

    def _steps(self, place: Place) -> Iterator[Step]:
        return steps(chain.from_iterable(self._saved(place)), self._parts[place].end)

    def _saved(self, place: Place) -> Iterator[list[Record]]:
        for saved in self._parts[place].files:
            yield from read_file(self._folder, saved, *place)

    def _delete_beginnings(self) -> None:
        """Where a log began is where it begins again."""
        firsts = {place: part.first for place, part in self._parts.items() if part.first}
        if firsts:
            self._cluster.delete_before(firsts)

    def _compare(self) -> None:
        """Reads all again."""
        done, total = 0, self._manifest.records
        for place, part in self._parts.items():
            self._tell(Progress("comparing", done, total))
            _compare(place, self._standing(place, part), chain.from_iterable(self._saved(place)))
            done += part.records

    def _standing(self, place: Place, part: SavedPartition) -> Iterator[Record]:
        begins_blank = bool(part.files) and next(chain.from_iterable(self._saved(place))).offset == 1
        for record in CommittedLog(self._target.kafka, *place, part.first, part.end):
            if not (begins_blank and record.offset == 0):  # see gaps.Blank
                yield record

    def _commit(self) -> None:
        for group, offsets in self._manifest.groups.items():
            self._cluster.commit(group, {(o.topic, o.partition): o.offset for o in offsets})

    def _fill(self) -> None:
        kinds = {
            t.name: self._target.kinds[t.name] for t in self._manifest.topics if t.name in self._target.kinds
        }
        ends = {place: part.end for place, part in self._parts.items() if place[0] in kinds}
        total = sum(ends.values())
        if not kinds:
            return
        fill(
            self._target.store,
            self._target.kafka,
            kinds,
            ends,
            lambda passed: self._tell(Progress("filling the tables", passed, total)),
        )


def _compare(place: Place, standing: Iterator[Record], saved: Iterator[Record]) -> None:
    where = f"{place[0]}:{place[1]}"
    for record in saved:
        found = next(standing, None)
        if found != record:
            raise NotAsSaved(
                f"{where}: the record at offset {record.offset} is not what was saved "
                f"({_difference(record, found)}). Empty the cluster, and restore again"
            )
    if (found := next(standing, None)) is not None:
        raise NotAsSaved(
            f"{where} has a record at offset {found.offset} that was not saved. Empty the cluster"
        )


def _difference(saved: Record, found: Record | None) -> str:
    if found is None:
        return "there is none"
    names = [name for name in saved.__struct_fields__ if getattr(saved, name) != getattr(found, name)]
    return ", ".join(f"another {name}" for name in names)

"""What to verify, and with what."""

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from neural_hive.connectors.clickhouse import ClickHouse
from neural_hive.projections.store import Store
from neural_hive.replay.archive import ArchiveSource
from neural_hive.replay.checks.committed import Offsets, committed_offsets
from neural_hive.replay.checks.seal import Sealing
from neural_hive.replay.reader import JoinedSource, KafkaSource, LogSource, Told, ToldSource
from neural_hive.replay.report import Findings
from neural_hive.replay.steps.target import Target, target_of
from neural_hive.streams.kernel.reading import Fetch
from neural_hive.streams.kernel.system import System


class Tables(msgspec.Struct, frozen=True):
    """The ClickHouse database: as a reader, and as what recomputes read models."""

    clickhouse: ClickHouse
    store: Store


Decide = Callable[[System, LogSource, Findings], None]


class Request(msgspec.Struct, frozen=True):
    """What to verify, and with what."""

    systems: tuple[System, ...]
    kafka: Mapping[str, Any]
    tables: Tables | None  # None: archive and read models are left out
    states: Path | None  # the processors' data folder; None: state is left out
    from_archive: bool = False  # read the log from the archive alone
    partitions: int = 0  # of each topic, which the archive alone does not know; 0: nobody else knows either
    topics: tuple[str, ...] = ()  # only these event topics; () = all
    stall_s: float = 30.0
    fetch_schema: Fetch | None = None  # finds schemas that other producers registered
    sealing: Sealing | None = None  # None: the seal is left out
    told: Told | None = None  # hears of all that is read of the log
    decide: Decide | None = None  # runs a system's decisions again; None: that is not asked for

    def targets(self) -> dict[str, Target]:
        """The writers of which something is to be verified.

        From the archive alone, event topics of which it has nothing are left out: some systems have not yet said
        anything. If it has nothing of any, all are named, and each is told to be missing.
        """
        targets = [target_of(system).narrowed(self.topics) for system in self.systems]
        if self.from_archive and self.tables is not None:
            known = {topic for topic, _ in ArchiveSource(self.tables.clickhouse).positions()}
            if any(known.intersection(target.event_topics) for target in targets):
                targets = [_only(target, known) for target in targets]
        return {target.name: target for target in targets if target.event_topics}

    def source(self, kafka: KafkaSource) -> LogSource:
        """Where the log is read."""
        source: LogSource = kafka
        if self.tables is not None:
            archive = ArchiveSource(self.tables.clickhouse)
            archive.partitions = self.partitions
            source = archive if self.from_archive else JoinedSource(archive, kafka)
        return source if self.told is None else ToldSource(source, self.told)

    def archived_topics(self) -> Iterable[str]:
        """The topics of which the archive has the records."""
        targets = self.targets().values()
        named = {
            t for target in targets for t in (*target.event_topics, *target.input_topics, target.dead_letters)
        }
        return sorted(named)

    def committed(self, target: Target, kafka: KafkaSource) -> Callable[[], Offsets] | None:
        """How far each input was read, by whoever reads it; None: that cannot be known."""
        return None if self.from_archive else lambda: _committed(target, kafka)


def _only(target: Target, known: Collection[str]) -> Target:
    events = tuple(topic for topic in target.event_topics if topic in known)
    return msgspec.structs.replace(target, event_topics=events)


def _committed(target: Target, kafka: KafkaSource) -> Offsets:
    own = len(kafka.ranges(target.event_topics[0]))
    groups: dict[str, dict[str, int]] = {}
    for topic in target.input_topics:
        count = len(kafka.ranges(topic))
        groups.setdefault(target.reader(topic, routed=count != own), {})[topic] = count
    found = [committed_offsets(kafka.config, group, topics) for group, topics in groups.items()]
    return {place: offset for offsets in found for place, offset in offsets.items()}

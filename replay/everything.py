"""Verifies whole systems: their logs, what was archived of them, the read models, and the processors' state."""

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from neural_hive.connectors.clickhouse import ClickHouse, ClickHouseError
from neural_hive.connectors.kafka_log import LostLog, StalledLog, UnreadableLog
from neural_hive.projections.store import Store, StoreRefused, StoreUnavailable
from neural_hive.replay.archive import ArchiveSource
from neural_hive.replay.checks.archive import check_archive, check_projections
from neural_hive.replay.checks.committed import NotVerified, Offsets, committed_offsets
from neural_hive.replay.checks.seal import Sealing, check_seal
from neural_hive.replay.reader import JoinedSource, KafkaSource, LogSource, Told, ToldSource
from neural_hive.replay.report import Check, Findings, Part, Report
from neural_hive.replay.verify import Target, Verification, target_of
from neural_hive.streams.kernel.reading import Fetch, MessageReader
from neural_hive.streams.kernel.system import System

_UNDONE = (StalledLog, LostLog, UnreadableLog, NotVerified, ClickHouseError, StoreUnavailable, StoreRefused)


class Tables(msgspec.Struct, frozen=True):
    """The ClickHouse database: as a reader, and as what recomputes read models (it makes shadow tables)."""

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
    topics: tuple[str, ...] = ()  # only these event topics; () = all
    stall_s: float = 30.0
    fetch_schema: Fetch | None = None  # finds schemas that other producers registered
    sealing: Sealing | None = None  # None: the seal is left out
    told: Told | None = None  # hears of all that is read of the log
    decide: Decide | None = None  # runs a system's decisions again; None: that is not asked for


def verify_everything(request: Request) -> Report:
    """One report over all systems. What could not be done is in the report, with what was found until then."""
    started_at = time.monotonic()
    findings, parts, problems = Findings(), list[Part](), list[str]()
    try:
        kafka = KafkaSource(request.kafka, request.stall_s)
        source = _source(request, kafka)
        for system in request.systems:
            problems += _system(system, source, kafka, request, findings, parts)
        if request.decide is not None and not findings.examined[Check.DECISION]:
            findings.skip(Check.DECISION, "none could be run again")
        _tables(request, kafka, findings)
        _seal(request, source, kafka, findings)
    except _UNDONE as error:
        problems.append(str(error))
    return findings.report(parts, time.monotonic() - started_at, "; ".join(problems))


def _source(request: Request, kafka: KafkaSource) -> LogSource:
    source: LogSource = kafka
    if request.tables is not None:
        archive = ArchiveSource(request.tables.clickhouse)
        source = archive if request.from_archive else JoinedSource(archive, kafka)
    return source if request.told is None else ToldSource(source, request.told)


def _system(
    system: System,
    source: LogSource,
    kafka: KafkaSource,
    request: Request,
    findings: Findings,
    parts: list[Part],
) -> list[str]:
    target = _narrowed(target_of(system), request.topics)
    if not target.event_topics:
        return []

    verification = Verification(
        target,
        source,
        None if request.from_archive else lambda: _committed(target, kafka),
        system,
        request.states,
        findings,
        MessageReader(request.fetch_schema),
    )
    verification.run()
    parts += verification.parts
    if request.decide is not None and not verification.problem:
        request.decide(system, source, findings)
    return [f"{system.name}: {verification.problem}"] if verification.problem else []


def _committed(target: Target, kafka: KafkaSource) -> Offsets:
    """How far each input was read, by whoever reads it."""
    own = len(kafka.ranges(target.event_topics[0]))
    groups: dict[str, dict[str, int]] = {}
    for topic in target.input_topics:
        count = len(kafka.ranges(topic))
        groups.setdefault(target.reader(topic, routed=count != own), {})[topic] = count
    found = [committed_offsets(kafka.config, group, topics) for group, topics in groups.items()]
    return {place: offset for offsets in found for place, offset in offsets.items()}


def _narrowed(target: Target, topics: tuple[str, ...]) -> Target:
    if not topics:
        return target
    events = tuple(topic for topic in target.event_topics if topic in topics)
    return msgspec.structs.replace(target, event_topics=events, whole=events == target.event_topics)


def _tables(request: Request, kafka: KafkaSource, findings: Findings) -> None:
    if request.tables is None:
        for check in (Check.ARCHIVE, Check.PROJECTION):
            findings.skip(check, "left out")
        return
    if request.from_archive:
        findings.skip(Check.ARCHIVE, "the log was read from the archive itself")
    else:
        check_archive(kafka, ArchiveSource(request.tables.clickhouse), _topics(request), findings)
    check_projections(request.tables.store, findings)


def _seal(request: Request, source: LogSource, kafka: KafkaSource, findings: Findings) -> None:
    if request.sealing is None:
        for check in (Check.SEAL, Check.WITNESS):
            findings.skip(check, "left out")
        return
    sealing = request.sealing
    if request.topics:
        chosen = tuple(topic for topic in sealing.topics if topic in request.topics)
        sealing = msgspec.structs.replace(sealing, topics=chosen)
    findings.seal = check_seal(source, kafka, sealing, findings)


def _topics(request: Request) -> Iterable[str]:
    targets = [_narrowed(target_of(system), request.topics) for system in request.systems]
    named = {
        t for target in targets for t in (*target.event_topics, *target.input_topics, target.dead_letters)
    }
    return sorted(named)

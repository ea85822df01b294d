"""Does the steps of a request, in whichever process."""

from collections.abc import Mapping
from functools import cached_property, partial
from typing import Final

import msgspec

from neural_hive.connectors.heaps import give_back
from neural_hive.connectors.kafka_log import QUEUE
from neural_hive.projections.catalogue import PROJECTIONS
from neural_hive.projections.comparing import Comparing
from neural_hive.projections.positions import Position
from neural_hive.projections.ranges import Place
from neural_hive.replay.archive import ArchiveSource
from neural_hive.replay.checks.archive import check_projection, check_topic
from neural_hive.replay.checks.seal import check_seal
from neural_hive.replay.reader import KafkaSource, LogSource, NotedSource
from neural_hive.replay.report import Findings
from neural_hive.replay.steps.plan import WRITERS, Needs, Plan
from neural_hive.replay.steps.request import Request
from neural_hive.replay.steps.results import Results
from neural_hive.replay.steps.step import Done, Kind, Step
from neural_hive.replay.steps.work import do_step, look
from neural_hive.replay.steps.writer import Found, Writer
from neural_hive.streams.kernel.reading import MessageReader

_QUEUE_KBYTES: Final = 1024  # of each topic that is read at once: a step has up to seven open


class Workshop:
    """What it takes to do the steps of a plan. Connections are made when they are needed, and kept."""

    def __init__(self, request: Request, plan: Plan, results: Results) -> None:
        self._request, self._plan, self._results = request, plan, results
        self._read = MessageReader(request.fetch_schema)

    def do(self, step: Step, needs: Needs) -> Done:
        """Does a step, whose needs are done, and keeps what it leaves behind."""
        needed = self._results.of(needs)
        done = do_step(step, partial(self._look, step, needed), self._source)
        self._results.keep(done)
        give_back()
        return done

    @cached_property
    def _kafka(self) -> KafkaSource:
        return KafkaSource({**self._request.kafka, QUEUE: _QUEUE_KBYTES}, self._request.stall_s)

    @cached_property
    def _source(self) -> LogSource:
        return self._request.source(self._kafka)

    @cached_property
    def _archive(self) -> ArchiveSource:
        assert self._request.tables is not None
        return ArchiveSource(self._request.tables.clickhouse)

    @cached_property
    def _archived(self) -> Mapping[Place, Position]:
        """How far the archive has come when the first topic of it is looked at; the log only grows meanwhile."""
        return self._archive.positions()

    @cached_property
    def _comparing(self) -> Comparing:
        assert self._request.tables is not None
        return Comparing(self._request.tables.store)

    def _look(self, step: Step, needed: list[Done], findings: Findings, noted: NotedSource) -> Found:
        request = self._request
        if step.kind is Kind.DECISIONS:
            assert request.decide is not None
            system = next(system for system in request.systems if system.name == step.of)
            request.decide(system, self._source, findings)
        elif step.kind in WRITERS:
            return look(self._writer(step.of), step, needed, findings, noted)
        elif step.kind is Kind.ARCHIVE:
            check_topic(self._kafka, self._archive, self._archived, step.of, findings)
        elif step.kind is Kind.PROJECTION:
            projection = next(each for each in PROJECTIONS if each.name == step.of)
            check_projection(self._comparing, projection, findings)
        else:
            self._seal(findings)
        return {}

    def _writer(self, name: str) -> Writer:
        request = self._request
        target = request.targets()[name]
        return Writer(
            target,
            self._plan.scope(name),
            self._source,
            request.committed(target, self._kafka),
            next(system for system in request.systems if system.name == name),
            request.states,
            self._read,
            self._results.folder,
            self._plan.key,
        )

    def _seal(self, findings: Findings) -> None:
        request = self._request
        sealing = request.sealing
        assert sealing is not None
        if request.topics:
            chosen = tuple(topic for topic in sealing.topics if topic in request.topics)
            sealing = msgspec.structs.replace(sealing, topics=chosen)
        findings.seal = check_seal(self._source, self._kafka, sealing, findings)

"""The steps over one writer's log: events, dead letters, inputs, state; each gives what it has found and kept."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from neural_hive.connectors.kafka_log import Record
from neural_hive.replay.checks.answers import AllAnswers, Answers, Marks, Packed
from neural_hive.replay.checks.chain import Event, PartitionCheck, locate_repeated
from neural_hive.replay.checks.committed import Offsets, Ranges, note_unread
from neural_hive.replay.checks.events import EventStream
from neural_hive.replay.checks.inputs import InputCheck, Read, message_id_of, note_lost
from neural_hive.replay.checks.silent import SilentInputs
from neural_hive.replay.checks.state import check_partition
from neural_hive.replay.fingerprints import keyed
from neural_hive.replay.reader import LogSource, NotedSource, Range
from neural_hive.replay.report import Check, Findings
from neural_hive.replay.steps.scope import Scope
from neural_hive.replay.steps.step import Done, Kind, Step
from neural_hive.replay.steps.target import Target
from neural_hive.schemas.catalogue import UnknownSchema
from neural_hive.schemas.codec import BadRecord
from neural_hive.streams.kernel.router import router_name
from neural_hive.streams.kernel.system import System

Found = dict[str, Any]  # what later steps need: fields of Done


class Writer(msgspec.Struct, frozen=True):
    """One writer's log, and what it takes to look at it."""

    target: Target
    scope: Scope
    source: LogSource
    committed: Callable[[], Offsets] | None  # how far its inputs are read now
    system: System | None  # None: its state is not made anew
    states: Path | None  # the processors' data folder
    read: Read  # decodes the messages of inputs
    folder: Path  # where steps leave files for each other
    key: bytes  # of the fingerprints in them

    def do(self, step: Step, needed: list[Done], findings: Findings, noted: NotedSource) -> Found:
        """One of the steps of a writer."""
        if step.kind is Kind.EVENTS:
            return self._events(step.file, step.partition, findings, noted)
        if step.kind is Kind.LETTERS:
            return self._letters(findings, noted)
        if step.kind is Kind.INPUTS:
            return self._answers(step.file, needed, findings, noted)
        return self._state(step.partition, needed[0].silent, findings)

    def _events(self, name: str, partition: int, findings: Findings, noted: NotedSource) -> Found:
        """Chains, versions, sequence, ids and places of one partition; and which inputs have caused them."""
        bounds = {topic: self.scope.events[topic][partition] for topic in self.target.event_topics}
        causes = self.folder / f"{name}.causes"
        causes.unlink(missing_ok=True)  # of a try that was broken off
        answers = Answers(causes, keyed(self.key))
        with TemporaryDirectory(prefix="neural-hive-verify-") as folder:
            check = PartitionCheck(
                self.target.name, partition, self.scope.partitions, answers, findings, Path(folder)
            )
            check.whole = self.target.whole
            try:
                for event in EventStream(noted, findings).events(partition, bounds):
                    check.take(event)
                repeated = check.finish()
            finally:
                check.close()
        if repeated:
            again = EventStream(self.source, Findings()).events(partition, bounds)
            locate_repeated(again, repeated, findings)
        answers.causes.save()
        return {"answered": answers.places.packed(), "causes": causes.name}

    def _letters(self, findings: Findings, noted: NotedSource) -> Found:
        """The dead letters of this writer: which inputs they answer."""
        target, places = self.target, Marks()
        writers = {target.name, *(router_name(target.name, topic) for topic in target.input_topics)}
        for partition, bounds in self.scope.letters.items():
            for record in _records(noted, target.dead_letters, partition, bounds):
                self._letter(record, writers, places, findings)
        return {"answered": places.packed()}

    def _letter(self, record: Record, writers: set[str], places: Marks, findings: Findings) -> None:
        place = f"{record.topic}:{record.partition}:{record.offset}"
        findings.counts["dead_letters"] += 1
        try:
            letter = self.read(record.value or b"").payload
            if letter["processor"].rpartition(".")[0] not in writers:
                return  # another system that reads the same input
            places.mark(letter["source_topic"], letter["source_partition"], letter["source_offset"])
        except (BadRecord, UnknownSchema, KeyError) as error:
            findings.add(Check.DECODE, place, "", "a dead letter", error)

    def _answers(self, name: str, before: list[Done], findings: Findings, noted: NotedSource) -> Found:
        """Reads the inputs, copies before what they are copies of. `before`: the steps over events and dead letters."""
        committed = self.scope.committed
        if committed is None or self.committed is None:
            findings.skip(Check.ANSWERED, "it needs all event topics, and Kafka for the input offsets")
            return {}
        answered: list[list[Packed]] = [done.answered for done in before]
        causes = [self.folder / done.causes for done in before if done.causes]
        answers = AllAnswers(answered, causes, keyed(self.key))
        for file in self.folder.glob(f"{name}.silent-*"):
            file.unlink()  # of a try that was broken off
        silent = SilentInputs(self.folder, f"{name}.silent")
        has_events = any(done.report.counts.get("events") for done in before)
        self._inputs(InputCheck(answers, findings, self.read, committed, silent), has_events, findings, noted)
        routed = self._routed()
        self._lost_by_routers(silent, routed, findings)
        self._causes(answers.places, self.committed(), findings)
        kept = {
            where: file for where, file in silent.named().items() if where.rpartition(":")[0] not in routed
        }
        return {"silent": kept}

    def _inputs(self, check: InputCheck, has_events: bool, findings: Findings, noted: NotedSource) -> None:
        target, committed = self.target, self.scope.committed or {}
        topics = sorted(target.input_topics, key=lambda topic: topic != target.repartition)
        ranges: Ranges = {topic: self.source.ranges(topic) for topic in topics}
        routed = self._routed()
        readers = {topic: target.reader(topic, topic in routed) for topic in topics}
        note_unread(target.name, readers, ranges, committed, has_events, findings)
        for topic in topics:
            for partition, (first, end) in ranges[topic].items():
                until = committed.get((topic, partition), -1)
                if until > end:
                    place, found = f"{topic}:{partition}", f"the log ends at {end}"
                    expected = f"records up to committed offset {until}"
                    findings.add(Check.ANSWERED, place, "", expected, found)
                last = end if topic == target.repartition else min(until, end)
                check.take(_records(noted, topic, partition, (first, last)), until)
        check.finish()

    def _routed(self) -> set[str]:
        """The inputs that a router reads: their partition count is not the event topics'."""
        counts = {topic: len(self.source.ranges(topic)) for topic in self.target.input_topics}
        return {topic for topic, count in counts.items() if count != self.scope.partitions}

    def _lost_by_routers(self, silent: SilentInputs, routed: set[str], findings: Findings) -> None:
        """What a router has read must have left a copy or a dead letter, if copies are still all there."""
        lost = [place for place in silent.places() if place[0] in routed]
        if not lost:
            return
        copies = self.source.ranges(self.target.repartition) if self.target.repartition else {}
        if any(first for first, _ in copies.values()):
            findings.skip(Check.ANSWERED, f"copies in {self.target.repartition} have expired")
            return
        for place in lost:
            self._note_lost(silent.records(place, self.source), findings)

    def _note_lost(self, records: Iterator[Record], findings: Findings) -> None:
        for record in records:
            place = f"{record.topic}:{record.partition}:{record.offset}"
            note_lost(place, message_id_of(record, self.read), findings)

    def _causes(self, places: Marks, committed: Offsets, findings: Findings) -> None:
        for (topic, partition), until in committed.items():
            findings.examined[Check.CAUSED] += 1
            beyond = places.beyond(topic, partition, until)
            if beyond is not None:
                expected = f"causes below committed offset {max(until, 0)}"
                findings.add(Check.CAUSED, f"{topic}:{partition}:{beyond}", "", expected, "an event of it")

    def _state(self, partition: int, silent: Mapping[str, str], findings: Findings) -> Found:
        """The state of a partition against its fold, and its silent inputs on the state of their place."""
        if not self.target.whole:
            for check in (Check.SEQUENCE, Check.STATE):
                findings.skip(check, "it needs all event topics")
            return {}
        inputs = SilentInputs(self.folder, "", silent)
        records = {
            place[0]: inputs.records(place, self.source) for place in inputs.places() if place[1] == partition
        }
        if self.system is None:
            for found in records.values():
                self._note_lost(found, findings)
            return {}
        if self.states is None:
            findings.skip(Check.STATE, "no processor's data folder is on this machine")
        partitions = self.scope.partitions
        topics = (*self.target.input_topics, *self.target.event_topics)
        check_partition(
            self.system,
            partition,
            dict.fromkeys(topics, partitions),
            partial(self._events_now, partition),
            records,
            self.states,
            findings,
            self.read,
        )
        return {}

    def _events_now(self, partition: int) -> Iterator[Event]:
        bounds = {topic: self.source.ranges(topic)[partition] for topic in self.target.event_topics}
        return EventStream(self.source, Findings()).events(partition, bounds)


def _records(source: LogSource, topic: str, partition: int, bounds: Range) -> Iterator[Record]:
    for batch in source.batches(topic, partition, *bounds):
        yield from batch

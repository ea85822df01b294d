"""Proves that the log is as it was written, that every input was answered, and that what was made of it is right.

Reads one partition after the other and keeps little: see `checks/`.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from neural_hive.connectors.kafka_log import LostLog, Record, StalledLog, UnreadableLog
from neural_hive.replay.checks.answers import Answers
from neural_hive.replay.checks.chain import Event, PartitionCheck, locate_repeated
from neural_hive.replay.checks.committed import NotVerified, Offsets, Ranges, note_unread
from neural_hive.replay.checks.events import EventStream
from neural_hive.replay.checks.inputs import InputCheck, Read, Silent, message_id_of, note_lost
from neural_hive.replay.checks.state import check_partition
from neural_hive.replay.reader import LogSource, NotedSource, Range
from neural_hive.replay.report import Check, Findings, Part, Report
from neural_hive.schemas.catalogue import UnknownSchema
from neural_hive.schemas.codec import BadRecord
from neural_hive.streams.kernel.reading import MessageReader, RegistryAway
from neural_hive.streams.kernel.router import router_name
from neural_hive.streams.kernel.system import System

DEAD_LETTERS: Final = "dead.letters"


class Target(msgspec.Struct, frozen=True):
    """One writer: the name that its events carry as producer, and the topics it owns and reads."""

    name: str
    event_topics: tuple[str, ...]
    input_topics: tuple[str, ...]
    dead_letters: str = DEAD_LETTERS
    whole: bool = (
        True  # False: not all its event topics, so `sequence` has gaps and inputs may be answered elsewhere
    )
    repartition: str = ""  # the input topic that holds copies of records from the others

    def reader(self, topic: str, routed: bool) -> str:
        """The group that reads an input: a router's, if its partition count is not the event topics'."""
        return router_name(self.name, topic) if routed else self.name


def target_of(system: System) -> Target:
    """What a system writes and reads. Foreign topics, whose records are no messages, are left out."""
    inputs = (
        topic for topic in system.topics if topic not in system.inputs or not system.inputs[topic].is_foreign
    )
    return Target(
        system.name, tuple(system.event_topics), tuple(inputs), repartition=system.repartition or ""
    )


class Verification:
    """One run over one writer's log. Call `run`, then any further checks, then `report`."""

    def __init__(
        self,
        target: Target,
        source: LogSource,
        committed: Callable[[], Offsets] | None,
        system: System | None = None,
        states: Path | None = None,
        findings: Findings | None = None,
        read: Read | None = None,
    ) -> None:
        """`system` and `states` (the processors' data folder) let the state be made anew and compared.

        `read` decodes the messages of inputs; without it, only those that have this build's schemas.
        """
        self.findings = Findings() if findings is None else findings
        self.problem = ""
        self._system, self._states = system, states
        self._target, self._source, self._committed = target, source, committed
        self._noted = NotedSource(source)
        self._stream = EventStream(self._noted, self.findings)
        self._answers = Answers()
        self._read_message = read or MessageReader()
        self._events = 0
        self._started_at = time.monotonic()

    def run(self) -> None:
        """Reads the whole log. What stops it is in the report, with what was found until then."""
        try:
            self._read()
        except (StalledLog, LostLog, UnreadableLog, NotVerified) as error:
            self.problem = str(error)
        except RegistryAway as error:
            self.problem = (
                f"{error}. Start the schema registry, or name it in the setting schema_registry_url"
            )
        finally:
            self._answers.close()

    @property
    def parts(self) -> list[Part]:
        """What was read of events, inputs and dead letters."""
        return self._noted.parts

    def report(self) -> Report:
        """All that was found."""
        return self.findings.report(self.parts, time.monotonic() - self._started_at, self.problem)

    def _read(self) -> None:
        target = self._target
        # In this order, since the system may be at work: what was committed first is answered in what is read after.
        before = self._committed() if self._committed and target.whole else None
        ranges: Ranges = {topic: self._source.ranges(topic) for topic in target.event_topics}
        counts = {len(partitions) for partitions in ranges.values()}
        if len(counts) != 1:
            raise NotVerified(f"the event topics of {target.name} differ in their partition counts")
        letters = self._source.ranges(target.dead_letters) if before is not None else {}
        partitions = counts.pop()
        for partition in range(partitions):
            self._partition(partition, partitions, ranges)
        silent: Silent = {}
        if before is None or self._committed is None:
            self.findings.skip(Check.ANSWERED, "it needs all event topics, and Kafka for the input offsets")
        else:
            self._dead_letters(letters)
            silent = self._inputs(before, partitions)
            self._causes(self._committed())
        if target.whole:
            self._state(partitions, silent)
        else:
            for check in (Check.SEQUENCE, Check.STATE):
                self.findings.skip(check, "it needs all event topics")

    def _partition(self, partition: int, partitions: int, ranges: Ranges) -> None:
        bounds = {topic: ranges[topic][partition] for topic in ranges}
        check = PartitionCheck(self._target.name, partition, partitions, self._answers, self.findings)
        check.whole = self._target.whole
        for event in self._stream.events(partition, bounds):
            check.take(event)
        repeated = check.finish()
        self._events += check.events
        if repeated:
            again = EventStream(self._source, Findings()).events(partition, bounds)
            locate_repeated(again, repeated, self.findings)

    def _dead_letters(self, letters: Mapping[int, Range]) -> None:
        topic, target = self._target.dead_letters, self._target
        writers = {target.name, *(router_name(target.name, topic) for topic in target.input_topics)}
        for partition, bounds in letters.items():
            for record in self._records(topic, partition, bounds):
                self._dead_letter(record, writers)

    def _dead_letter(self, record: Record, writers: set[str]) -> None:
        place = f"{record.topic}:{record.partition}:{record.offset}"
        self.findings.counts["dead_letters"] += 1
        try:
            letter = self._read_message(record.value or b"").payload
            if letter["processor"].rpartition(".")[0] not in writers:
                return  # another system that reads the same input
            self._answers.mark(letter["source_topic"], letter["source_partition"], letter["source_offset"])
        except (BadRecord, UnknownSchema, KeyError) as error:
            self.findings.add(Check.DECODE, place, "", "a dead letter", error)

    def _state(self, partitions: int, silent: Silent) -> None:
        if self._system is None:
            for topic, partition in silent:
                for record in self._silent_records(silent, topic, partition):
                    place = f"{topic}:{partition}:{record.offset}"
                    note_lost(place, message_id_of(record, self._read_message), self.findings)
            return
        if self._states is None:
            self.findings.skip(Check.STATE, "no processor's data folder is on this machine")
        target = self._target
        partitions_of = dict.fromkeys((*target.input_topics, *target.event_topics), partitions)
        for partition in range(partitions):
            check_partition(
                self._system,
                partition,
                partitions_of,
                partial(self._events_now, partition),
                {
                    topic: self._silent_records(silent, topic, partition)
                    for topic, number in silent
                    if number == partition
                },
                self._states,
                self.findings,
                self._read_message,
            )

    def _events_now(self, partition: int) -> Iterator[Event]:
        bounds = {topic: self._source.ranges(topic)[partition] for topic in self._target.event_topics}
        return EventStream(self._source, Findings()).events(partition, bounds)

    def _silent_records(self, silent: Silent, topic: str, partition: int) -> Iterator[Record]:
        """The silent inputs of a partition, in order, read in one go: they may be as many as heartbeats are."""
        offsets = silent[topic, partition]
        at = 0
        for batch in self._source.batches(topic, partition, offsets[0], offsets[-1] + 1):
            for record in batch:
                while offsets[at] < record.offset:
                    at += 1
                if offsets[at] == record.offset:
                    yield record

    def _inputs(self, committed: Offsets, partitions: int) -> Silent:
        """Reads the inputs, copies before what they are copies of."""
        target, check = self._target, InputCheck(self._answers, self.findings, self._read_message, committed)
        topics = sorted(target.input_topics, key=lambda topic: topic != target.repartition)
        ranges: Ranges = {topic: self._source.ranges(topic) for topic in topics}
        routed = {topic for topic in topics if len(ranges[topic]) != partitions}
        readers = {topic: self._target.reader(topic, topic in routed) for topic in topics}
        note_unread(target.name, readers, ranges, committed, self._events > 0, self.findings)
        for topic in topics:
            for partition, (first, end) in ranges[topic].items():
                until = committed.get((topic, partition), -1)
                if until > end:
                    place, found = f"{topic}:{partition}", f"the log ends at {end}"
                    expected = f"records up to committed offset {until}"
                    self.findings.add(Check.ANSWERED, place, "", expected, found)
                last = end if topic == target.repartition else min(until, end)
                check.take(self._records(topic, partition, (first, last)), until)
        silent = check.silent()
        self._lost_by_routers(silent, routed, ranges.get(target.repartition, {}))
        return {place: offsets for place, offsets in silent.items() if place[0] not in routed}

    def _lost_by_routers(self, silent: Silent, routed: set[str], copies: Mapping[int, Range]) -> None:
        """What a router has read must have left a copy or a dead letter, if copies are still all there."""
        lost = [place for place in silent if place[0] in routed]
        if lost and any(first for first, _ in copies.values()):
            self.findings.skip(Check.ANSWERED, f"copies in {self._target.repartition} have expired")
            return
        for topic, partition in lost:
            for record in self._silent_records(silent, topic, partition):
                place = f"{topic}:{partition}:{record.offset}"
                note_lost(place, message_id_of(record, self._read_message), self.findings)

    def _causes(self, committed: Offsets) -> None:
        for (topic, partition), until in committed.items():
            self.findings.examined[Check.CAUSED] += 1
            beyond = self._answers.beyond(topic, partition, until)
            if beyond is not None:
                expected = f"causes below committed offset {max(until, 0)}"
                self.findings.add(
                    Check.CAUSED, f"{topic}:{partition}:{beyond}", "", expected, "an event of it"
                )

    def _records(self, topic: str, partition: int, bounds: Range) -> Iterator[Record]:
        for batch in self._noted.batches(topic, partition, *bounds):
            yield from batch

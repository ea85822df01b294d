"""One writer's log: what it takes to look at it, and the smaller steps over it."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from neural_hive.connectors.kafka_log import Record
from neural_hive.replay.checks.answers import Marks
from neural_hive.replay.checks.chain import Event
from neural_hive.replay.checks.committed import Offsets
from neural_hive.replay.checks.events import EventStream
from neural_hive.replay.checks.inputs import Read, message_id_of, note_lost
from neural_hive.replay.checks.silent import SilentInputs
from neural_hive.replay.checks.state import check_partition
from neural_hive.replay.reader import LogSource, NotedSource, Range
from neural_hive.replay.report import Check, Findings
from neural_hive.replay.steps.scope import Scope
from neural_hive.replay.steps.step import scratch
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

    def letters(self, findings: Findings, noted: NotedSource) -> Found:
        """The dead letters of this writer: which inputs they answer."""
        target, places = self.target, Marks()
        writers = {target.name, *(router_name(target.name, topic) for topic in target.input_topics)}
        for partition, bounds in self.scope.letters.items():
            for record in records(noted, target.dead_letters, partition, bounds):
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

    def state(self, partition: int, silent: Mapping[str, str], findings: Findings) -> Found:
        """The state of a partition against its fold, and its silent inputs on the state of their place.

        `silent` names those that were not looked at while the events were read.
        """
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
                self.note_lost(found, findings)
            return {}
        if self.states is None:
            findings.skip(Check.STATE, "no processor's data folder is on this machine")
        with scratch(self.folder) as folder:
            check_partition(
                self.system,
                partition,
                self.partitions_of,
                partial(self._events_now, partition),
                records,
                self.states,
                findings,
                self.read,
                folder,
            )
        return {}

    def _events_now(self, partition: int) -> Iterator[Event]:
        bounds = {topic: self.source.ranges(topic)[partition] for topic in self.target.event_topics}
        return EventStream(self.source, Findings()).events(partition, bounds)

    def routed(self) -> set[str]:
        """The inputs that a router reads: their partition count is not the event topics'."""
        before = self.scope.before
        if before is not None:  # it names every partition: the broker need not be asked in each step
            counts: Mapping[str, int] = Counter(topic for topic, _, _ in before)
        else:
            counts = {topic: len(self.source.ranges(topic)) for topic in self.target.input_topics}
        return {topic for topic, count in counts.items() if count != self.scope.partitions}

    def note_lost(self, lost: Iterator[Record], findings: Findings) -> None:
        """Notes inputs that nothing answers."""
        for record in lost:
            place = f"{record.topic}:{record.partition}:{record.offset}"
            note_lost(place, message_id_of(record, self.read), findings)

    @property
    def partitions_of(self) -> dict[str, int]:
        """The partition count of its topics, as its processor takes it."""
        return dict.fromkeys((*self.target.input_topics, *self.target.event_topics), self.scope.partitions)


def records(source: LogSource, topic: str, partition: int, bounds: Range) -> Iterator[Record]:
    """The records of a range, one by one."""
    for batch in source.batches(topic, partition, *bounds):
        yield from batch

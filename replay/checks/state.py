"""RocksDB is the fold of the log; and an input that left nothing behind is one that has no effect.

Both need the state as it was at some place of the log, so both are looked at in one pass over a partition.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from neural_hive.connectors.kafka_log import Record
from neural_hive.replay.checks.chain import Event
from neural_hive.replay.checks.inputs import Read, message_id_of, note_lost
from neural_hive.replay.checks.refold import Refold
from neural_hive.replay.checks.rocks import little
from neural_hive.replay.report import Check, Findings
from neural_hive.schemas.codec import BadRecord
from neural_hive.streams.kernel.rocks import DamagedState
from neural_hive.streams.kernel.state import Position, Store
from neural_hive.streams.kernel.system import System
from neural_hive.streams.kernel.versions import state_version

_NO_END: Final = 1 << 62
_WHOLE: Final = "files as they were written"
# The last one is what aggregates say of a history whose beginning was taken away.
_CANNOT_FOLD: Final = (BadRecord, LookupError, DamagedState, AssertionError)


class Kept(msgspec.Struct):
    """The state of one partition as a worker keeps it."""

    place: str
    store: Store
    position: Position


def kept_states(root: Path, system: System, partition: int, findings: Findings) -> Iterator[Kept]:
    """The states of a partition under a data folder, one per worker that ever had it. Notes those that are damaged."""
    version = state_version(system)
    for folder in sorted(root.glob(f"{system.name}/worker-*/{partition}/{version}")):
        place = str(folder.relative_to(root))
        try:
            store, position = _opened(folder)
        except DamagedState as error:
            findings.add(Check.STATE, place, "", _WHOLE, error)
            continue
        if position is None:
            store.close()
        else:
            yield Kept(place, store, position)


def _opened(folder: Path, tries: int = 3) -> tuple[Store, Position | None]:
    """A worker that has it open too may put a file in another's place just now: so one look is not enough."""
    try:
        store = Store(folder, read_only=True, chosen=little())
        return store, store.position()
    except DamagedState:
        if tries == 1:
            raise
        return _opened(folder, tries - 1)


Judge = Callable[[Record, bool], None]  # of an input, and whether it has no effect


class StatePass:
    """One pass over a partition's events."""

    def __init__(
        self,
        refold: Refold,
        kept: Iterable[Kept],
        inputs: Mapping[str, Iterator[Record]],
        judge: Judge,
        findings: Findings,
        is_answered: Callable[[Record], bool] = lambda record: False,
    ) -> None:
        """`inputs`, by topic, are judged in the state of their place, those that are answered by then left out."""
        self._refold, self._findings, self._judge, self._is_answered = refold, findings, judge, is_answered
        self._kept = sorted(kept, key=lambda k: -k.position.sequence)  # the next one is the last
        self._inputs = dict(inputs)
        self._next = {topic: next(records, None) for topic, records in inputs.items()}

    def take(self, event: Event) -> None:
        """Looks at what stands before this event, then folds it."""
        while self._kept and self._kept[-1].position.sequence < event.rest["sequence"]:
            self._compare(self._kept.pop())
        topic = event.rest["source_topic"]
        if topic in self._next:
            self._judge_before(topic, event.rest["source_offset"])
        self._refold.take(event)

    def finish(self) -> None:
        """Looks at what stands behind the last event."""
        while self._kept:
            self._compare(self._kept.pop())
        for topic in self._inputs:
            self._judge_before(topic, _NO_END)

    def _compare(self, kept: Kept) -> None:
        if kept.position.sequence == self._refold.sequence:
            self._refold.compare(kept.store, kept.position, kept.place, self._findings)
        else:
            expected = f"sequence {self._refold.sequence}, where the log ends"
            self._findings.add(Check.STATE, kept.place, "", expected, f"sequence {kept.position.sequence}")

    def _judge_before(self, topic: str, offset: int) -> None:
        """Looks at the inputs of a topic up to an offset."""
        while (record := self._next[topic]) is not None and record.offset < offset:
            if not self._is_answered(record):
                self._judge(record, self._refold.has_no_effect(record))
            self._next[topic] = next(self._inputs[topic], None)


class Folding:
    """A pass that ends where this build cannot fold what comes next: that is a finding. Close it when done."""

    def __init__(
        self,
        system: System,
        partition: int,
        partitions_of: Mapping[str, int],
        kept: Iterable[Kept],
        inputs: Mapping[str, Iterator[Record]],
        judge: Judge,
        read: Read,
        findings: Findings,
        folder: Path,
        is_answered: Callable[[Record], bool] = lambda record: False,
    ) -> None:
        """See StatePass. `kept` are closed with it; the state is made anew in the folder."""
        self.is_whole = True
        self._where, self._findings, self._kept = (
            f"{system.name} partition {partition}",
            findings,
            tuple(kept),
        )
        self._refold = Refold(system, partition, partitions_of, folder, read)
        self._pass = StatePass(self._refold, self._kept, inputs, judge, findings, is_answered)

    def take(self, event: Event) -> None:
        """See StatePass."""
        if self.is_whole:
            try:
                self._pass.take(event)
            except _CANNOT_FOLD as error:
                self._end(error)

    def finish(self) -> None:
        """See StatePass."""
        if self.is_whole:
            try:
                self._pass.finish()
            except _CANNOT_FOLD as error:
                self._end(error)

    def _end(self, error: Exception) -> None:
        self.is_whole = False
        expected = _WHOLE if isinstance(error, DamagedState) else "events that fold"
        self._findings.add(Check.STATE, self._where, "", expected, error)

    def close(self) -> None:
        """Releases all databases."""
        self._refold.close()
        for each in self._kept:
            each.store.close()


def check_partition(
    system: System,
    partition: int,
    partitions_of: Mapping[str, int],
    events: Callable[[], Iterator[Event]],
    silent: Mapping[str, Iterator[Record]],
    root: Path | None,
    findings: Findings,
    read: Read,
    folder: Path,
) -> None:
    """Folds a partition and looks at its states and at its silent inputs (by topic); nothing is read if there are none.

    The state is made anew in `folder`. `events` is called after the states are open: the log comes first, so it reaches
    at least as far as they do.
    """
    kept = list(kept_states(root, system, partition, findings)) if root is not None else []
    if not kept and not silent:
        return

    def judge(record: Record, without_effect: bool) -> None:
        if without_effect:
            findings.counts["without_effect"] += 1
        else:
            place = f"{record.topic}:{record.partition}:{record.offset}"
            note_lost(place, message_id_of(record, read), findings)

    made = Folding(system, partition, partitions_of, kept, silent, judge, read, findings, folder)
    with closing(made) as folding:
        for event in events():
            folding.take(event)
        folding.finish()

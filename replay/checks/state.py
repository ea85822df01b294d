"""RocksDB is the fold of the log; and an input that left nothing behind is one that has no effect.

Both need the state as it was at some place of the log, so both are looked at in one pass over a partition.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from neural_hive.connectors.kafka_log import Record
from neural_hive.replay.checks.answers import Input, note_lost
from neural_hive.replay.checks.chain import Event
from neural_hive.replay.checks.refold import Refold
from neural_hive.replay.report import Check, Findings
from neural_hive.schemas.codec import BadRecord
from neural_hive.streams.kernel.state import Position, Store
from neural_hive.streams.kernel.system import System
from neural_hive.streams.kernel.versions import state_version


class Kept(msgspec.Struct):
    """The state of one partition as a worker keeps it."""

    place: str
    store: Store
    position: Position


def kept_states(root: Path, system: System, partition: int) -> Iterator[Kept]:
    """The states of a partition under a data folder, one per worker that ever had it."""
    version = state_version(system)
    for folder in sorted(root.glob(f"{system.name}/worker-*/{partition}/{version}")):
        store = Store(folder, read_only=True)
        position = store.position()
        if position is None:
            store.close()
        else:
            yield Kept(str(folder.relative_to(root)), store, position)


class StatePass:
    """One pass over a partition's events."""

    def __init__(
        self,
        refold: Refold,
        kept: Iterable[Kept],
        silent: Iterable[Input],
        read: Callable[[Input], Record | None],
        findings: Findings,
    ) -> None:
        self._refold, self._findings, self._read = refold, findings, read
        self._kept = sorted(kept, key=lambda k: -k.position.sequence)  # the next one is the last
        self._silent: dict[str, list[Input]] = {}
        for lost in sorted(silent, key=lambda i: -i.offset):
            self._silent.setdefault(lost.topic, []).append(lost)

    def take(self, event: Event) -> None:
        """Looks at what stands before this event, then folds it."""
        while self._kept and self._kept[-1].position.sequence < event.rest["sequence"]:
            self._compare(self._kept.pop())
        waiting = self._silent.get(event.rest["source_topic"])
        while waiting and waiting[-1].offset < event.rest["source_offset"]:
            self._judge(waiting.pop())
        self._refold.take(event)

    def finish(self) -> None:
        """Looks at what stands behind the last event."""
        while self._kept:
            self._compare(self._kept.pop())
        for waiting in self._silent.values():
            while waiting:
                self._judge(waiting.pop())

    def _compare(self, kept: Kept) -> None:
        if kept.position.sequence == self._refold.sequence:
            self._refold.compare(kept.store, kept.position, kept.place, self._findings)
        else:
            expected = f"sequence {self._refold.sequence}, where the log ends"
            self._findings.add(Check.STATE, kept.place, "", expected, f"sequence {kept.position.sequence}")

    def _judge(self, lost: Input) -> None:
        record = self._read(lost)
        if record is not None and self._refold.has_no_effect(record):
            self._findings.counts["without_effect"] += 1
        else:
            note_lost(lost, self._findings)


def check_partition(
    system: System,
    partition: int,
    partitions_of: Mapping[str, int],
    events: Callable[[], Iterator[Event]],
    silent: list[Input],
    read: Callable[[Input], Record | None],
    root: Path | None,
    findings: Findings,
) -> None:
    """Folds a partition and looks at its states and silent inputs; nothing is read if there are none.

    `events` is called after the states are open: the log comes first, so it reaches at least as far as they do.
    """
    kept = list(kept_states(root, system, partition)) if root is not None else []
    if not kept and not silent:
        return
    with tempfile.TemporaryDirectory(prefix="neural-hive-verify-") as folder:
        refold = Refold(system, partition, partitions_of, Path(folder))
        try:
            found = StatePass(refold, kept, silent, read, findings)
            for event in events():
                found.take(event)
            found.finish()
        except (BadRecord, LookupError) as error:
            findings.add(Check.STATE, f"{system.name} partition {partition}", "", "events that fold", error)
        finally:
            refold.close()
            for each in kept:
                each.store.close()

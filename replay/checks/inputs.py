"""Every input is answered: by an event, a dead letter, a forwarded copy, or an earlier record of its message."""

from array import array
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from neural_hive.connectors.kafka_log import Record
from neural_hive.replay.checks.answers import AllAnswers, Marks
from neural_hive.replay.checks.committed import Offsets
from neural_hive.replay.checks.silent import SilentInputs
from neural_hive.replay.report import Check, Findings
from neural_hive.schemas.catalogue import UnknownSchema
from neural_hive.schemas.codec import BadRecord, Decoded
from neural_hive.schemas.envelope import Header
from neural_hive.streams.kernel.unit import ORIGIN_HEADER

_OPEN_MAX: Final = 50_000  # inputs that no place answers and that wait to be looked for by their message

Read = Callable[[bytes], Decoded]  # raises BadRecord, UnknownSchema, RegistryAway


class Input(msgspec.Struct, frozen=True):
    """Where an input lies, and the message it holds."""

    topic: str
    partition: int
    offset: int
    message_id: str

    @property
    def place(self) -> str:
        return f"{self.topic}:{self.partition}:{self.offset}"


class InputCheck:
    """Looks at the input topics after all events and dead letters were read."""

    def __init__(
        self, answers: AllAnswers, findings: Findings, read: Read, committed: Offsets, silent: SilentInputs
    ) -> None:
        """`committed`: the offset of each partition's reader, -1 if it has none.

        `silent` is given the inputs whose message caused nothing anywhere: lost, unless they had no effect. It is whole
        after `finish`.
        """
        self._answers, self._findings, self._silent = answers, findings, silent
        self._read, self._committed = read, committed
        self._forwarded = Marks()
        self._open: dict[str, list[Input]] = {}
        self._open_count = 0

    def take(self, records: Iterator[Record], until: int) -> None:
        """Notes which of the records before an offset nothing names as its cause, and whose copies all of them are.

        Copies come first: call it with the repartition topic before the topics that records are forwarded from.
        """
        count = 0
        for record in records:
            self._note_origin(record)
            if record.offset >= until:
                continue
            count += 1
            where = record.topic, record.partition, record.offset
            if self._forwarded.has(*where):
                self._findings.counts["forwarded"] += 1
            elif not self._answers.places.has(*where):
                self._unnamed(record)
        self._findings.examined[Check.ANSWERED] += count
        self._findings.counts["inputs"] += count

    def _note_origin(self, record: Record) -> None:
        for name, value in record.headers:
            if name == ORIGIN_HEADER and (place := _place(value or b"")):
                topic, partition, offset = place
                # A stranger can write anything here: only what was read can have been forwarded.
                if offset < self._committed.get((topic, partition), -1):
                    self._forwarded.mark(topic, partition, offset)

    def _unnamed(self, record: Record) -> None:
        try:
            head = self._read(record.value or b"").head
        except (BadRecord, UnknownSchema) as error:
            place = f"{record.topic}:{record.partition}:{record.offset}"
            self._findings.add(Check.ANSWERED, place, "", "a dead letter", f"none; the record: {error}")
            return
        assert isinstance(head, Header)
        if self._open_count >= _OPEN_MAX:
            self.finish()
        self._open_count += 1
        entry = Input(record.topic, record.partition, record.offset, head.message_id)
        self._open.setdefault(head.message_id, []).append(entry)

    def finish(self) -> None:
        """Tells repeats, whose message caused something elsewhere, from silent inputs."""
        silent = set(self._answers.unanswered(self._open))
        offsets: dict[tuple[str, int], array[int]] = {}
        for message_id, inputs in self._open.items():
            if message_id not in silent:
                self._findings.counts["repeats"] += len(inputs)
                continue
            for each in inputs:
                offsets.setdefault((each.topic, each.partition), array("q")).append(each.offset)
        for place, found in offsets.items():
            self._silent.add(place, array("q", sorted(found)))
        self._open.clear()
        self._open_count = 0


def _place(origin: bytes) -> tuple[str, int, int] | None:
    """The place in a forwarded record's header; None if it is none."""
    topic, _, rest = origin.decode(errors="replace").partition(":")
    partition, _, offset = rest.partition(":")
    if not (partition.isascii() and partition.isdecimal() and offset.isascii() and offset.isdecimal()):
        return None
    return (topic, int(partition), int(offset)) if len(partition) < 10 and len(offset) < 20 else None


def note_lost(place: str, message_id: str, findings: Findings) -> None:
    """Notes an input that nothing answers."""
    findings.add(Check.ANSWERED, place, "", "an event or dead letter", f"nothing of message {message_id}")


def message_id_of(record: Record, read: Read) -> str:
    """The id of the message in a record."""
    try:
        head = read(record.value or b"").head
    except (BadRecord, UnknownSchema) as error:
        return f"which cannot be read: {error}"
    assert isinstance(head, Header)
    return head.message_id

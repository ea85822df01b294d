"""Every input is answered: by an event, by a dead letter, or by what an earlier record of the same message did."""

from array import array
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from neural_hive.connectors.kafka_log import Record
from neural_hive.replay.fingerprints import Fingerprints
from neural_hive.replay.report import Check, Findings
from neural_hive.schemas.catalogue import UnknownSchema
from neural_hive.schemas.codec import BadRecord, decode
from neural_hive.schemas.envelope import Header

_OFFSETS_MAX = 1 << 33  # a bit each: a forged source offset must not take the memory
_OPEN_MAX = 1_000_000
SILENT_MAX: Final = (
    50_000_000  # inputs that are decided again, to see whether they have no effect: 8 bytes each
)

Silent = Mapping[tuple[str, int], "array[int]"]  # quoted: generic from Python 3.12 on
"""Topic and partition → offsets, ascending, of inputs whose message caused nothing anywhere."""


class Answers:
    """Which places of the input topics caused an event or a dead letter: one bit for each offset."""

    def __init__(self) -> None:
        self.causes = Fingerprints()  # the messages that caused something, for repeats and forwarded records
        self._marked: dict[tuple[str, int], bytearray] = {}

    def mark(self, topic: str, partition: int, offset: int) -> None:
        """Something was caused by the record at this place."""
        if not 0 <= offset < _OFFSETS_MAX:
            return
        bits = self._marked.setdefault((topic, partition), bytearray())
        byte = offset >> 3
        if byte >= len(bits):
            bits.extend(bytes(byte + 4096 - len(bits)))
        bits[byte] |= 1 << (offset & 7)

    def has(self, topic: str, partition: int, offset: int) -> bool:
        """Whether something was caused by the record at this place."""
        bits = self._marked.get((topic, partition), b"")
        byte = offset >> 3
        return byte < len(bits) and bool(bits[byte] & 1 << (offset & 7))

    def beyond(self, topic: str, partition: int, offset: int) -> int | None:
        """The first marked offset at or above this one: a cause that was never committed."""
        bits = self._marked.get((topic, partition), b"")
        start = max(offset, 0)
        for byte in range(start >> 3, len(bits)):
            if bits[byte]:
                for bit in range(8):
                    if bits[byte] & 1 << bit and (byte << 3) + bit >= start:
                        return (byte << 3) + bit
        return None

    def close(self) -> None:
        """Removes its files."""
        self.causes.close()


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

    def __init__(self, answers: Answers, findings: Findings) -> None:
        self._answers, self._findings = answers, findings
        self._open: dict[str, list[Input]] = {}
        self._silent: dict[tuple[str, int], array[int]] = {}
        self._silent_count = 0

    def read(self, records: Iterator[Record]) -> None:
        """Notes which of the records nothing names as its cause."""
        count = 0
        for record in records:
            count += 1
            if not self._answers.has(record.topic, record.partition, record.offset):
                self._unnamed(record)
        self._findings.examined[Check.ANSWERED] += count
        self._findings.counts["inputs"] += count

    def _unnamed(self, record: Record) -> None:
        try:
            head = decode(record.value or b"", "message").head
        except (BadRecord, UnknownSchema) as error:
            place = f"{record.topic}:{record.partition}:{record.offset}"
            self._findings.add(Check.ANSWERED, place, "", "a dead letter", f"none; the record: {error}")
            return
        assert isinstance(head, Header)
        if len(self._open) >= _OPEN_MAX:
            self._sort_out()
        entry = Input(record.topic, record.partition, record.offset, head.message_id)
        self._open.setdefault(head.message_id, []).append(entry)

    def _sort_out(self) -> None:
        """Tells repeats and forwarded records, whose message caused something elsewhere, from silent inputs."""
        silent = set(self._answers.causes.missing(self._open))
        for message_id, inputs in self._open.items():
            if message_id not in silent:
                self._findings.counts["repeats"] += len(inputs)
            elif self._silent_count < SILENT_MAX:
                self._silent_count += len(inputs)
                for each in inputs:
                    self._silent.setdefault((each.topic, each.partition), array("q")).append(each.offset)
            else:
                for each in inputs:
                    note_lost(each.place, each.message_id, self._findings)
        self._open.clear()

    def silent(self) -> Silent:
        """The inputs whose message caused nothing anywhere: lost, unless they had no effect."""
        self._sort_out()
        return {place: array("q", sorted(offsets)) for place, offsets in self._silent.items()}


def note_lost(place: str, message_id: str, findings: Findings) -> None:
    """Notes an input that nothing answers."""
    findings.add(Check.ANSWERED, place, "", "an event or dead letter", f"nothing of message {message_id}")


def message_id_of(record: Record) -> str:
    """The id of the message in a record."""
    try:
        head = decode(record.value or b"", "message").head
    except (BadRecord, UnknownSchema) as error:
        return f"which cannot be read: {error}"
    assert isinstance(head, Header)
    return head.message_id

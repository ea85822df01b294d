"""Where seals are published and kept: the topic, and the file outside Kafka."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from neural_hive.connectors.kafka_log import Record, UnreadableLog
from neural_hive.replay.reader import LogSource
from neural_hive.replay.seal.seal import CHECKPOINTS, BadSeal, Seal
from neural_hive.schemas.catalogue import UnknownSchema
from neural_hive.schemas.codec import BadRecord, decode

_BLOCK_BYTES: Final = 64 * 1024


class NoSealFile(OSError):
    """The file of seals cannot be read or written; the text says which and why."""


def seal_of(record: Record) -> Seal:
    """The seal that a record of the topic holds. Raises BadSeal."""
    try:
        return Seal.of_payload(decode(record.value or b"", "message").payload)
    except (BadRecord, UnknownSchema, ValueError) as error:
        raise BadSeal(f"{record.topic}:{record.partition}:{record.offset} holds no seal: {error}") from error


def published(source: LogSource, key_name: str) -> Iterator[tuple[Record, Seal]]:
    """All seals of one log in the topic, in order; one that was published twice counts once. Raises BadSeal."""
    last = ""
    for partition, (first, end) in source.ranges(CHECKPOINTS).items():
        for batch in source.batches(CHECKPOINTS, partition, first, end):
            for record in batch:
                if record.key != key_name.encode():
                    continue
                seal = seal_of(record)
                if seal.note != last:
                    yield record, seal
                last = seal.note


def has_topic(source: LogSource) -> bool:
    """Whether there is a topic of seals at all."""
    try:
        source.ranges(CHECKPOINTS)
    except UnreadableLog:
        return False
    return True


class SealFile:
    """One seal a line, only ever appended. Raises NoSealFile; BadSeal: a line that is none."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def seals(self) -> Iterator[Seal]:
        """All of them, the oldest first; a last line that was never finished is left out."""
        try:
            with self.path.open("rb") as file:
                for line in file:
                    if line.endswith(b"\n"):
                        yield Seal.of_line(line)
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._refused(error) from error

    def last(self) -> Seal | None:
        """The last one, found from the end of the file."""
        try:
            with self.path.open("rb") as file:
                line = _last_line(file)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._refused(error) from error
        return Seal.of_line(line) if line else None

    def append(self, seals: Iterable[Seal]) -> None:
        """Adds seals; they are on the disk when this returns."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab+") as file:
                _cut_unfinished(file)
                for seal in seals:
                    file.write(seal.line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> NoSealFile:
        return NoSealFile(
            f"the file of seals {self.path} cannot be used: {error.strerror}. Mend it, or name another in seal_file"
        )


def _last_line(file: BinaryIO) -> bytes:
    end = file.seek(0, os.SEEK_END)
    tail = b""
    while end and tail.count(b"\n") < 2:
        start = max(end - _BLOCK_BYTES, 0)
        file.seek(start)
        tail, end = file.read(end - start) + tail, start
    lines = tail[: tail.rfind(b"\n") + 1].splitlines(keepends=True)
    return lines[-1] if lines else b""


def _cut_unfinished(file: BinaryIO) -> None:
    """Takes away a last line without its end: whoever wrote it died, and signed nothing after it."""
    end = file.seek(0, os.SEEK_END)
    if not end:
        return
    file.seek(end - 1)
    if file.read(1) == b"\n":
        return
    start = end
    while start:
        start = max(start - _BLOCK_BYTES, 0)
        file.seek(start)
        if (found := file.read(min(_BLOCK_BYTES, end - start)).rfind(b"\n")) >= 0:
            file.truncate(start + found + 1)
            return
    file.truncate(0)

"""The files that hold records: zstandard, and in it blocks, each a length (4 bytes, big endian) and so many bytes of
MessagePack: a list of records, each a list of offset, timestamp (ms), key, value and headers (names with values).

Any language reads them with two libraries. A file is a draft under another name until it is whole and on the disk.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from hashlib import file_digest
from pathlib import Path
from typing import Final

import msgspec
from backports import zstd

from neural_hive.connectors.kafka_log import Record
from neural_hive.replay.backup.manifest import BackupUnusable, SavedFile, synced

SUFFIX: Final = ".zst"
DRAFT: Final = ".new"
RECORDS: Final = "records"  # the folder that holds all files of records
BLOCK_RECORDS: Final = 1_000
BLOCK_BYTES: Final = 4 << 20
FILE_BYTES: Final = 256 << 20  # of records before compression; a file ends with the block that passes it
_LENGTH_BYTES: Final = 4
_BLOCK_BYTES_MAX: Final = (
    64 << 20
)  # what a reader takes: a block ends with the record that passes BLOCK_BYTES
_LEVEL: Final = 3

Line = tuple[int, int, bytes | None, bytes | None, tuple[tuple[str, bytes | None], ...]]
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[Line]).decode


def folder_of(topic: str, partition: int) -> str:
    """Where the files of a partition lie, below the backup's folder."""
    return f"{RECORDS}/{topic}/{partition}"


def write_files(
    folder: Path, topic: str, partition: int, first: int, end: int, batches: Iterable[list[Record]]
) -> Iterator[SavedFile]:
    """Writes the records of [first, end) into as many files as they need, and gives each when it is whole."""
    blocks = _blocks(batches)
    block = next(blocks, None)
    while block is not None:
        place = folder / folder_of(topic, partition)
        place.mkdir(parents=True, exist_ok=True)
        draft = place / f"{first:020d}{DRAFT}"
        count = size_bytes = 0
        file_end = end
        with zstd.open(draft, "wb", level=_LEVEL) as file:
            while block is not None and size_bytes < FILE_BYTES:
                data = _encode([_line(record) for record in block])
                file.write(len(data).to_bytes(_LENGTH_BYTES, "big") + data)
                count, size_bytes = count + len(block), size_bytes + len(data)
                last, block = block[-1].offset, next(blocks, None)
                file_end = end if block is None else last + 1
        target = draft.with_name(f"{first:020d}-{file_end:020d}{SUFFIX}")
        yield _finished(draft, target, folder, first, file_end, count)
        first = file_end


def _finished(draft: Path, target: Path, folder: Path, first: int, end: int, records: int) -> SavedFile:
    with draft.open("rb") as file:
        os.fsync(file.fileno())
        digest = file_digest(file, "sha256").hexdigest()
    size_bytes = draft.stat().st_size
    draft.replace(target)
    synced(target.parent)
    return SavedFile(str(target.relative_to(folder)), first, end, records, size_bytes, digest)


def _blocks(batches: Iterable[list[Record]]) -> Iterator[list[Record]]:
    block, size_bytes = list[Record](), 0
    for batch in batches:
        for record in batch:
            block.append(record)
            size_bytes += len(record.value or b"") + len(record.key or b"")
            if len(block) >= BLOCK_RECORDS or size_bytes >= BLOCK_BYTES:
                yield block
                block, size_bytes = [], 0
    if block:
        yield block


def _line(record: Record) -> Line:
    return record.offset, record.timestamp_ms, record.key, record.value, record.headers


def read_file(folder: Path, saved: SavedFile, topic: str, partition: int) -> Iterator[list[Record]]:
    """The records of a file, in lists. Raises BackupUnusable: it is damaged, or is not what the manifest says."""
    count, at = 0, saved.first
    try:
        with zstd.open(folder / saved.path, "rb") as file:
            while head := file.read(_LENGTH_BYTES):
                size_bytes = int.from_bytes(head, "big")
                if len(head) < _LENGTH_BYTES or size_bytes > _BLOCK_BYTES_MAX:
                    raise damaged(saved, "a block has no length")
                lines = _decode(file.read(size_bytes))
                for line in lines:
                    if not at <= line[0] < saved.end:
                        raise damaged(saved, f"offset {line[0]} is out of its place")
                    at = line[0] + 1
                count += len(lines)
                yield [Record(topic, partition, *line) for line in lines]
    except (OSError, EOFError, zstd.ZstdError, msgspec.MsgspecError) as error:
        raise damaged(saved, str(error)) from error
    if count != saved.records:
        raise damaged(saved, f"it has {count} records, the manifest says {saved.records}")


def check_hash(folder: Path, saved: SavedFile) -> None:
    """Raises BackupUnusable: the file is gone, or has other bytes than those that were written."""
    try:
        with (folder / saved.path).open("rb") as file:
            digest = file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise damaged(saved, error.strerror or str(error)) from error
    if digest != saved.sha256:
        raise damaged(saved, f"its SHA-256 is {digest}, the manifest says {saved.sha256}")


def damaged(saved: SavedFile, why: str) -> BackupUnusable:
    """The error that says so, and what to do."""
    return BackupUnusable(
        f"{saved.path} is damaged: {why}. Take another copy of the backup, or make a new one"
    )


def remove_strangers(folder: Path, known: Iterable[SavedFile]) -> None:
    """Removes files of records that no manifest names: a backup that did not end has left them."""
    kept = {saved.path for saved in known}
    for file in (folder / RECORDS).rglob("*"):
        if file.suffix in (SUFFIX, DRAFT) and str(file.relative_to(folder)) not in kept:
            with suppress(FileNotFoundError):
                file.unlink()

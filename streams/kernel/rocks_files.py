"""RocksDB's list of its table files (MANIFEST) and its logs, looked at before RocksDB reads them.

RocksDB checks them too, but at a record whose type has become one of those that reused logs have it reads on for ever,
and nobody hears of it.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
from aiokafka.record.util import calc_crc32c

_BLOCK_BYTES: Final = 32 * 1024
_HEADER: Final = struct.Struct("<IHB")  # masked CRC-32C of type and content, length of the content, type
TYPE_AT: Final = _HEADER.size - 1  # where the type stands in a record
_ZEROS: Final = bytes(_HEADER.size)
_TYPES: Final = frozenset((1, 2, 3, 4))  # whole, first, middle, last piece
_MASK_DELTA: Final = 0xA282EAD8


def fault_of(folder: Path) -> str:
    """What is wrong with these files of a database; empty: nothing, or nothing that RocksDB would not see.

    A log that ends early is no fault: the state is behind then, as after a crash, and catches up.
    """
    listing = _listing(folder)
    if listing is not None and (fault := _fault(listing, is_log=False)):
        return fault
    return next((fault for log in sorted(folder.glob("*.log")) if (fault := _fault(log, is_log=True))), "")


def _listing(folder: Path) -> Path | None:
    try:
        return folder / (folder / "CURRENT").read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None


def _fault(file: Path, is_log: bool) -> str:
    try:
        content = file.read_bytes()
    except (OSError, ValueError):
        return ""
    for record in records(content):
        if record.type not in _TYPES:
            return f"{file.name} has a record of unknown type {record.type} at byte {record.at}"
        if not record.is_whole:
            return "" if is_log else f"{file.name} has a record with a wrong checksum at byte {record.at}"
    return ""


class LogRecord(msgspec.Struct, frozen=True):
    """One record, or a piece of one, of a file that RocksDB only appends to."""

    at: int  # byte
    checksum: int
    type: int
    content: bytes

    @property
    def is_whole(self) -> bool:
        """Whether it has the checksum that was written with it."""
        crc: int = calc_crc32c(bytes((self.type,)) + self.content)
        return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF == self.checksum


def records(content: bytes) -> Iterator[LogRecord]:
    """The records of a file, up to its end or what is left of it."""
    for start in range(0, len(content), _BLOCK_BYTES):
        block = content[start : start + _BLOCK_BYTES]
        at = 0
        while at + _HEADER.size <= len(block) and block[at : at + _HEADER.size] != _ZEROS:
            checksum, length, its_type = _HEADER.unpack_from(block, at)
            following = at + _HEADER.size + length
            if following > len(block) and start + len(block) == len(content):
                return
            yield LogRecord(start + at, checksum, its_type, block[at + _HEADER.size : following])
            at = following

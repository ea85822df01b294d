"""From fetched bytes to records, with a limit on what a batch may become when it is decompressed.

The broker weighs a batch as it was compressed, and 30 KB of zstd can hold a gigabyte of zeros. Such a batch is never
unpacked: each of its records is handed over as refused, without key and value, so that each is answered.
"""

import zlib
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, Final

import aiokafka.consumer.fetcher as fetcher
import aiokafka.record._crecords.default_records as unpacker
import cramjam
import lz4.frame  # type: ignore[import-untyped]
import msgspec
from backports import zstd

BATCH_BYTES_MAX: Final = 64 << 20  # of one batch, decompressed; producers make batches of about a megabyte
TAKEN_BYTES_MAX: Final = 4 << 20  # of what is taken of a partition at once
_LZ4_RATIO_MAX: Final = 255  # what fewer bytes than the limit by this ratio hold needs no look
_GZIP_OR_ZLIB: Final = 32 + zlib.MAX_WBITS
_ROOM_BYTES: Final = 100  # about what a record takes beside what it holds


class Fetched(msgspec.Struct, frozen=True, gc=False):
    """One record of an input."""

    topic: str
    partition: int
    offset: int
    timestamp: int  # ms
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    size_bytes: int = 0  # about what it takes in memory, where that is asked for
    refused: str = ""  # why it was not unpacked; empty: it was


class TooLargeUnpacked(Exception):
    """A batch that would hold more than BATCH_BYTES_MAX."""


def _lz4(payload: bytes) -> bytes:
    if len(payload) * _LZ4_RATIO_MAX <= BATCH_BYTES_MAX:
        return bytes(cramjam.lz4.decompress(payload))
    return _limited(lz4.frame.LZ4FrameDecompressor(), payload)


def _zstd(payload: bytes) -> bytes:
    return _limited(zstd.ZstdDecompressor(), payload)


def _gzip(payload: bytes) -> bytes:
    unpacking = zlib.decompressobj(_GZIP_OR_ZLIB)
    found = unpacking.decompress(payload, BATCH_BYTES_MAX + 1)
    if len(found) > BATCH_BYTES_MAX:
        raise TooLargeUnpacked
    return found


def _limited(unpacking: Any, payload: bytes) -> bytes:
    found: bytes = unpacking.decompress(payload, max_length=BATCH_BYTES_MAX + 1)
    if len(found) > BATCH_BYTES_MAX:
        raise TooLargeUnpacked
    return found


# Snappy cannot do much harm: at most 21 bytes come of one.
unpacker.lz4_decode, unpacker.zstd_decode, unpacker.gzip_decode = _lz4, _zstd, _gzip


class _Batches:
    """Fetched batches, of which the last one is remembered."""

    def __init__(self, batches: Any) -> None:
        self._batches = batches
        self.last: Any = None
        self.has_next: Callable[[], bool] = batches.has_next

    def next_batch(self) -> Any:
        self.last = self._batches.next_batch()
        return self.last


class _Records(fetcher.PartitionRecords):  # type: ignore[misc]
    """aiokafka's unpacking, within limits.

    And without its record type: a frozen dataclass of eleven fields costs 2 µs each.
    """

    next_fetch_offset: int
    _records_iterator: Iterator[Fetched]

    def __init__(self, tp: Any, records: Any, *more: Any) -> None:
        super().__init__(tp, _Batches(records), *more)

    def take(self, records_max: int | None) -> tuple[list[Fetched], bool]:
        """The next records, up to that many and to TAKEN_BYTES_MAX; and whether there may be more."""
        taken: list[Fetched] = []
        size_bytes = 0
        while True:
            try:
                for record in self._records_iterator:
                    taken.append(record)
                    size_bytes += record.size_bytes
                    if len(taken) == records_max or size_bytes > TAKEN_BYTES_MAX:
                        return taken, True
                return taken, False
            except TooLargeUnpacked:
                # The generator has ended with the error: another one goes on behind the batch.
                self._records_iterator = chain(self._refused(self._records.last), self._unpack_records())

    def _refused(self, batch: Any) -> Iterator[Fetched]:
        why = (
            f"it came in a batch of records that take more than {BATCH_BYTES_MAX:,} bytes once decompressed, which "
            "is not unpacked: send smaller batches"
        )
        for offset in range(max(batch.base_offset, self.next_fetch_offset), batch.next_offset):
            self.next_fetch_offset = offset + 1
            place = (self._tp.topic, self._tp.partition, offset, batch.max_timestamp)
            yield Fetched(*place, None, None, (), _ROOM_BYTES, why)

    def _consumer_record(self, tp: Any, record: Any) -> Fetched:
        key, value, headers = record.key, record.value, tuple(record.headers)
        size_bytes = len(key or b"") + len(value or b"") + _ROOM_BYTES
        if headers:
            size_bytes += sum([len(name) + len(held or b"") for name, held in headers])
        return Fetched(
            tp.topic, tp.partition, record.offset, record.timestamp, key, value, headers, size_bytes
        )


class _Result(fetcher.FetchResult):  # type: ignore[misc]
    """What one fetch brought of a partition, taken in pieces that have a limit in bytes too."""

    _partition_records: _Records | None

    def getall(self, max_records: int | None = None) -> list[Fetched]:
        if not self.check_assignment(self._topic_partition) or self._partition_records is None:
            return []
        taken, has_more = self._partition_records.take(max_records)
        self._update_position()
        if not has_more:
            self._partition_records = None
        return taken


fetcher.PartitionRecords, fetcher.FetchResult = _Records, _Result

"""What is made of fetched bytes: all records, but never more memory than a batch may take."""

import os
import struct
from collections.abc import Callable

import pytest
from aiokafka.record._crecords.default_records import DefaultRecordBatchBuilder
from aiokafka.record._crecords.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from neural_hive.streams.kernel import transport, unpacking
from neural_hive.streams.kernel.unpacking import Fetched, TooLargeUnpacked
from tests.hostile.memory_use import forget_peak, peak_mb

GZIP, LZ4, ZSTD = 1, 3, 4
COMMITTED = 1
assert transport  # what it imports is what aiokafka unpacks with


def batch(first: int, values: list[bytes], codec: int, key: bytes = b"k") -> bytes:
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, 0, 1 << 30)
    for number, value in enumerate(values):
        builder.append(number, timestamp=7, key=key, value=value, headers=[("h", b"v")])
    made = bytes(builder.build())
    return struct.pack(">q", first) + made[8:]


def unpacked(*batches: bytes, start: int = 0) -> unpacking._Records:
    place = TopicPartition("topic", 0)
    return unpacking._Records(place, MemoryRecords(b"".join(batches)), [], start, None, None, True, COMMITTED)


def taken(records: unpacking._Records) -> list[Fetched]:
    found, more = [], True
    while more:
        part, more = records.take(5_000)
        found += part
    return found


@pytest.mark.parametrize("codec", [GZIP, LZ4, ZSTD])
def test_a_batch_that_becomes_too_large_is_refused_record_by_record(codec: int) -> None:
    bomb = batch(3, [bytes(10 << 20)] * 20, codec)
    assert len(bomb) < 2 << 20
    before_mb = forget_peak(os.getpid())
    records = unpacked(batch(0, [b"a", b"b", b"c"], codec), bomb, batch(23, [b"z"], codec))
    found = taken(records)
    assert peak_mb(os.getpid()) - before_mb < 180
    assert [record.offset for record in found] == list(range(24))
    assert [record.value for record in found if not record.refused] == [b"a", b"b", b"c", b"z"]
    refused = [record for record in found if record.refused]
    assert [record.offset for record in refused] == list(range(3, 23))
    assert all("67,108,864 bytes once decompressed" in record.refused for record in refused)
    assert records.next_fetch_offset == 24


def test_of_a_refused_batch_only_what_was_asked_for_is_told() -> None:
    bomb = batch(10, [bytes(10 << 20)] * 10, ZSTD)
    assert [record.offset for record in taken(unpacked(bomb, start=17))] == [17, 18, 19]


@pytest.mark.parametrize("codec", [0, GZIP, LZ4, ZSTD])
def test_large_batches_within_the_limit_are_unpacked(codec: int) -> None:
    values = [os.urandom(1 << 20), bytes(30 << 20), os.urandom(100)]
    found = taken(unpacked(batch(0, values, codec)))
    assert [record.value for record in found] == values
    assert found[0].headers == (("h", b"v"),)


@pytest.mark.parametrize("decode", [unpacking._lz4, unpacking._gzip, unpacking._zstd])
def test_what_is_no_such_data_is_an_error_and_not_too_large(decode: Callable[[bytes], bytes]) -> None:
    with pytest.raises(Exception) as raised:
        decode(os.urandom(400_000))
    assert raised.type is not TooLargeUnpacked


def test_what_is_taken_at_once_has_a_limit_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "TAKEN_BYTES_MAX", 2_500)
    result = object.__new__(unpacking._Result)
    result._topic_partition = TopicPartition("topic", 0)
    result._partition_records = unpacked(batch(0, [bytes(1_000)] * 5, LZ4, key=bytes(500)))
    monkeypatch.setattr(unpacking._Result, "check_assignment", lambda self, place: True)
    monkeypatch.setattr(unpacking._Result, "_update_position", lambda self: None)
    parts: list[list[Fetched]] = []
    while part := result.getall(5_000):
        parts.append(part)
    assert [[record.offset for record in part] for part in parts] == [[0, 1], [2, 3], [4]]
    assert all(record.size_bytes >= 1_502 for part in parts for record in part)

"""What the projector reads at once has a limit, however large a batch of the broker becomes when it is decompressed."""

import pytest
from confluent_kafka import Producer

from neural_hive.projections import source
from neural_hive.projections.source import Source, archive_of
from neural_hive.schemas.topics import Kind
from tests.conftest import note_undelivered
from tests.projections.support import Log

RECORDS, RECORD_BYTES, AT_ONCE_BYTES = 40, 100_000, 500_000


@pytest.mark.parametrize("place", ["value", "headers", "key"])
def test_a_batch_is_read_in_pieces(log: Log, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setattr(source, "BYTES_MAX", AT_ONCE_BYTES)
    producer = Producer(
        log.config | {"compression.type": "lz4", "linger.ms": 10_000, "batch.size": 50_000_000}
    )
    zeros = bytes(RECORD_BYTES)
    for _ in range(RECORDS):
        key, value = (zeros if place == name else b"k" for name in ("key", "value"))
        headers = [("h", zeros)] if place == "headers" else []
        producer.produce(log.inputs, value, key, 0, headers=headers, on_delivery=note_undelivered)
    assert producer.flush(60) == 0
    archives = {log.inputs: archive_of(Kind.INPUT)}
    read = Source(log.config, archives, {(log.inputs, 0): 0})
    offsets: list[int] = []
    try:
        while len(offsets) < RECORDS:
            batch = read.batch(0.5)
            for part in batch.parts:
                assert len(part.rows) <= AT_ONCE_BYTES // RECORD_BYTES
                offsets += [row.record.offset for row in part.rows]
                assert batch.nexts[log.inputs, 0] == offsets[-1] + 1
    finally:
        read.close()
    assert offsets == list(range(RECORDS))

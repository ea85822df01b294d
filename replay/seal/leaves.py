"""The leaves of a partition, made from its records again; of a compacted topic also from what the seals have kept."""

from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from itertools import chain
from typing import Final

from neural_hive.connectors.kafka_log import Record
from neural_hive.connectors.schema_log import TOPIC as SCHEMAS
from neural_hive.replay.reader import LogSource
from neural_hive.replay.seal.leaf import Kept, Place, record_leaf
from neural_hive.replay.seal.merkle import leaf_hash
from neural_hive.replay.seal.seal import Seal

COMPACTED: Final = frozenset({SCHEMAS})  # topics from which Kafka removes records that later ones replace
Leaf = tuple[int, bytes]  # offset and hash


def sealed_leaves(
    source: LogSource, place: Place, first: int, end: int, kept: Mapping[int, Kept]
) -> Iterator[Leaf]:
    """The leaves of the offsets [first, end), from the log. `kept`: what the seals have kept of them, by offset."""
    topic, partition = place
    _, log_end = source.ranges(topic).get(partition, (0, 0))
    if log_end <= first:
        return iter(())
    if topic not in COMPACTED:
        records = chain.from_iterable(source.batches(topic, partition, first, min(end, log_end)))
        return ((record.offset, leaf_hash(record_leaf(record))) for record in records)
    # What replaces a sealed record may not be sealed yet.
    there = list(chain.from_iterable(source.batches(topic, partition, first, log_end)))
    return (leaf for leaf in _compacted(there, kept) if leaf[0] < end)


def kept_leaf_of(record: Record) -> Kept:
    """What a seal keeps of a record of a compacted topic."""
    key_hash = sha256(record.key or b"").digest()
    return Kept(record.offset, leaf_hash(record_leaf(record)), key_hash, record.value is None)


def kept_of(seals: Iterable[Seal]) -> dict[Place, dict[int, Kept]]:
    """What seals have kept of compacted topics: by partition and offset."""
    found: dict[Place, dict[int, Kept]] = {}
    for seal in seals:
        for growth in seal.grown:
            if growth.leaves:
                found.setdefault(growth.place, {}).update((kept.offset, kept) for kept in growth.leaves)
    return found


def _compacted(records: list[Record], kept: Mapping[int, Kept]) -> Iterator[Leaf]:
    """The leaves of records that are there, and of those that compaction removed.

    A record that is gone and that no later one replaces gives no leaf, and so another root.
    """
    there = {record.offset: kept_leaf_of(record) for record in records}
    everything = {**kept, **there}
    replaced = _replaced(everything)
    for offset in sorted(everything):
        if offset in there or offset in replaced:
            yield offset, everything[offset].hash


def _replaced(kept: Mapping[int, Kept]) -> set[int]:
    """Offsets that compaction may remove: a later record has the key, or the record deletes its key."""
    last: dict[bytes, int] = {}
    found = set()
    for offset in sorted(kept):
        one = kept[offset]
        if one.key_hash in last:
            found.add(last[one.key_hash])
        if one.is_deletion:
            found.add(offset)
        last[one.key_hash] = offset
    return found

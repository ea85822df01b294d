"""How far the readers of inputs have come: the group of a system, and a group of its own for each of its routers."""

from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from neural_hive.connectors.kafka_offsets import CALL_TIMEOUT_S
from neural_hive.replay.reader import Range
from neural_hive.replay.report import Check, Findings

Offsets = Mapping[tuple[str, int], int]  # of each topic and partition; -1: none
Ranges = Mapping[str, Mapping[int, Range]]


class NotVerified(RuntimeError):
    """The verification could not be done; the text says why, and what to do."""


def committed_offsets(config: Mapping[str, Any], group: str, topics: Mapping[str, int]) -> Offsets:
    """The input offsets that a group has committed; −1 where it has none. `topics`: name → partitions.

    Raises NotVerified: the broker does not say.
    """
    wanted = [TopicPartition(t, p) for t, partitions in topics.items() for p in range(partitions)]
    consumer = Consumer({**config, "group.id": group, "enable.auto.commit": False})
    try:
        found = consumer.committed(wanted, CALL_TIMEOUT_S)
    except KafkaException as error:
        raise NotVerified(f"offsets of group {group}: {error.args[0].str()}") from error
    finally:
        consumer.close()
    return {(at.topic, at.partition): max(at.offset, -1) for at in found}


def note_unread(
    system: str,
    readers: Mapping[str, str],
    ranges: Ranges,
    committed: Offsets,
    has_events: bool,
    findings: Findings,
) -> None:
    """Notes inputs that nobody is known to have read. `readers`: the group of each topic."""
    unread = {
        (topic, partition): bounds
        for topic, partitions in ranges.items()
        for partition, bounds in partitions.items()
        if bounds[1] > bounds[0] and committed.get((topic, partition), -1) < 0
    }
    if unread and not has_events and max(committed.values(), default=-1) < 0:
        findings.skip(Check.ANSWERED, f"{system} has never run: it has neither events nor committed offsets")
        return
    for (topic, partition), (first, end) in unread.items():
        expected = f"a committed offset of group {readers[topic]}"
        found = f"no committed offset, and records from offset {first} to {end}"
        findings.add(Check.ANSWERED, f"{topic}:{partition}", "", expected, found)

"""The topics of the system: what each carries, how long it is kept, who may write it."""

from enum import StrEnum
from typing import Final

import msgspec

DAY_MS: Final = 86_400_000
MESSAGE_BYTES_MAX: Final = 8 * 1024 * 1024  # the largest input: a plan
DEAD_LETTER_BYTES_MAX: Final = MESSAGE_BYTES_MAX + 256 * 1024  # the largest input and the words around it
FOR_EVER: Final = None


class Kind(StrEnum):
    """What a topic is for: it decides retention, time stamps and who writes."""

    INPUT = "input"  # messages, written by clients
    EVENT = "event"  # events of aggregates, written by one processor, the source of truth
    DERIVED = "derived"  # streams computed from events: no aggregate, no sequence
    DEAD = "dead"  # what could not be processed


class Topic(msgspec.Struct, frozen=True):
    """One topic; `partitions` is production's figure (a setting may override it for a whole app)."""

    name: str
    kind: Kind
    partitions: int
    retention_ms: int | None = FOR_EVER
    bytes_max: int = MESSAGE_BYTES_MAX
    compression: str = "lz4"
    is_single: bool = False  # one partition whatever the setting says: the order of all its records counts


_THIRTY_DAYS = 30 * DAY_MS

TOPICS: Final[dict[str, Topic]] = {
    topic.name: topic
    for topic in (
        Topic("plans.consensus", Kind.INPUT, 12, _THIRTY_DAYS),
        Topic("execution.results", Kind.INPUT, 12, _THIRTY_DAYS),
        Topic("orchestration.commands", Kind.INPUT, 12, _THIRTY_DAYS),
        Topic("orchestrator.repartition", Kind.INPUT, 12, _THIRTY_DAYS),
        Topic("execution.tickets", Kind.EVENT, 12),
        Topic("orchestration.workflows", Kind.EVENT, 12),
        Topic("orchestration.incidents", Kind.EVENT, 12),
        Topic("registry.commands", Kind.INPUT, 6, _THIRTY_DAYS),
        Topic("registry.repartition", Kind.INPUT, 6, _THIRTY_DAYS),
        Topic("registry.answers", Kind.INPUT, 12, _THIRTY_DAYS),
        Topic("registry.agents", Kind.EVENT, 6),
        Topic("registry.slots", Kind.EVENT, 6),
        Topic("pheromones.signals", Kind.EVENT, 6),
        Topic("operations.commands", Kind.INPUT, 6, _THIRTY_DAYS),
        Topic("operations.repartition", Kind.INPUT, 6, _THIRTY_DAYS),
        Topic("operations.redrives", Kind.EVENT, 6),
        Topic("operations.refusals", Kind.EVENT, 6),
        Topic("webhooks.commands", Kind.INPUT, 12, _THIRTY_DAYS),
        Topic("webhooks.results", Kind.INPUT, 12, _THIRTY_DAYS),
        Topic("webhooks.subscriptions", Kind.EVENT, 12),
        Topic("webhooks.deliveries", Kind.EVENT, 12),
        Topic("privacy.commands", Kind.INPUT, 6, _THIRTY_DAYS),
        Topic("privacy.subjects", Kind.EVENT, 6),
        Topic("sla.commands", Kind.INPUT, 12, _THIRTY_DAYS),
        Topic("sla.measurements", Kind.INPUT, 12, _THIRTY_DAYS),
        Topic("sla.repartition", Kind.INPUT, 12, _THIRTY_DAYS),
        Topic("sla.sources", Kind.EVENT, 12),
        Topic("sla.definitions", Kind.EVENT, 12),
        Topic("sla.budgets", Kind.EVENT, 12),
        Topic("sla.history", Kind.EVENT, 12),
        Topic("sla.freeze.events", Kind.EVENT, 12),
        Topic("sla.violations", Kind.EVENT, 12),
        Topic("telemetry.aggregated", Kind.INPUT, 12, _THIRTY_DAYS),
        Topic("telemetry-flow-c", Kind.DERIVED, 3, 7 * DAY_MS, compression="gzip"),
        Topic("telemetry.orchestration", Kind.DERIVED, 12, 14 * DAY_MS),
        Topic("audit.checkpoints", Kind.DERIVED, 1),
        Topic("audit.witnesses", Kind.DERIVED, 1),
        Topic("dead.letters", Kind.DEAD, 6, FOR_EVER, DEAD_LETTER_BYTES_MAX),
    )
}


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a record key: Kafka's default (Java) partitioner, murmur2 without its sign."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """Kafka's 32-bit murmur2 (seed 0x9747b28c), as an unsigned integer.

    Source: org.apache.kafka.common.utils.Utils.murmur2.
    """
    multiplier, mask = 0x5BD1E995, 0xFFFFFFFF
    length = len(data)
    digest = (0x9747B28C ^ length) & mask
    whole = length & ~3
    for start in range(0, whole, 4):
        block = int.from_bytes(data[start : start + 4], "little") * multiplier & mask
        block = (block ^ (block >> 24)) * multiplier & mask
        digest = digest * multiplier & mask ^ block
    if whole < length:
        digest = (digest ^ int.from_bytes(data[whole:], "little")) * multiplier & mask
    digest = (digest ^ (digest >> 13)) * multiplier & mask
    return digest ^ (digest >> 15)

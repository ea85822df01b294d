"""A partition of a system, as the log speaks of it: protects that going on with a damaged log leaves a trace."""

import msgspec

from neural_hive.aggregates.aggregate import Aggregate, Command, Event

PARTITION = "partition"


class AcceptLog(Command, frozen=True):
    """Goes on with the log as it was found, although it is not what the state was made from."""

    reason: str
    requested_by: str
    expected_position: str
    found_position: str


class PartitionLogAccepted(Event, frozen=True):
    """Somebody accepted that committed events were lost or changed: what follows stands on what was found."""

    reason: str
    requested_by: str
    expected_position: str
    found_position: str


class PartitionHistory(msgspec.Struct, frozen=True):
    """How often the partition's log was accepted."""

    accepted_count: int = 0


def decide(state: PartitionHistory | None, command: AcceptLog) -> list[PartitionLogAccepted]:
    """It is a person's decision: nothing is refused."""
    return [
        PartitionLogAccepted(
            command.reason, command.requested_by, command.expected_position, command.found_position
        )
    ]


def evolve(state: PartitionHistory | None, event: PartitionLogAccepted) -> PartitionHistory:
    """Adds one event."""
    return PartitionHistory((state.accepted_count if state else 0) + 1)


def partition_aggregate(topic: str) -> Aggregate[PartitionHistory]:
    """The aggregate of a system's partitions, whose events stand in one of its event topics."""
    return Aggregate(PARTITION, topic, PartitionHistory, (PartitionLogAccepted,), decide, evolve)

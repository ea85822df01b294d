"""Events of tickets as the orchestrator writes them: for tests that need no orchestrator."""

from collections.abc import Mapping
from typing import Any

import msgspec
from confluent_kafka import Producer

from neural_hive.aggregates.aggregate import Event
from neural_hive.aggregates.identity import derived_id
from neural_hive.aggregates.ticket import TicketCancelled, TicketDispatched
from neural_hive.aggregates.vocabulary import SecurityLevel, TaskType
from neural_hive.schemas.codec import encode_event
from neural_hive.schemas.envelope import NO_HASH, Envelope
from neural_hive.schemas.topics import partition_of

TICKETS = "execution.tickets"


def dispatched(ticket_id: str, workflow_id: str, url: str) -> TicketDispatched:
    """A ticket that was given to an agent that wants to be called there."""
    return TicketDispatched(
        *(ticket_id, workflow_id, "p", "a", TaskType.EXECUTE, 1, "agent", url, ("true",), {}, {}),
        *(1_000, 1, SecurityLevel.INTERNAL, (), 1),
    )


class TicketLog:
    """Writes to execution.tickets."""

    def __init__(self, config: Mapping[str, Any], partitions: int) -> None:
        self._partitions, self._sequence = partitions, 0
        self._producer = Producer({**config, "linger.ms": 5})

    def cancelled(self, number: int, reason: str = "because") -> str:
        """A ticket is cancelled; the event's id."""
        workflow_id, ticket_id = f"w-{number % 10}", f"t-{number}"
        return self.write(TicketCancelled(ticket_id, workflow_id, reason, 1), ticket_id, workflow_id)

    def write(self, event: Event, ticket_id: str, workflow_id: str) -> str:
        """One event; its id."""
        self._sequence += 1
        event_id, name = derived_id(ticket_id, type(event).__name__), type(event).__name__
        envelope = Envelope(
            *(name, "ticket", 1, "logic", "orchestrator", event_id, ticket_id, 1, 1_700_000_000_000_000),
            *(workflow_id, "cause", "ab" * 16, "cd" * 8, self._sequence, "", 0, 0, NO_HASH),
        )
        key = workflow_id.encode()
        value = encode_event(envelope, msgspec.to_builtins(event))
        self._producer.produce(TICKETS, value, key, partition_of(key, self._partitions))
        return event_id

    def flush(self) -> None:
        """Waits until all is in the log."""
        assert self._producer.flush(60) == 0

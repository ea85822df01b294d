"""What can be read beside the SDK's own types: steps, incidents, dead letters."""

from datetime import datetime

import msgspec


class TicketStep(msgspec.Struct, frozen=True):
    """One step of a ticket, with its place in the log and its cause."""

    ticket_id: str
    version: int
    event_type: str
    status: str = ""  # "": it stays what it was
    occurred_at: datetime | None = None
    attempt: int = 0
    agent_id: str = ""
    exit_code: int | None = None
    error: str = ""
    requested_by: str = ""
    event_id: str = ""
    causation_id: str = ""
    trace_id: str = ""
    topic: str = ""
    partition: int = 0
    offset: int = 0


class TimelineEvent(msgspec.Struct, frozen=True):
    """One event of a workflow, of its tickets or of its incidents."""

    sequence: int  # order of all that its partition's processor has written
    event_type: str
    aggregate_type: str
    aggregate_id: str
    version: int
    occurred_at: datetime
    event_id: str
    causation_id: str
    topic: str
    partition: int
    offset: int


class IncidentInfo(msgspec.Struct, frozen=True):
    """What about a workflow needs attention, since when; or how long it did."""

    incident_id: str
    status: str = ""
    kind: str = ""
    severity: str = ""
    workflow_id: str = ""
    summary: str = ""
    ticket_ids: tuple[str, ...] = ()
    opened_at: datetime | None = None
    resolved_at: datetime | None = None
    resolution: str = ""


class DeadLetterInfo(msgspec.Struct, frozen=True):
    """A record that could not be processed: where it lay, and why."""

    message_id: str
    occurred_at: datetime | None = None
    source_topic: str = ""
    source_partition: int = 0
    source_offset: int = 0
    reason: str = ""
    error_type: str = ""
    processor: str = ""
    aggregate_id: str = ""
    dead_letter: str = ""  # its own place: by it the record is written again

"""An incident: something about a workflow needs somebody's attention.

Protects: of one kind there is at most one open incident for a workflow, or for each of its tickets if it is about one;
it is resolved once.

Self-healing and people read them. NO_AGENT is resolved by itself when an agent comes, DEPLOY_FROZEN when no freeze
holds the ticket any more; the others stay open until somebody has dealt with them.
"""

from enum import StrEnum
from typing import Final, assert_never

import msgspec

from neural_hive.aggregates.aggregate import Aggregate, Command, Event, members
from neural_hive.aggregates.identity import derived_id

TICKETS_MAX: Final = 20
TEXT_CHARS_MAX: Final = 4_096


class Kind(StrEnum):
    """What an incident is about."""

    UNKNOWN = "UNKNOWN"
    NO_AGENT = "NO_AGENT"
    INTEGRITY = "INTEGRITY"
    WORKFLOW_FAILED = "WORKFLOW_FAILED"
    DEADLINE_PASSED = "DEADLINE_PASSED"
    NOT_UNDONE = "NOT_UNDONE"  # one for each ticket
    AGENTS_BUSY = "AGENTS_BUSY"
    AGENT_LOST = "AGENT_LOST"  # one for each agent
    DEPLOY_FROZEN = "DEPLOY_FROZEN"  # one for each ticket


class Severity(StrEnum):
    """How much it matters."""

    UNKNOWN = "UNKNOWN"
    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"
    CRITICAL = "CRITICAL"


class OpenIncident(Command, frozen=True):
    """Somebody should look at a workflow."""

    workflow_id: str
    kind: Kind
    severity: Severity
    summary: str
    ticket_ids: tuple[str, ...]
    opened_at: int
    about: str = ""  # the ticket or agent, where there is one incident for each


class ResolveIncident(Command, frozen=True):
    """It is so no more."""

    reason: str
    resolved_at: int


class IncidentOpened(Event, frozen=True):
    """Something about a workflow needs somebody's attention."""

    incident_id: str
    workflow_id: str
    kind: Kind
    severity: Severity
    summary: str
    ticket_ids: tuple[str, ...]
    opened_at: int


class IncidentResolved(Event, frozen=True):
    """What an incident was about is so no more."""

    incident_id: str
    workflow_id: str
    reason: str
    resolved_at: int


IncidentCommand = OpenIncident | ResolveIncident
IncidentEvent = IncidentOpened | IncidentResolved


class Incident(msgspec.Struct, frozen=True):
    """What the events so far make of an incident."""

    incident_id: str
    workflow_id: str
    kind: Kind
    is_open: bool


def incident_id_of(workflow_id: str, kind: Kind, about: str = "") -> str:
    """The id of a workflow's incident of one kind, or of that about one of its tickets or agents."""
    return derived_id(workflow_id, kind, about) if about else derived_id(workflow_id, kind)


def decide(incident: Incident | None, command: IncidentCommand) -> list[IncidentEvent]:
    """The events that follow from a command; nothing, if it is so already."""
    match command:
        case OpenIncident():
            return [] if incident is not None and incident.is_open else [_opened(command)]
        case ResolveIncident():
            if incident is None or not incident.is_open:
                return []
            ids = (incident.incident_id, incident.workflow_id)
            return [IncidentResolved(*ids, command.reason[:TEXT_CHARS_MAX], command.resolved_at)]
        case _:
            assert_never(command)


def _opened(command: OpenIncident) -> IncidentOpened:
    return IncidentOpened(
        incident_id_of(command.workflow_id, command.kind, command.about),
        command.workflow_id,
        command.kind,
        command.severity,
        command.summary[:TEXT_CHARS_MAX],
        command.ticket_ids[:TICKETS_MAX],
        command.opened_at,
    )


def evolve(incident: Incident | None, event: IncidentEvent) -> Incident:
    """What an event makes of the incident."""
    match event:
        case IncidentOpened():
            return Incident(event.incident_id, event.workflow_id, event.kind, True)
        case IncidentResolved():
            assert incident is not None, "the history of an incident begins with IncidentOpened"
            return msgspec.structs.replace(incident, is_open=False)
        case _:
            assert_never(event)


INCIDENT = Aggregate("incident", "orchestration.incidents", Incident, members(IncidentEvent), decide, evolve)

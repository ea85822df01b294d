"""The kinds of things that are listed, and by what each can be asked for."""

from typing import Final

from neural_hive.listing.filters import Filter, fixed, like, moving
from neural_hive.listing.listing import Listing

_OF_INTENT: Final = "SELECT workflow_id FROM workflows_versions WHERE intent_id IN {values}"
_REDRIVEN: Final = "SELECT dead_letter FROM redrives WHERE outcome = 'REDRIVEN'"

WORKFLOWS: Final = Listing(
    "workflows",
    "workflow_id",
    "ifNull(started_at, finished_at)",
    "event_type IN ('WorkflowStarted', 'PlanRejected')",
    {
        "plan_id": fixed("plan_id"),
        "plan": like("plan_id"),
        "intent_id": fixed("intent_id"),
        "status": moving("status"),
        "priority": moving("priority"),
    },
)
TICKETS: Final = Listing(
    "tickets",
    "ticket_id",
    "created_at",
    "event_type = 'TicketCreated'",
    {
        "plan_id": fixed("plan_id"),
        "plan": like("plan_id"),
        "workflow_id": fixed("workflow_id"),
        "intent_id": Filter(f"workflow_id IN ({_OF_INTENT})"),
        "task": like("task_id"),
        "task_type": fixed("task_type"),
        "priority": fixed("priority"),
        "status": moving("status"),
        "agent_id": moving("agent_id"),
    },
)
INCIDENTS: Final = Listing(
    "incidents",
    "incident_id",
    "opened_at",
    "event_type = 'IncidentOpened' AND version = 1",
    {
        "kind": fixed("kind"),
        "workflow_id": fixed("workflow_id"),
        "status": moving("status"),
        "severity": moving("severity"),
    },
)
FREEZE_EXCEPTIONS: Final = Listing(
    "freeze_exceptions",
    "exception_id",
    "requested_at",
    "event_type = 'FreezeExceptionRequested'",
    {"scope": fixed("scope"), "subject": fixed("subject"), "status": moving("status")},
)
_LETTERS: Final = {
    "source_topic": fixed("source_topic"),
    "error_type": fixed("error_type"),
    "processor": fixed("processor"),
    "processors": like("processor"),
    "reason": like("reason"),
    "state": Filter(f"if(dead_letter IN ({_REDRIVEN}), 'redriven', 'waiting') IN {{values}}"),
}
# Each letter is one row. Its message may lie in the log twice, its place is one: who writes it again names the place.
DEAD_LETTERS: Final = Listing(
    "dead_letters", "message_id", "occurred_at", "1", _LETTERS, firsts="dead_letters"
)
DEAD_LETTER_PLACES: Final = Listing(
    "dead_letters", "dead_letter", "valid_from", "1", _LETTERS, firsts="dead_letters"
)

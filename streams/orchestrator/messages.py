"""What the orchestrator is told, besides plans: reports of agents, and what people ask for."""

import msgspec

from neural_hive.aggregates.vocabulary import Artifact, Outcome, Priority


class ReportStart(msgspec.Struct, frozen=True):
    """An agent says that it has begun an attempt at a ticket."""

    workflow_id: str
    ticket_id: str
    attempt: int
    agent_id: str
    started_at: int


class ReportResult(msgspec.Struct, frozen=True):
    """An agent says how an attempt at a ticket ended."""

    workflow_id: str
    ticket_id: str
    attempt: int
    agent_id: str
    outcome: Outcome
    started_at: int
    completed_at: int
    exit_code: int | None = None
    outputs: dict[str, str] = {}
    artifacts: tuple[Artifact, ...] = ()
    error: str = ""


class CancelWorkflow(msgspec.Struct, frozen=True):
    """Somebody wants a workflow to stop."""

    workflow_id: str
    reason: str
    requested_by: str = ""


class PauseWorkflow(msgspec.Struct, frozen=True):
    """Somebody wants no more work of a workflow to begin for now."""

    workflow_id: str
    reason: str
    requested_by: str = ""


class ResumeWorkflow(msgspec.Struct, frozen=True):
    """Somebody wants a paused workflow to go on."""

    workflow_id: str
    reason: str
    requested_by: str = ""


class RetryTicket(msgspec.Struct, frozen=True):
    """Somebody wants a ticket to be tried again, now."""

    workflow_id: str
    ticket_id: str
    reason: str
    requested_by: str = ""


class AdjustQos(msgspec.Struct, frozen=True):
    """Somebody wants another priority (UNKNOWN: the same) or deadline (ms from acceptance; 0: the same)."""

    workflow_id: str
    reason: str
    priority: Priority = Priority.UNKNOWN
    deadline_ms: int = 0
    requested_by: str = ""


class CompleteTicket(msgspec.Struct, frozen=True):
    """Somebody says that the work of a ticket was done elsewhere."""

    workflow_id: str
    ticket_id: str
    reason: str
    outputs: dict[str, str] = {}
    requested_by: str = ""

"""What events of tickets and workflows say to expressions of SLIs."""

from typing import Any, Final, Protocol, TypeVar

import msgspec

from neural_hive.aggregates.aggregate import Aggregate
from neural_hive.aggregates.sli_expression import Facts, Value
from neural_hive.aggregates.sli_subject import SLI_SUBJECT, End, Note, SliSubject
from neural_hive.streams.kernel.system import Happened

S = TypeVar("S")

TICKET_ENDS: Final = {"TicketCompleted": "COMPLETED", "TicketFailed": "FAILED", "TicketTimedOut": "TIMED_OUT"}
WORKFLOW_ENDS: Final = {
    "WorkflowCompleted": "COMPLETED",
    "WorkflowFailed": "FAILED",
    "WorkflowCancelled": "CANCELLED",
    "PlanRejected": "REJECTED",
}
_ENDS_FOR_GOOD: Final = frozenset(
    {"TicketCompleted", "TicketCancelled", "WorkflowCompleted", "WorkflowFailed", "WorkflowCancelled"}
)  # what has failed or timed out may be tried again, and end again
_UNKNOWN: Final = SliSubject({}, 0, 0)


class Known(Protocol):
    """Who knows what was noted."""

    def load(self, aggregate: Aggregate[S], aggregate_id: str) -> S | None:
        """See Unit.load."""
        ...


class Sample(msgspec.Struct, frozen=True):
    """Something that has ended, or some that are alike."""

    at: int  # µs: when it happened
    facts: Facts
    events: int = 1


def noted(happened: Happened) -> Note | None:
    """What is to be kept of an event that begins something; None: it does not."""
    payload, subject_id = happened.payload, happened.envelope.aggregate_id
    match happened.envelope.event_type:
        case "TicketCreated":
            return Note(subject_id, _of_ticket(payload), payload["created_at"], payload["deadline_at"])
        case "WorkflowStarted":
            names = ("plan_id", "priority", "risk_band", "sla_class")
            facts = {name: str(payload[name]) for name in names}
            facts["task_count"] = str(payload["task_count"])
            return Note(subject_id, facts, payload["started_at"], payload["deadline_at"])
        case _:
            return None


def ended(happened: Happened, now: int) -> End | None:
    """That nothing more can be asked of what was noted; None: the event does not say so. `now`: µs."""
    is_end = happened.envelope.event_type in _ENDS_FOR_GOOD
    return End(happened.envelope.aggregate_id, now) if is_end else None


def _of_ticket(payload: dict[str, Any]) -> dict[str, str]:
    task = payload["task"]
    facts = {name: str(payload[name]) for name in ("plan_id", "priority", "risk_band")}
    facts |= {name: str(task[name]) for name in ("task_id", "task_type")}
    given = task["parameters"]
    return facts | {name: str(given[name]) for name in ("service", "namespace") if name in given}


def sampled(known: Known, happened: Happened) -> Sample | None:
    """What an event that ends something says; None: it ends nothing."""
    event_type = happened.envelope.event_type
    if status := TICKET_ENDS.get(event_type):
        return _ticket(_subject(known, happened), happened, status)
    if status := WORKFLOW_ENDS.get(event_type):
        return _workflow(_subject(known, happened), happened, status)
    return None


def _subject(known: Known, happened: Happened) -> SliSubject:
    return known.load(SLI_SUBJECT, happened.envelope.aggregate_id) or _UNKNOWN


def _ticket(subject: SliSubject, happened: Happened, status: str) -> Sample:
    payload = happened.payload
    at = payload.get("completed_at") or payload.get("timed_out_at") or happened.envelope.occurred_at
    facts: dict[str, Value] = {
        **subject.facts,
        "status": status,
        "attempt": payload["attempt"],
        "agent_id": payload["agent_id"],
        "exit_code": payload.get("exit_code"),
    }
    if started_at := payload.get("started_at"):
        facts["duration_ms"] = (at - started_at) / 1_000
        if subject.began_at:
            facts["wait_ms"] = (started_at - subject.began_at) / 1_000
    return Sample(at, facts)


def _workflow(subject: SliSubject, happened: Happened, status: str) -> Sample:
    payload, at = happened.payload, happened.envelope.occurred_at
    facts: dict[str, Value] = {**subject.facts, "status": status}
    if "plan_id" in payload:  # of a plan that was refused nothing was noted
        facts["plan_id"] = str(payload["plan_id"])
    if "task_count" in subject.facts:
        facts["task_count"] = int(subject.facts["task_count"])
    if "duration_ms" in payload:
        facts["duration_ms"] = payload["duration_ms"]
    if subject.due_at:
        facts["is_late"] = at > subject.due_at
    return Sample(at, facts)

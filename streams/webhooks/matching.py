"""Which subscriptions an event is told to: what it says of its subject, and what filters ask."""

from typing import Any, Final

import msgspec

from neural_hive.aggregates.subscription import Standing, Subscription, takes
from neural_hive.aggregates.webhook_subject import SUBJECT, Note, Subject
from neural_hive.projections import incidents, tickets, workflows
from neural_hive.streams.kernel.system import Happened, Unit
from neural_hive.streams.webhooks.view import Subscriptions

# What an event makes of its subject, as the tables say it too.
STATUS_AFTER: Final = {**workflows.STATUS_AFTER, **tickets.STATUS_AFTER, **incidents.STATUS_AFTER}
_BEGINNINGS: Final = frozenset({"TicketCreated", "WorkflowStarted"})


class Facts(msgspec.Struct, frozen=True):
    """What filters may ask of an event."""

    event_type: str
    status: str
    plan_id: str
    task_type: str


def facts_of(unit: Unit, happened: Happened) -> Facts:
    """What an event says of itself, and what was noted of its ticket or workflow before."""
    payload, event_type = happened.payload, happened.envelope.event_type
    noted = unit.load(SUBJECT, happened.envelope.aggregate_id) or Subject("", "")
    return Facts(
        event_type,
        STATUS_AFTER.get(event_type, ""),
        payload.get("plan_id") or noted.plan_id,
        _task_type(payload) or noted.task_type,
    )


def _task_type(payload: dict[str, Any]) -> str:
    task = payload.get("task")
    found = task.get("task_type", "") if isinstance(task, dict) else payload.get("task_type", "")
    return str(found)


def note(unit: Unit, happened: Happened, known: Subscriptions) -> None:
    """Keeps plan and task type of what begins, if any subscription asks for them: later events do not tell."""
    if happened.envelope.event_type in _BEGINNINGS and any(s.filter.asks_for_subject for s in known.values()):
        payload, subject_id = happened.payload, happened.envelope.aggregate_id
        unit.execute(SUBJECT, subject_id, Note(subject_id, payload["plan_id"], _task_type(payload)))


def wants(subscription: Subscription, facts: Facts, appended_at: int) -> bool:
    """Whether a subscription is told of an event."""
    wanted = subscription.filter
    return (
        subscription.standing in (Standing.ACTIVE, Standing.PAUSED)
        and appended_at >= subscription.since
        and takes(wanted, facts.event_type)
        and (not wanted.plan_ids or facts.plan_id in wanted.plan_ids)
        and (not wanted.task_types or facts.task_type in wanted.task_types)
        and (not wanted.statuses or facts.status in wanted.statuses)
    )

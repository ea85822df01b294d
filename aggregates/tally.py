"""Names of the counters that tickets move, and of the queues that they stand in."""

from typing import Final

READY_QUEUE: Final = "ready"  # tickets of all workflows that wait for an agent to be chosen
HELD_QUEUE: Final = "held"  # those that freezes hold back, the same freezes together


ACTIVE_WORKFLOWS: Final = "active-workflows"  # both: how many go on, and the queue of those that do
WORKFLOW_QUEUE: Final = "queued-workflows"  # workflows that wait for their turn


def queued_workflows(plan_id: str) -> str:
    """Workflows of a plan that wait for their turn."""
    return f"queued-workflows:{plan_id}"


def open_dependencies(ticket_id: str) -> str:
    """Tickets that must still be completed before this one is ready."""
    return f"open:{ticket_id}"


def unfinished(workflow_id: str) -> str:
    """Tickets of a workflow that have not ended."""
    return f"unfinished:{workflow_id}"


def completed(workflow_id: str) -> str:
    """Tickets of a workflow that did what they should."""
    return f"completed:{workflow_id}"


def failed(workflow_id: str) -> str:
    """Tickets of a workflow that failed or timed out."""
    return f"failed:{workflow_id}"


def compensated(workflow_id: str) -> str:
    """Tickets of a workflow that were completed and then undone."""
    return f"compensated:{workflow_id}"


def cancelled(workflow_id: str) -> str:
    """Tickets of a workflow that were cancelled."""
    return f"cancelled:{workflow_id}"


def queued(workflow_id: str) -> str:
    """Tickets of a workflow that wait for an agent to be chosen."""
    return f"queued:{workflow_id}"


def asking(workflow_id: str) -> str:
    """Tickets of a workflow that ask an agent for a slot, and have not been given to it."""
    return f"asking:{workflow_id}"


def given_out(workflow_id: str) -> str:
    """Attempts at a workflow's tickets that were given to agents so far."""
    return f"given:{workflow_id}"


def outstanding(agent_id: str) -> str:
    """Tickets of this partition that ask an agent for a slot, or have one."""
    return f"outstanding:{agent_id}"


def roots(workflow_id: str) -> str:
    """The queue of a workflow's tickets that depend on nothing: all others are reached from them."""
    return f"roots:{workflow_id}"


def to_undo(workflow_id: str) -> str:
    """The queue of a workflow's tickets that are to be undone, in the order in which they are."""
    return f"undo:{workflow_id}"


def held_queue(workflow_id: str) -> str:
    """The queue of a workflow's tickets that freezes hold back."""
    return f"held:{workflow_id}"


def ready_queue(workflow_id: str) -> str:
    """The queue of a workflow's tickets that are ready, whether an agent is chosen or not."""
    return f"ready:{workflow_id}"

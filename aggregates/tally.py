"""Names of the counters that tickets move: how many dependencies are open, and how a workflow's tickets stand."""


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

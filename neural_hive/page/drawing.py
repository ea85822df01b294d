"""The graph of a workflow as a Mermaid flowchart, each task in the colour of its state."""

from collections.abc import Sequence
from typing import Final

from neural_hive.sdk.views import TicketInfo
from neural_hive.workflow_view import SIGNS

TASKS_MAX: Final = 150  # more is no picture; the table has all
_STYLES: Final = {
    "COMPLETED": "fill:#c8e6c9,stroke:#2e7d32,color:#000",
    "RUNNING": "fill:#bbdefb,stroke:#1565c0,color:#000,stroke-width:3px",
    "ASSIGNED": "fill:#e3f2fd,stroke:#1565c0,color:#000",
    "READY": "fill:#e3f2fd,stroke:#90caf9,color:#000",
    "PENDING": "fill:#eeeeee,stroke:#9e9e9e,color:#000",
    "FAILED": "fill:#ffcdd2,stroke:#c62828,color:#000",
    "TIMED_OUT": "fill:#ffcdd2,stroke:#c62828,color:#000",
    "CANCELLED": "fill:#e1bee7,stroke:#6a1b9a,color:#000",
    "COMPENSATED": "fill:#e1bee7,stroke:#6a1b9a,color:#000",
}


def flowchart(tickets: Sequence[TicketInfo]) -> str:
    """The first TASKS_MAX tasks and what they depend on."""
    shown = tickets[:TASKS_MAX]
    number = {ticket.task_id: index for index, ticket in enumerate(shown)}
    lines = ["flowchart LR"]
    for index, ticket in enumerate(shown):
        status = ticket.status if ticket.status in _STYLES else "PENDING"
        lines.append(f'  t{index}["{SIGNS[status][0]} {_escaped(ticket.task_id)}"]:::{status}')
    by_id = {ticket.ticket_id: ticket.task_id for ticket in shown}
    for index, ticket in enumerate(shown):
        for before in ticket.dependencies:
            cause = number.get(before, number.get(by_id.get(before, "")))
            if cause is not None:
                lines.append(f"  t{cause} --> t{index}")
    lines += [f"  classDef {status} {style}" for status, style in _STYLES.items()]
    return "\n".join(lines)


def _escaped(text: str) -> str:
    """A text that Mermaid shows and never reads; ids come from whoever publishes plans."""
    kept = text if len(text) <= 40 else f"{text[:39]}…"
    return "".join(c if c.isalnum() or c in " _-./…" else f"#{ord(c)};" for c in kept)

"""What must hold of attempts that are made again: each delivery mode keeps its promise, whoever died when."""

from __future__ import annotations

from typing import Any

from tests.simulation.history import History

KINDS = ("TicketCreated", "TicketStarted", "TicketRetryScheduled", "TicketDispatched")
ASKED = "asked for it"  # as the reason of a retry says that somebody wanted


def check(history: History) -> None:
    """Raises AssertionError: what must be begun once was given out again, though it had begun and nobody asked."""
    modes: dict[str, str] = {}
    begun: set[tuple[str, int]] = set()
    asked: set[tuple[str, int]] = set()
    for written in history.events:
        told: dict[str, Any] = written.payload
        if written.kind not in KINDS:
            continue
        attempt = told["ticket_id"], told.get("attempt", 0)
        match written.kind:
            case "TicketCreated":
                modes[told["ticket_id"]] = told["delivery_mode"]
            case "TicketStarted":
                begun.add(attempt)
            case "TicketRetryScheduled" if ASKED in told["reason"]:
                asked.add(attempt)
            case "TicketDispatched" if not told["compensates"]:
                before = attempt[0], attempt[1] - 1
                once = modes[attempt[0]] == "EXACTLY_ONCE"
                assert not once or before not in begun or before in asked, f"EXACTLY_ONCE, and again: {told}"
            case _:
                pass

"""Parts that the decisions on tickets share."""

from typing import Final

from neural_hive.aggregates.aggregate import Rejected
from neural_hive.aggregates.ticket.events import TicketCommandRefused, TicketEvent
from neural_hive.aggregates.ticket.state import TRANSITIONS, Status, Ticket, refusal_key

ERROR_CHARS_MAX: Final = 16_384
REASON_CHARS_MAX: Final = 1_000  # one reason may cancel thousands of tickets
AGENT_CHARS_MAX: Final = 128


def ids(ticket: Ticket) -> tuple[str, str]:
    """What every event of the ticket begins with."""
    return ticket.created.ticket_id, ticket.created.workflow_id


def attempt_ids(ticket: Ticket) -> tuple[str, str, int, str]:
    """What every event of its last attempt begins with."""
    return *ids(ticket), ticket.attempt, ticket.agent_id


def allowed(ticket: Ticket, wanted: Status) -> None:
    """Raises Rejected: the ticket cannot become what is wanted."""
    if wanted not in TRANSITIONS[ticket.status]:
        raise Rejected(f"a ticket that is {ticket.status} cannot become {wanted}")


def refuse_request(ticket: Ticket, request: str, reason: str, by: str) -> list[TicketEvent]:
    """The event that says why somebody's request is not possible; nothing, if the last one said the same."""
    refused = TicketCommandRefused(
        *ids(ticket), request, capped(reason, REASON_CHARS_MAX), capped(by, REASON_CHARS_MAX)
    )
    return [] if ticket.last_refusal == refusal_key(refused) else [refused]


def capped(text: str, chars_max: int = ERROR_CHARS_MAX) -> str:
    """The text, with its end cut off if it is too long."""
    return text if len(text) <= chars_max else text[: chars_max - 1] + "…"

"""How a ticket is held back while its deployment is frozen, and let go again."""

from neural_hive.aggregates.aggregate import Rejected
from neural_hive.aggregates.ticket.commands import HoldTicket, ReleaseTicket
from neural_hive.aggregates.ticket.events import TicketEvent, TicketHeld, TicketReleased
from neural_hive.aggregates.ticket.state import Ticket, can_be_frozen
from neural_hive.aggregates.ticket.words import REASON_CHARS_MAX, capped, ids


def hold(ticket: Ticket, command: HoldTicket) -> list[TicketEvent]:
    """Said once for each set of freezes. Raises Rejected: nothing holds it, or nothing may."""
    if not can_be_frozen(ticket):
        raise Rejected("only deployments are held by freezes, and what undoes one is not")
    if not command.freezes:
        raise Rejected("no freeze is named that would hold the ticket")
    known = ticket.held, ticket.held_count
    if not ticket.is_queued or known == (command.freezes, command.freeze_count):
        return []
    place = capped(command.service, REASON_CHARS_MAX), capped(command.namespace, REASON_CHARS_MAX)
    by = command.freezes, command.freeze_count
    return [TicketHeld(*ids(ticket), *place, *by, command.views, command.held_at)]


def release(ticket: Ticket, command: ReleaseTicket) -> list[TicketEvent]:
    """Nothing, if it is not held."""
    if not ticket.held:
        return []
    return [TicketReleased(*ids(ticket), command.views, command.released_at, command.exception_id)]

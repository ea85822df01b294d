"""What the orchestrator does about one message: every change of a ticket goes through here.

A ticket's claim on a slot follows from its state. So the state before and after each change is compared, and what the
registry must hear of it is sent at the end, whatever the reason of the change was: no slot is forgotten.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Final, TypeVar

import msgspec

from neural_hive.aggregates.aggregate import Command, Event, Rejected
from neural_hive.aggregates.fairness import place
from neural_hive.aggregates.freeze_exception import Scope as Excepted
from neural_hive.aggregates.incident import INCIDENT, Kind, OpenIncident, ResolveIncident, incident_id_of
from neural_hive.aggregates.made import Made
from neural_hive.aggregates.matching import USUAL_WEIGHTS, Weights
from neural_hive.aggregates.slot import SlotOutcome
from neural_hive.aggregates.ticket import (
    GRACE_MS,
    START_WITHIN_MS,
    TICKET,
    CreateTicket,
    Slot,
    Status,
    Ticket,
    TicketCompleted,
    TicketFailed,
    TicketTimedOut,
)
from neural_hive.aggregates.workflow import WORKFLOW, Workflow, ticket_id_of
from neural_hive.streams.kernel.system import Unit
from neural_hive.streams.registry.messages import (
    COMMANDS,
    ReleaseSlots,
    ReserveSlots,
    SlotRelease,
    SlotRequest,
)

AGENTS, TRAILS = "agents", "trails"  # the views that agents are chosen from
FREEZES = "freezes"  # the view of what may not be deployed now, and what is excepted from that
T = TypeVar("T")
MESSAGE_SLOTS_MAX: Final = 1_000  # of one message to the registry
_NO_MORE_BUSY: Final = "none waits, one was given to an agent, or freezes hold all of them"
_OUTCOMES: Final = {
    TicketCompleted: SlotOutcome.COMPLETED,
    TicketFailed: SlotOutcome.FAILED,
    TicketTimedOut: SlotOutcome.TIMED_OUT,
}


class Limits(msgspec.Struct, frozen=True):
    """How long tickets of a workflow may wait before there is an incident, how old may be what is known, s; how many
    workflows may go on at once; how agents are chosen, and whose turn it is.
    """

    allocation_s: float = 60  # if no agent could do them
    busy_s: float = 900  # if agents could, and none of the workflow's tickets is given to one
    deploy_view_age_s: float = 30  # what is known of agents and freezes, when a DEPLOY ticket is given out
    workflows_max: int = 0  # in each partition; 0: any number
    weights: Weights = USUAL_WEIGHTS
    asked_factor: float = 2  # of an agent's capacity: slots that are asked for, the next ones while it works
    fairness_step_s: float = 1  # how much later the next ticket of the same workflow stands (see fairness.py)


USUAL_LIMITS: Final = Limits()


class Flow:
    """The work on one message; `moved` and `touched` say what it means to those that wait for agents."""

    def __init__(self, unit: Unit, limits: Limits = USUAL_LIMITS) -> None:
        self.unit, self.now, self.limits = unit, unit.now, limits
        self.moved = False  # tickets wait that did not, or an agent has less to do
        self.touched: dict[str, None] = {}  # workflows, in order, of which other tickets wait than before
        self.workflows_moved = False  # one has begun, ended, or waits
        self.impatient: set[str] = set()  # workflows of which a ticket has waited long for a slot
        self.exceptions: dict[tuple[Excepted, str], str] | None = None  # see freezes.py
        self.cut_short = ""  # whose ticket is next, if agents take more than one message gives out
        self._releases: dict[tuple[str, str], list[SlotRelease]] = {}
        self._requests: dict[tuple[str, str], list[SlotRequest]] = {}

    def ticket(self, ticket_id: str) -> Ticket:
        """A ticket that another one names."""
        ticket = self.unit.load(TICKET, ticket_id)
        assert ticket is not None, f"ticket {ticket_id} is named by another and has no events"
        return ticket

    def workflow(self, workflow_id: str) -> Workflow:
        """A workflow that one of its tickets names."""
        workflow = self.unit.load(WORKFLOW, workflow_id)
        assert workflow is not None, f"workflow {workflow_id} is named by another and has no events"
        return workflow

    def maker(self, workflow_id: str) -> Callable[[str], Made]:
        """What each task of a workflow has made, by its id."""

        @cache
        def made(task_id: str) -> Made:
            source = self.unit.load(TICKET, ticket_id_of(workflow_id, task_id))
            return source.made if source is not None else Made()

        return made

    def place(self, ready_at: int, backlog: int, score: float) -> int:
        """Where a ticket stands in the queue for agents (see fairness.py)."""
        return place(ready_at, backlog, score, round(self.limits.fairness_step_s * 1_000_000))

    def check(self, ticket_id: str, workflow_id: str) -> None:
        """Raises Rejected: what a message says of a ticket's workflow is not so."""
        ticket = self.unit.load(TICKET, ticket_id)
        if ticket is not None and ticket.created.workflow_id != workflow_id:
            raise Rejected(
                f"ticket {ticket_id} belongs to workflow {ticket.created.workflow_id}, not to {workflow_id}"
            )

    def on_ticket(self, ticket_id: str, command: Command, denied: bool = False) -> list[Event]:
        """Decides a ticket's command. `denied`: the registry has said so itself, and need not hear of it."""
        before = self.unit.load(TICKET, ticket_id)
        if before is not None:
            self.unit.turn_to(before.created.workflow_id)
        elif isinstance(command, CreateTicket):
            self.unit.turn_to(command.workflow_id)
        events = self.unit.execute(TICKET, ticket_id, command)
        if events and before is not None:
            self._compare(before, self.ticket(ticket_id), events, denied)
        return events

    def on_workflow(self, workflow_id: str, command: Command) -> list[Event]:
        """Decides a workflow's command. Incidents about agents end when it waits no more, or is served again."""
        self.unit.turn_to(workflow_id)
        before = self.unit.load(WORKFLOW, workflow_id)
        events = self.unit.execute(WORKFLOW, workflow_id, command)
        self.workflows_moved |= bool(events)
        if events and before is not None:
            after = self.workflow(workflow_id)
            if before.stranded_since and not after.stranded_since:
                self.resolve(workflow_id, Kind.NO_AGENT, "no ticket lacks an agent")
            if before.idle_since and before.idle_since != after.idle_since:
                self.resolve(workflow_id, Kind.AGENTS_BUSY, _NO_MORE_BUSY)
        return events

    def open_incident(self, incident: OpenIncident) -> None:
        """Says that somebody should look at a workflow."""
        self.unit.turn_to(incident.workflow_id)
        incident_id = incident_id_of(incident.workflow_id, incident.kind, incident.about)
        self.unit.execute(INCIDENT, incident_id, incident)

    def resolve(self, workflow_id: str, kind: Kind, why: str, about: str = "") -> None:
        """Says that an incident, if there is one, is over."""
        self.unit.turn_to(workflow_id)
        resolve = ResolveIncident(f"{why}; the workflow is {self.workflow(workflow_id).status}", self.now)
        self.unit.execute(INCIDENT, incident_id_of(workflow_id, kind, about), resolve)

    def _compare(self, before: Ticket, after: Ticket, events: Sequence[Event], denied: bool) -> None:
        workflow_id, ticket_id = after.created.workflow_id, after.created.ticket_id
        if before.held and not after.held:
            self.resolve(workflow_id, Kind.DEPLOY_FROZEN, "the ticket is not held any more", ticket_id)
        if before.is_waiting != after.is_waiting or before.held != after.held:
            self.touched[workflow_id] = None
        if before.slot == after.slot and before.is_queued == after.is_queued:
            return
        self.touched[workflow_id] = None
        if after.is_queued or (before.slot is not None and after.slot is None):
            self.moved = True
        if before.slot is not None and after.slot != before.slot and not denied:
            release = _release(before, before.slot, events)
            self._releases.setdefault((before.slot.agent_id, workflow_id), []).append(release)
        if after.slot is not None and after.slot != before.slot:
            request = _request(after, after.slot, self._bound_of(after))
            self._requests.setdefault((after.slot.agent_id, workflow_id), []).append(request)

    def deadline_of(self, workflow_id: str) -> int:
        """The deadline that a workflow has by now; 0 if there is no such workflow."""
        workflow = self.unit.load(WORKFLOW, workflow_id)
        return workflow.deadline_at if workflow is not None else 0

    def _bound_of(self, ticket: Ticket) -> int:
        """Until when an attempt may begin."""
        return (
            ticket.deadline_at
            if ticket.compensates
            else self.workflow(ticket.created.workflow_id).deadline_at
        )

    def send(self) -> None:
        """Tells the registry which slots are wanted, and which no more."""
        for (agent_id, workflow_id), releases in self._releases.items():
            for some in _chunks(releases):
                self._tell(agent_id, workflow_id, ReleaseSlots(agent_id, workflow_id, tuple(some)))
        for (agent_id, workflow_id), requests in self._requests.items():
            for wanted in _chunks(requests):
                self._tell(agent_id, workflow_id, ReserveSlots(agent_id, workflow_id, tuple(wanted)))

    def _tell(self, agent_id: str, workflow_id: str, message: ReleaseSlots | ReserveSlots) -> None:
        self.unit.turn_to(workflow_id)
        self.unit.send(COMMANDS, type(message).__name__, agent_id, msgspec.to_builtins(message))


def _chunks(items: list[T]) -> list[list[T]]:
    return [items[at : at + MESSAGE_SLOTS_MAX] for at in range(0, len(items), MESSAGE_SLOTS_MAX)]


def _release(before: Ticket, slot: Slot, events: Sequence[Event]) -> SlotRelease:
    """How the attempt ended that had the slot, or that it never began. What people or compensations did is no
    agent's merit.
    """
    outcome = SlotOutcome.WITHDRAWN if before.status is Status.READY else SlotOutcome.CANCELLED
    domain = ""
    for event in events:
        own = before.status is not Status.READY and not getattr(event, "completed_by", "")
        if own and type(event) in _OUTCOMES:
            outcome, domain = _OUTCOMES[type(event)], before.created.task.task_type.value
    return SlotRelease(before.created.ticket_id, slot.attempt, outcome, domain, slot.allocation)


def _request(ticket: Ticket, slot: Slot, deadline_at: int) -> SlotRequest:
    """The lease ends when the attempt must have ended if it begins at the last moment: whoever keeps a slot longer has
    lost its ticket.
    """
    after_deadline_ms = START_WITHIN_MS + ticket.created.task.timeout_ms + 2 * GRACE_MS
    lease_ends_at = deadline_at + after_deadline_ms * 1_000
    return SlotRequest(ticket.created.ticket_id, slot.attempt, ticket.place, lease_ends_at, slot.allocation)

"""Attempts at agents that are not heard any more: somebody should know, long before they have timed out.

They are not given to anybody else sooner for that: the agent may be at work, and only be cut off. When their lease and
a grace are over, or nobody began them in time, their own timers do that.
"""

from typing import Final

from neural_hive.aggregates.aggregate import Rejected
from neural_hive.aggregates.incident import TICKETS_MAX, Kind
from neural_hive.aggregates.ticket import TICKET, Slot, Status
from neural_hive.aggregates.workflow import WORKFLOW
from neural_hive.streams.orchestrator.course import tell
from neural_hive.streams.orchestrator.flow import Flow
from neural_hive.streams.registry.messages import AttemptsLost, AttemptsSettled

_UNDER_WAY: Final = (Status.ASSIGNED, Status.RUNNING)


def note_lost(flow: Flow, lost: AttemptsLost) -> None:
    """Opens an incident, if any of the attempts has not ended meanwhile."""
    under_way = []
    for ref in lost.slots:
        flow.check(ref.ticket_id, lost.workflow_id)
        ticket = flow.unit.load(TICKET, ref.ticket_id)
        slot = Slot(lost.agent_id, ref.attempt, ref.allocation)
        if ticket is not None and ticket.status in _UNDER_WAY and ticket.slot == slot:
            under_way.append(ref.ticket_id)
    if under_way:
        summary = (
            f"{len(under_way):,} tickets are at {lost.agent_id}, and {lost.reason}: they may be worked on or not, and"
            " each is given to somebody else only when its time and a grace are over"
        )
        workflow = flow.workflow(lost.workflow_id)
        tell(flow, workflow, Kind.AGENT_LOST, summary, tuple(under_way[:TICKETS_MAX]), about=lost.agent_id)


def note_settled(flow: Flow, settled: AttemptsSettled) -> None:
    """Resolves the incident, if there is one. Raises Rejected: there is no such workflow."""
    if flow.unit.load(WORKFLOW, settled.workflow_id) is None:
        raise Rejected(f"there is no workflow {settled.workflow_id}")
    flow.resolve(settled.workflow_id, Kind.AGENT_LOST, settled.reason, about=settled.agent_id)

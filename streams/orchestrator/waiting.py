"""What happens while tickets of a workflow find no agent, or wait long for the slot of one.

It is looked at again after a while, and after a limit (`Limits`) there is an incident: no agent could do them, or some
could, and none takes any. While all that waits is held back by freezes, no agent is to blame.
"""

from typing import Final

import msgspec

from neural_hive.aggregates import tally
from neural_hive.aggregates.incident import TICKETS_MAX, Kind
from neural_hive.aggregates.ticket import Ticket, requirement
from neural_hive.aggregates.workflow import AwaitAgents, EndWait, Workflow
from neural_hive.streams.orchestrator.course import tell
from neural_hive.streams.orchestrator.flow import Flow
from neural_hive.streams.orchestrator.freezes import frozen_by
from neural_hive.streams.orchestrator.market import (
    ALLOCATED_MAX,
    CONSIDERED_MAX,
    Market,
    first_of_each,
    too_old,
)

BUSY: Final = "all agents that could do its tickets are busy"
ASKED: Final = "the agents that were chosen for its tickets have no slot for them yet"


def note_waiting(flow: Flow, workflow_id: str) -> None:
    """Notes that a workflow waits for agents, or does so no more.

    It begins to wait when a ticket finds no agent, or has waited long for the slot of one; it ends when none waits.
    """
    workflow, count = flow.workflow(workflow_id), flow.unit.count
    queued = count(tally.queued(workflow_id))
    if not (queued or workflow.look_again_at or workflow_id in flow.impatient):
        return
    waiting, given = queued + count(tally.asking(workflow_id)), count(tally.given_out(workflow_id))
    if workflow_id == flow.cut_short:
        reason = f"{ALLOCATED_MAX} tickets were given out at once, and its next ones follow"
        flow.on_workflow(workflow_id, AwaitAgents(waiting, reason, False, flow.now, given, is_cut_short=True))
    elif not waiting and workflow.look_again_at:
        flow.on_workflow(workflow_id, EndWait(flow.now))
    elif waiting and _may_look(flow, workflow):
        lack = _shortage(flow, workflow_id)
        reason = "; ".join(filter(None, (lack.reason, lack.frozen)))
        why = reason, bool(lack.stranded)
        flow.on_workflow(workflow_id, AwaitAgents(waiting, *why, flow.now, given, is_frozen=not lack.reason))
        _tell_of_shortage(flow, workflow_id, lack)


def _may_look(flow: Flow, workflow: Workflow) -> bool:
    """Not if it was looked at a moment ago, nor if its timer is due and agents were not chosen now."""
    return not workflow.look_again_at or (flow.moved and workflow.look_again_at <= flow.now)


class Shortage(msgspec.Struct, frozen=True):
    """Why tickets of a workflow wait."""

    reason: str  # empty: those that wait are frozen
    stranded: tuple[str, ...]  # the first that no agent can do
    able: tuple[str, ...] = ()  # agents that can do the first of the others
    waiting: tuple[str, ...] = ()  # the first of these
    blocked: str = ""  # why none of these may be given out, whatever agents there are
    frozen: str = ""  # why some are held


def _shortage(flow: Flow, workflow_id: str) -> Shortage:
    queue, market = tally.ready_queue(workflow_id), Market(flow)
    busy = Shortage(BUSY if flow.unit.count(tally.queued(workflow_id)) else ASKED, ())
    lack: Shortage | None = None
    frozen, others = "", False
    for ticket in first_of_each(flow, queue):
        if ticket.held:
            frozen = frozen or frozen_by(ticket.held, ticket.held_count)
            continue
        others = True
        able = market.able(ticket)
        if able and (why := too_old(flow, ticket)):
            busy = msgspec.structs.replace(busy, reason=why, blocked=why)
        if able and not busy.able:
            names = tuple(found.agent_id for found in able)
            busy = msgspec.structs.replace(busy, able=names, waiting=_alike(flow, queue, ticket))
        if not able and lack is None:
            lack = Shortage(_lacking(ticket), _alike(flow, queue, ticket))
        if lack and busy.able:
            break
    if lack is None:
        reason = busy.reason if others or not frozen else ""
        return msgspec.structs.replace(busy, reason=reason, frozen=frozen)
    rest = {"waiting": busy.waiting, "blocked": busy.blocked, "frozen": frozen}
    return msgspec.structs.replace(lack, able=busy.able, **rest)


def _alike(flow: Flow, queue: str, ticket: Ticket) -> tuple[str, ...]:
    """The first tickets in a queue that the same agents can do."""
    same = flow.unit.first(queue, TICKETS_MAX, requirement(ticket))
    return tuple(t for t in same if requirement(flow.ticket(t)) == requirement(ticket))


def _lacking(ticket: Ticket) -> str:
    task = ticket.created.task
    needed = ", ".join(sorted(task.required_capabilities))
    with_these = f" with the capabilities {needed}" if needed else ""
    return f"no registered, healthy agent does {task.task_type} tasks{with_these}"


def _tell_of_shortage(flow: Flow, workflow_id: str, lack: Shortage) -> None:
    """Opens the incidents that are due."""
    workflow, limits = flow.workflow(workflow_id), flow.limits
    if workflow.stranded_since and flow.now - workflow.stranded_since >= limits.allocation_s * 1_000_000:
        tell(flow, workflow, Kind.NO_AGENT, lack.reason, lack.stranded)
    idle_us = flow.now - workflow.idle_since
    if lack.able and workflow.idle_since and idle_us >= limits.busy_s * 1_000_000:
        names = ", ".join(lack.able[:CONSIDERED_MAX]) + (", …" if len(lack.able) > CONSIDERED_MAX else "")
        summary = (
            f"for {idle_us // 1_000_000} s no agent has taken a ticket, though there are some that could do them: "
            f"{names}. {lack.blocked or 'They are full, silent, or turn tickets away'}"
        )
        tell(flow, workflow, Kind.AGENTS_BUSY, summary, lack.waiting)

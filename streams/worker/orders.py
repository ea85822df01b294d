"""What a worker makes of a dispatch: an order for its executor, or the reason why it cannot even be tried here."""

import time
from collections.abc import Callable
from typing import Final

import msgspec

from neural_hive.connectors.executors.choice import Refused, choose
from neural_hive.connectors.process_executor import Lease, Order, Report
from neural_hive.streams.work_ledger import Dispatch

COMMAND: Final = "process"  # the executor of tickets that name their command


class Prepared(msgspec.Struct, frozen=True):
    """A ticket that can be run, and by which executor."""

    executor: str
    order: Order


Prepare = Callable[[Dispatch, str, frozenset[str]], Prepared | Report]
"""What is to be made of a dispatch to an agent that takes these task types."""


def prepare(dispatch: Dispatch, agent_id: str, task_types: frozenset[str]) -> Prepared | Report:
    """The order for a local process; or the report that refuses it, with the reason."""
    if refused := refusal(dispatch, agent_id, task_types):
        return refused
    if dispatch.command:
        return Prepared(COMMAND, _order(dispatch, dispatch.command))
    try:
        program = choose(dispatch.task_type, dispatch.parameters)
    except Refused as unfit:
        return failed(str(unfit))
    return Prepared(program.name, _order(dispatch, program.command))


def refusal(dispatch: Dispatch, agent_id: str, task_types: frozenset[str]) -> Report | None:
    """Why no executor of this agent may begin the attempt; None if one may."""
    if dispatch.task_type not in task_types:
        can = ", ".join(sorted(task_types))
        reason = f"agent {agent_id} cannot run {dispatch.task_type} tickets; it can run: {can}"
        return failed(reason)
    now = time.time_ns() // 1_000
    if 0 < dispatch.deadline_at <= now:
        return Report("TIMED_OUT", now, now, error="the deadline had passed before the ticket could start")
    if dispatch.begun_at and time_limit_s(dispatch) <= 0:
        reason = f"its worker ended while it ran, and was back when its {_limit_s(dispatch):g} s were over"
        return Report("TIMED_OUT", min(dispatch.begun_at, now), now, error=reason)
    if not dispatch.is_announced and 0 < dispatch.start_by <= now:
        late_s = (now - dispatch.start_by) / 1_000_000
        return Report("TIMED_OUT", now, now, error=f"the ticket should have been begun {late_s:.1f} s ago")
    return None


def failed(reason: str) -> Report:
    """The report of an attempt that did not begin."""
    now = time.time_ns() // 1_000
    return Report("FAILED", now, now, error=reason)


def time_limit_s(dispatch: Dispatch) -> float:
    """How long the attempt may run from now: what is left of its task's time limit and until the deadline."""
    limit_s, now_s = _limit_s(dispatch), time.time()
    if dispatch.begun_at:
        limit_s = min(limit_s, dispatch.begun_at / 1_000_000 + limit_s - now_s)
    if dispatch.deadline_at > 0:
        limit_s = min(limit_s, dispatch.deadline_at / 1_000_000 - now_s)
    return limit_s


def _limit_s(dispatch: Dispatch) -> float:
    return dispatch.timeout_ms / 1_000


def lease_of(dispatch: Dispatch) -> Lease:
    """The lease of an attempt that is about to begin."""
    now_s = (
        time.monotonic()
    )  # before the other clock is read: being stopped in between only shortens the lease
    ends_at_s = now_s + time_limit_s(dispatch)
    if not dispatch.start_by or dispatch.is_announced:
        return Lease(ends_at_s, ends_at_s)
    return Lease(now_s + dispatch.start_by / 1_000_000 - time.time(), ends_at_s)


def _order(dispatch: Dispatch, command: tuple[str, ...]) -> Order:
    return Order(
        folder_name=f"{dispatch.ticket_id}.{dispatch.attempt}",
        command=command,
        environment={
            **dispatch.environment,
            "NEURAL_HIVE_WORKFLOW_ID": dispatch.workflow_id,
            "NEURAL_HIVE_TICKET_ID": dispatch.ticket_id,
            "NEURAL_HIVE_TASK_ID": dispatch.task_id,
            "NEURAL_HIVE_ATTEMPT": str(dispatch.attempt),
            "NEURAL_HIVE_FENCING_TOKEN": f"{dispatch.ticket_id}:{dispatch.attempt}",
        },
        parameters=dispatch.parameters,
        inputs=dispatch.inputs,
        time_limit_s=time_limit_s(dispatch),
        lease=lease_of(dispatch),
    )

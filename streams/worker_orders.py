"""What a worker makes of a dispatch: an order for its executor, or the reason why it cannot even be tried here."""

import time
from typing import Final

import msgspec

from neural_hive.connectors.executors.choice import Refused, choose
from neural_hive.connectors.process_executor import Order, Report
from neural_hive.streams.worker_ledger import Dispatch

COMMAND: Final = "process"  # the executor of tickets that name their command


class Prepared(msgspec.Struct, frozen=True):
    """A ticket that can be run, and by which executor."""

    executor: str
    order: Order


def prepare(dispatch: Dispatch, agent_id: str, task_types: frozenset[str]) -> Prepared | Report:
    """The order; or the report that refuses it, with the reason."""
    now = time.time_ns() // 1_000
    if dispatch.task_type not in task_types:
        can = ", ".join(sorted(task_types))
        reason = f"agent {agent_id} cannot run {dispatch.task_type} tickets; it can run: {can}"
        return Report("FAILED", now, now, error=reason)
    if 0 < dispatch.deadline_at <= now:
        return Report("TIMED_OUT", now, now, error="the deadline had passed before the ticket could start")
    if dispatch.command:
        return Prepared(COMMAND, _order(dispatch, dispatch.command))
    try:
        program = choose(dispatch.task_type, dispatch.parameters)
    except Refused as refusal:
        return Report("FAILED", now, now, error=str(refusal))
    return Prepared(program.name, _order(dispatch, program.command))


def _order(dispatch: Dispatch, command: tuple[str, ...]) -> Order:
    time_limit_s = dispatch.timeout_ms / 1_000
    if dispatch.deadline_at > 0:
        time_limit_s = min(time_limit_s, dispatch.deadline_at / 1_000_000 - time.time())
    return Order(
        folder_name=f"{dispatch.ticket_id}.{dispatch.attempt}",
        command=command,
        environment={
            **dispatch.environment,
            "NEURAL_HIVE_WORKFLOW_ID": dispatch.workflow_id,
            "NEURAL_HIVE_TICKET_ID": dispatch.ticket_id,
            "NEURAL_HIVE_TASK_ID": dispatch.task_id,
            "NEURAL_HIVE_ATTEMPT": str(dispatch.attempt),
        },
        parameters=dispatch.parameters,
        inputs=dispatch.inputs,
        time_limit_s=time_limit_s,
    )

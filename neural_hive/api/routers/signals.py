"""Signals to workflows: each becomes a command in the log, and is answered with what became of it."""

from typing import Annotated, Any, Final

from anyio.to_thread import run_sync
from fastapi import APIRouter, Path
from pydantic import Field
from starlette.responses import Response

from neural_hive.aggregates.decision import DEADLINE_MS_MAX
from neural_hive.aggregates.vocabulary import Priority
from neural_hive.api.answers import problem, told_written
from neural_hive.api.message_keys import MessageKey, MessageKeyOf
from neural_hive.api.pending import WaitS
from neural_hive.api.problems import not_found, unprocessable
from neural_hive.api.reading import ID_CHARS_MAX
from neural_hive.api.services import IdentityOf, Services, ServicesOf
from neural_hive.api.writing import Asked, Text, publish
from neural_hive.sdk.sender import COMMANDS
from neural_hive.streams.orchestrator.messages import (
    AdjustQos,
    CancelWorkflow,
    PauseWorkflow,
    ResumeWorkflow,
    RetryTicket,
)

router = APIRouter(tags=["signals"])
WorkflowId = Annotated[str, Path(max_length=ID_CHARS_MAX)]
ANSWERS: Final[dict[int | str, Any]] = told_written(200) | problem(404, "There is no such workflow")
_PATH: Final = "/api/v1/workflows/{workflow_id}/signals"
_KNOWN: Final = "SELECT count() FROM workflows_versions WHERE workflow_id = {id:String}"


class AskedRetry(Asked):
    """Which ticket shall be tried again."""

    ticket_id: Text


class AskedQos(Asked):
    """What shall be another: priority, deadline, or both."""

    priority: Priority = Priority.UNKNOWN
    deadline_ms: Annotated[
        int, Field(ge=0, le=DEADLINE_MS_MAX, description="From the plan's acceptance; 0: as it is")
    ] = 0


@router.post(f"{_PATH}/cancel", responses=ANSWERS)
async def cancel(
    workflow_id: WorkflowId,
    asked: Asked,
    who: IdentityOf,
    services: ServicesOf,
    key: MessageKeyOf,
    wait_s: WaitS,
) -> Response:
    """Stops a workflow: all that has not ended is cancelled."""
    return await _signal(services, CancelWorkflow(workflow_id, asked.reason, who.name), key, wait_s)


@router.post(f"{_PATH}/pause", responses=ANSWERS)
async def pause(
    workflow_id: WorkflowId,
    asked: Asked,
    who: IdentityOf,
    services: ServicesOf,
    key: MessageKeyOf,
    wait_s: WaitS,
) -> Response:
    """Gives nothing more of a workflow to agents; what runs goes on, and its results count."""
    return await _signal(services, PauseWorkflow(workflow_id, asked.reason, who.name), key, wait_s)


@router.post(f"{_PATH}/resume", responses=ANSWERS)
async def resume(
    workflow_id: WorkflowId,
    asked: Asked,
    who: IdentityOf,
    services: ServicesOf,
    key: MessageKeyOf,
    wait_s: WaitS,
) -> Response:
    """Lets a paused workflow go on."""
    return await _signal(services, ResumeWorkflow(workflow_id, asked.reason, who.name), key, wait_s)


@router.post(f"{_PATH}/retry", responses=ANSWERS)
async def retry(
    workflow_id: WorkflowId,
    asked: AskedRetry,
    who: IdentityOf,
    services: ServicesOf,
    key: MessageKeyOf,
    wait_s: WaitS,
) -> Response:
    """Tries a ticket of a workflow again, now."""
    wanted = RetryTicket(workflow_id, asked.ticket_id, asked.reason, who.name)
    return await _signal(services, wanted, key, wait_s)


@router.post(f"{_PATH}/adjust_qos", responses=ANSWERS)
async def adjust_qos(
    workflow_id: WorkflowId,
    asked: AskedQos,
    who: IdentityOf,
    services: ServicesOf,
    key: MessageKeyOf,
    wait_s: WaitS,
) -> Response:
    """Changes priority or deadline of a workflow."""
    if asked.priority is Priority.UNKNOWN and not asked.deadline_ms:
        raise unprocessable("nothing to adjust: give priority, deadline_ms, or both")
    wanted = AdjustQos(workflow_id, asked.reason, asked.priority, asked.deadline_ms, who.name)
    return await _signal(services, wanted, key, wait_s)


Signal = CancelWorkflow | PauseWorkflow | ResumeWorkflow | RetryTicket | AdjustQos


async def _signal(services: Services, wanted: Signal, key: MessageKey, wait_s: float) -> Response:
    await run_sync(check_workflow, services, wanted.workflow_id)
    where = f"/api/v1/workflows/{wanted.workflow_id}"
    return await publish(services, COMMANDS, wanted, key, wanted.workflow_id, wait_s, where)


def check_workflow(services: Services, workflow_id: str) -> None:
    """Raises Problem: the tables know no such workflow. A typing error must not become a dead letter."""
    [(count,)] = services.tables.rows(_KNOWN, {"id": workflow_id})
    if not count:
        raise not_found(f"workflow {workflow_id}")

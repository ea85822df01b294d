"""What a worker does over HTTP: it gets a ticket's token, and says with it that the work began, and how it ended."""

import time
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

import msgspec
import structlog
from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.responses import Response

from neural_hive.aggregates.vocabulary import Artifact, Outcome
from neural_hive.api import metrics
from neural_hive.api.answers import answered, told, told_written
from neural_hive.api.auth import Grant
from neural_hive.api.message_keys import MessageKey, MessageKeyOf
from neural_hive.api.pending import WaitS
from neural_hive.api.problems import Problem, unprocessable
from neural_hive.api.routers.tickets import NO_TICKET, TicketId, ticket_of
from neural_hive.api.services import IdentityOf, Services, ServicesOf
from neural_hive.api.ticket_tokens import ACTIONS
from neural_hive.api.writing import REASON_CHARS_MAX, Text, publish
from neural_hive.sdk.sender import COMMANDS
from neural_hive.streams.orchestrator.messages import CompleteTicket, ReportResult, ReportStart

router = APIRouter(tags=["tickets"])
RESULTS: Final = "execution.results"
_SET_HERE: Final = ("started_at", "completed_at")
_INT32: Final = 2**31
_ERROR_CHARS_MAX: Final = 16_384
log = structlog.get_logger()


class TicketToken(msgspec.Struct, frozen=True):
    """A token that opens one ticket: send it as `Authorization: Bearer`."""

    token: str
    ticket_id: str
    attempt: int
    agent_id: str
    actions: tuple[str, ...]
    expires_at: datetime


class MadeFile(BaseModel):
    """A file that the work has made, known by its content."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Text
    uri: Annotated[str, Field(max_length=2_048)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size_bytes: Annotated[int, Field(ge=0, lt=2**63)]


class AskedStatus(BaseModel):
    """With the ticket's token: how its attempt does. Without: COMPLETED, that the work was done elsewhere, and why."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: Literal["RUNNING", "COMPLETED", "FAILED", "TIMED_OUT", "CANCELLED"]
    started_at: AwareDatetime | None = None
    completed_at: AwareDatetime | None = None
    exit_code: Annotated[int, Field(ge=-_INT32, lt=_INT32)] | None = None
    outputs: dict[str, str] = {}
    artifacts: tuple[MadeFile, ...] = ()
    error: Annotated[str, Field(max_length=_ERROR_CHARS_MAX)] = ""
    reason: Annotated[str, Field(max_length=REASON_CHARS_MAX)] = ""


@router.get("/api/v1/tickets/{ticket_id}/token", responses=told(TicketToken) | NO_TICKET)
def get_token(
    request: Request,
    ticket_id: TicketId,
    services: ServicesOf,
    identity: IdentityOf,
    action: Annotated[list[Literal["read", "status"]] | None, Query(max_length=len(ACTIONS))] = None,
) -> Response:
    """A token for the attempt that the ticket's agent has in hand, to be used by who does the work."""
    found = ticket_of(services, ticket_id)
    if not found.attempt:
        raise Problem(
            409, "not-dispatched", f"the ticket is {found.status}: nobody has an attempt of it in hand"
        )
    actions = tuple(sorted(set(action or ACTIONS)))
    grant = Grant(ticket_id, found.workflow_id, found.attempt, found.agent_id, frozenset(actions))
    ttl_s = services.settings.api_ticket_token_s
    expires_at = datetime.fromtimestamp(int(time.time()) + ttl_s, UTC)
    token = services.tokens.make(grant, ttl_s, identity.name)
    metrics.token_made()
    log.info("ticket_token_made", ticket_id=ticket_id, attempt=found.attempt, made_for=identity.name)
    told = TicketToken(token, ticket_id, found.attempt, found.agent_id, actions, expires_at)
    answer = answered(request, told)
    answer.headers["Cache-Control"] = "no-store"
    return answer


@router.patch("/api/v1/tickets/{ticket_id}/status", responses=told_written(200) | NO_TICKET)
async def set_status(
    ticket_id: TicketId,
    asked: AskedStatus,
    services: ServicesOf,
    identity: IdentityOf,
    key: MessageKeyOf,
    wait_s: WaitS,
) -> Response:
    """Says how the work of a ticket does; 409 if that cannot be true of it."""
    if identity.grant is not None:
        return await _report(services, asked, identity.grant, key, wait_s)
    if asked.status != "COMPLETED" or not asked.reason:
        raise unprocessable(
            "without the ticket's token only COMPLETED can be said, with a `reason`: the work was done elsewhere. "
            "How an attempt does is said with its token; a workflow is stopped by its signal `cancel`"
        )
    found = await run_sync(ticket_of, services, ticket_id)
    done = CompleteTicket(found.workflow_id, ticket_id, asked.reason, asked.outputs, identity.name)
    where = f"/api/v1/tickets/{ticket_id}"
    return await publish(services, COMMANDS, done, key, found.workflow_id, wait_s, where)


async def _report(
    services: Services, asked: AskedStatus, grant: Grant, key: MessageKey, wait_s: float
) -> Response:
    now = time.time_ns() // 1_000
    begun = asked.started_at
    if begun is None and asked.status != "RUNNING":  # said before, by the same attempt
        begun = (await run_sync(ticket_of, services, grant.ticket_id)).started_at
    started_at = _micros(begun, now)
    about = (grant.workflow_id, grant.ticket_id, grant.attempt, grant.agent_id)
    report: ReportStart | ReportResult = ReportStart(*about, started_at)
    if asked.status != "RUNNING":
        made = tuple(Artifact(**file.model_dump()) for file in asked.artifacts)
        ended = (Outcome(asked.status), started_at, _micros(asked.completed_at, now))
        report = ReportResult(
            *about, *ended, asked.exit_code, asked.outputs, made, asked.error or asked.reason
        )
    where = f"/api/v1/tickets/{grant.ticket_id}"
    return await publish(services, RESULTS, report, key, grant.workflow_id, wait_s, where, loose=_SET_HERE)


def _micros(at: datetime | None, now: int) -> int:
    return now if at is None else int(at.timestamp() * 1_000_000)

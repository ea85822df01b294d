"""Exceptions from freezes: somebody asks for one, and another person, who may approve, answers."""

from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec
from anyio.to_thread import run_sync
from fastapi import APIRouter, Path, Query, Request
from pydantic import Field
from starlette.responses import Response

from neural_hive.aggregates.freeze_exception import DURATION_MS_MIN, NAMED_DURATION_MS_MAX, Scope
from neural_hive.api.answers import answered, problem, told, told_written
from neural_hive.api.problems import not_found
from neural_hive.api.reading import ID_CHARS_MAX, Cursor, Limit, reading_router
from neural_hive.api.services import Services, ServicesOf
from neural_hive.api.writing import Asked, Asker, AskerOf, Text
from neural_hive.listing.pages import one, page
from neural_hive.listing.things import FREEZE_EXCEPTIONS
from neural_hive.sdk.views import Page
from neural_hive.streams.sla.messages import (
    COMMANDS,
    ApproveFreezeException,
    RejectFreezeException,
    RequestFreezeException,
    RevokeFreezeException,
)

TAG: Final = "freeze exceptions"
router = reading_router(TAG)
writing = APIRouter(tags=[TAG])
_PATH: Final = "/api/v1/freeze-exceptions"
_ONE: Final = _PATH + "/{exception_id}"
_NONE: Final = problem(404, "There is no such exception")
_ANSWERS: Final = told_written(200) | _NONE
_SUBJECTS: Final = {
    "TICKET": "SELECT count() FROM tickets_versions WHERE ticket_id = {id:String}",
    "WORKFLOW": "SELECT count() FROM workflows_versions WHERE workflow_id = {id:String}",
}
ExceptionId = Annotated[str, Path(max_length=ID_CHARS_MAX)]
Filter = Annotated[str, Query(max_length=ID_CHARS_MAX)]


class FreezeExceptionInfo(msgspec.Struct, frozen=True):
    """What may be deployed although it is frozen, or was asked for; by whom, and until when."""

    exception_id: str
    status: str = ""  # REQUESTED, APPROVED, REJECTED, REVOKED, EXPIRED
    scope: str = ""
    subject: str = ""
    duration_ms: int = 0
    requested_by: str = ""
    reason: str = ""
    requested_at: datetime | None = None
    answer_by: datetime | None = None
    approved_by: str = ""
    rejected_by: str = ""
    revoked_by: str = ""
    answer: str = ""
    approved_at: datetime | None = None
    expires_at: datetime | None = None
    ended_at: datetime | None = None


class AskedException(Asked):
    """What shall be deployed although it is frozen, and for how long once that is approved."""

    scope: Literal["TICKET", "WORKFLOW", "SERVICE", "NAMESPACE"]
    subject: Annotated[
        Text,
        Field(min_length=1, description="Id of the ticket or workflow, name of the service or namespace"),
    ]
    duration_ms: Annotated[
        int,
        Field(
            ge=DURATION_MS_MIN,
            le=NAMED_DURATION_MS_MAX,
            description="From the approval on; of a service or namespace at most 24 hours",
        ),
    ]


@router.get(_PATH, responses=told(Page[FreezeExceptionInfo]))
def list_freeze_exceptions(
    request: Request,
    services: ServicesOf,
    status: Annotated[
        str, Query(max_length=64, description="REQUESTED, APPROVED, REJECTED, REVOKED or EXPIRED")
    ] = "",
    scope: Filter = "",
    subject: Filter = "",
    limit: Limit = 100,
    cursor: Cursor = "",
) -> Response:
    """Exceptions, those that were asked for last before the others; all filters must hold."""
    filters = {"status": status, "scope": scope, "subject": subject}
    found = page(services.tables, FREEZE_EXCEPTIONS, FreezeExceptionInfo, filters, limit, cursor)
    return answered(request, found)


@router.get(_ONE, responses=told(FreezeExceptionInfo) | _NONE)
def get_freeze_exception(request: Request, exception_id: ExceptionId, services: ServicesOf) -> Response:
    """An exception as it stands."""
    found = one(services.tables, FREEZE_EXCEPTIONS, FreezeExceptionInfo, exception_id)
    if found is None:
        raise not_found(f"exception {exception_id}")
    return answered(request, found)


@writing.post(
    _PATH,
    responses=told_written(200, 201) | problem(404, "There is no such ticket or workflow"),
)
async def request_freeze_exception(asked: AskedException, asker: AskerOf) -> Response:
    """Asks whether something may be deployed although it is frozen."""
    await run_sync(_check_subject, asker.services, asked)
    exception_id = asker.key.derived("freeze exception")
    about = Scope(asked.scope), asked.subject, asked.duration_ms, asked.reason
    wanted = RequestFreezeException(exception_id, *about, asker.name)
    return await asker.publish(COMMANDS, wanted, exception_id, f"{_PATH}/{exception_id}", created=True)


@writing.post(f"{_ONE}/approve", responses=_ANSWERS)
async def approve_freeze_exception(exception_id: ExceptionId, asked: Asked, asker: AskerOf) -> Response:
    """Allows it. Who has asked for it cannot."""
    return await _answer(ApproveFreezeException, exception_id, asked, asker)


@writing.post(f"{_ONE}/reject", responses=_ANSWERS)
async def reject_freeze_exception(exception_id: ExceptionId, asked: Asked, asker: AskerOf) -> Response:
    """Does not allow it. Who has asked for it takes it back instead."""
    return await _answer(RejectFreezeException, exception_id, asked, asker)


@writing.post(f"{_ONE}/revoke", responses=_ANSWERS)
async def revoke_freeze_exception(exception_id: ExceptionId, asked: Asked, asker: AskerOf) -> Response:
    """Takes it back, approved or not: what is frozen is held again."""
    return await _answer(RevokeFreezeException, exception_id, asked, asker)


Answer = type[ApproveFreezeException] | type[RejectFreezeException] | type[RevokeFreezeException]


async def _answer(answer: Answer, exception_id: str, asked: Asked, asker: Asker) -> Response:
    """Whether there is such an exception the calculator says: the tables may not have it yet."""
    wanted = answer(exception_id, asked.reason, asker.name)
    return await asker.publish(COMMANDS, wanted, exception_id, f"{_PATH}/{exception_id}")


def _check_subject(services: Services, asked: AskedException) -> None:
    """Raises Problem: the tables know no such ticket or workflow. Nobody knows all services and namespaces."""
    if sql := _SUBJECTS.get(asked.scope):
        [(count,)] = services.tables.rows(sql, {"id": asked.subject})
        if not count:
            raise not_found(f"{asked.scope.lower()} {asked.subject}")

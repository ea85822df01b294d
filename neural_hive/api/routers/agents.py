"""Agents: who does the work, how each is doing, and who could do a piece of it."""

from typing import Annotated, Final

import msgspec
from fastapi import Path, Query, Request
from starlette.responses import Response

from neural_hive.aggregates.aggregate import Rejected
from neural_hive.aggregates.vocabulary import TaskType
from neural_hive.api.answers import answered, problem, told
from neural_hive.api.problems import not_found, unprocessable
from neural_hive.api.reading import ID_CHARS_MAX, Limit, reading_router
from neural_hive.api.services import ServicesOf
from neural_hive.discovery import Found, Wanted, discover
from neural_hive.sdk.views import AgentInfo, Page, rows_as, select

router = reading_router("agents")
_GONE: Final = "('REMOVED', 'DEREGISTERED')"
_CAPABILITIES_MAX: Final = 64


class Candidates(msgspec.Struct, frozen=True):
    """Agents that can do it, the best first."""

    items: tuple[Found, ...]


@router.get("/api/v1/agents", responses=told(Page[AgentInfo]))
def list_agents(
    request: Request,
    services: ServicesOf,
    status: Annotated[str, Query(max_length=64)] = "",
    gone: Annotated[bool, Query(description="Those too that have left or were removed")] = False,
    limit: Limit = 100,
    cursor: Annotated[str, Query(max_length=ID_CHARS_MAX, description="`next` of the page before")] = "",
) -> Response:
    """Agents by their ids."""
    conditions = ["agent_id > {cursor:String}"]
    conditions += ["status = {status:String}"] if status else []
    conditions += [] if gone or status else [f"status NOT IN {_GONE}"]
    rest = f"WHERE {' AND '.join(conditions)} ORDER BY agent_id LIMIT {{count:UInt32}}"
    params = {"cursor": cursor, "status": status, "count": limit + 1}
    found = rows_as(AgentInfo, services.tables.rows(select(AgentInfo, "agents", rest), params))
    following = found[limit - 1].agent_id if len(found) > limit else ""
    return answered(request, Page(found[:limit], following))


@router.get("/api/v1/agents/candidates", responses=told(Candidates))
def list_candidates(
    request: Request,
    services: ServicesOf,
    capability: Annotated[list[str] | None, Query(max_length=_CAPABILITIES_MAX)] = None,
    task_type: Annotated[TaskType | None, Query()] = None,
    domain: Annotated[str, Query(max_length=128, description="Of the trails that count")] = "",
    count: Annotated[int, Query(ge=1, le=1_000)] = 10,
) -> Response:
    """The healthy agents that have all capabilities, the best first, with their scores and loads."""
    wanted = Wanted(tuple(capability or ()), task_type, domain, count)
    try:
        found = discover(services.tables, wanted)
    except Rejected as error:
        raise unprocessable(str(error)) from None
    return answered(request, Candidates(found))


@router.get("/api/v1/agents/{agent_id}", responses=told(AgentInfo) | problem(404, "There is no such agent"))
def get_agent(
    request: Request, agent_id: Annotated[str, Path(max_length=ID_CHARS_MAX)], services: ServicesOf
) -> Response:
    """An agent as it stands; also one that has left."""
    rest = "WHERE agent_id = {id:String} LIMIT 1"
    rows = services.tables.rows(select(AgentInfo, "agents", rest), {"id": agent_id})
    if not rows:
        raise not_found(f"agent {agent_id}")
    return answered(request, rows_as(AgentInfo, rows)[0])

"""Freeze policies: at how little of a budget nothing more is deployed, and for whom."""

from typing import Annotated, Any, Final

from anyio.to_thread import run_sync
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from neural_hive.aggregates.freeze import BY_HAND, freeze_id_of
from neural_hive.aggregates.freeze_policy import Scope
from neural_hive.api import preconditions
from neural_hive.api.answers import answered, problem, told, told_written
from neural_hive.api.preconditions import PreconditionOf
from neural_hive.api.problems import not_found
from neural_hive.api.reading import ID_CHARS_MAX, Cursor, Limit, reading_router
from neural_hive.api.routers.slos import Enabled, ReasonOf
from neural_hive.api.services import Services, ServicesOf
from neural_hive.api.slo_bodies import ChangedPolicy, NewPolicy, policy_of
from neural_hive.api.writing import Asked, AskerOf
from neural_hive.listing.pages import one, page
from neural_hive.listing.sla_things import POLICIES
from neural_hive.sdk.views import Page
from neural_hive.slo_views import PolicyInfo
from neural_hive.streams.sla.messages import (
    COMMANDS,
    DefineFreezePolicy,
    FreezeByHand,
    RemoveFreezePolicy,
)

router = reading_router("policies")
writing = APIRouter(tags=["policies"])
PolicyId = Annotated[str, Path(max_length=ID_CHARS_MAX)]
_NONE: Final[dict[int | str, Any]] = problem(404, "There is no such policy")
_UNFIT: Final = problem(422, "The SLA calculator would refuse it; `errors` says all that is wrong")


@router.get("/api/v1/policies", responses=told(Page[PolicyInfo]))
def list_policies(
    request: Request,
    services: ServicesOf,
    enabled: Enabled = "",
    scope: Annotated[Scope | None, Query()] = None,
    removed: Annotated[bool, Query(description="Those too that were removed")] = False,
    limit: Limit = 100,
    cursor: Cursor = "",
) -> Response:
    """Policies, those that were first defined last before the others; all filters must hold."""
    filters = {"enabled": enabled, "scope": scope or "", "status": "" if removed else "DEFINED"}
    return answered(request, page(services.tables, POLICIES, PolicyInfo, filters, limit, cursor))


@router.get("/api/v1/policies/{policy_id}", responses=told(PolicyInfo) | _NONE)
def get_policy(request: Request, policy_id: PolicyId, services: ServicesOf) -> Response:
    """A policy as it stands; also one that was removed."""
    return answered(request, _policy_of(services, policy_id))


@writing.post("/api/v1/policies", responses=told_written(200, 201) | _UNFIT)
async def create_policy(asked: NewPolicy, asker: AskerOf) -> Response:
    """Freezes by a policy from now on. 409: there is a policy of this id already."""
    policy = policy_of(asked.policy_id, asked)
    wanted = DefineFreezePolicy(asked.policy_id, policy, 0, asker.name, asked.reason)
    return await asker.publish(COMMANDS, wanted, asked.policy_id, _path_of(asked.policy_id), created=True)


@writing.put(
    "/api/v1/policies/{policy_id}", responses=told_written(200) | _NONE | _UNFIT | preconditions.ANSWERS
)
async def change_policy(
    policy_id: PolicyId, asked: ChangedPolicy, precondition: PreconditionOf, asker: AskerOf
) -> Response:
    """Freezes by other terms, as a new revision; one that was removed freezes again. 409: it was revised since."""
    policy = policy_of(policy_id, asked)
    found = await run_sync(_policy_of, asker.services, policy_id)

    def revised(revision: int) -> DefineFreezePolicy:
        return DefineFreezePolicy(policy_id, policy, revision, asker.name, asked.reason)

    place = policy_id, _path_of(policy_id)
    return await asker.revise(COMMANDS, revised, precondition, found, asked.revision, *place)


@writing.delete("/api/v1/policies/{policy_id}", responses=told_written(200) | _NONE)
async def remove_policy(policy_id: PolicyId, reason: ReasonOf, asker: AskerOf) -> Response:
    """Freezes nothing by a policy any more; what it has frozen ends when its budget is looked at next."""
    await run_sync(_policy_of, asker.services, policy_id)
    wanted = RemoveFreezePolicy(policy_id, asker.name, reason)
    return await asker.publish(COMMANDS, wanted, policy_id, _path_of(policy_id))


@writing.post("/api/v1/policies/{policy_id}/freeze", responses=told_written(200) | _NONE)
async def freeze(policy_id: PolicyId, asked: Asked, asker: AskerOf) -> Response:
    """Freezes by hand what a policy concerns, until a person ends it."""
    await run_sync(_policy_of, asker.services, policy_id)
    wanted = FreezeByHand(policy_id, asked.reason, asker.name)
    where = f"/api/v1/policies/freezes/{freeze_id_of(policy_id, BY_HAND)}"
    return await asker.publish(COMMANDS, wanted, policy_id, where)


def _path_of(policy_id: str) -> str:
    return f"/api/v1/policies/{policy_id}"


def _policy_of(services: Services, policy_id: str) -> PolicyInfo:
    found = one(services.tables, POLICIES, PolicyInfo, policy_id)
    if found is None:
        raise not_found(f"policy {policy_id}")
    return found

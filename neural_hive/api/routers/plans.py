"""Plans: published, or only looked at."""

from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Body, Request
from starlette.responses import Response

from neural_hive.aggregates import graph
from neural_hive.aggregates.decision import DecisionConsolidated, dependency_graph
from neural_hive.api.answers import answered, problem, told, told_written
from neural_hive.api.auth import Identity
from neural_hive.api.message_keys import MessageKey, MessageKeyOf
from neural_hive.api.pending import WaitS
from neural_hive.api.problems import Problem, unprocessable
from neural_hive.api.services import IdentityOf, ServicesOf
from neural_hive.api.writing import publish
from neural_hive.plans import Plan, plan_from
from neural_hive.sdk.sender import PLANS

router = APIRouter(tags=["plans"])
_EXAMPLE: Final = {
    "plan_id": "hello",
    "tasks": [{"task_id": "greet", "task_type": "EXECUTE", "command": ["echo", "hello"]}],
}
PlanBody = Annotated[Plan, Body(openapi_examples={"hello": {"value": _EXAMPLE}})]
_UNFIT: Final = problem(422, "The orchestrator would refuse the plan; `errors` says all that is wrong")


class PlanCheck(msgspec.Struct, frozen=True):
    """A plan that can be carried out, and in which order its tasks could run one after the other."""

    plan_id: str
    task_count: int
    order: tuple[str, ...]


@router.post("/api/v1/plans", responses=told_written(200, 201) | _UNFIT)
async def publish_plan(
    plan: PlanBody, services: ServicesOf, identity: IdentityOf, key: MessageKeyOf, wait_s: WaitS
) -> Response:
    """Publishes a plan: 201 it was accepted and has begun, or waits for its turn."""
    decision = decision_of(plan, identity, key)
    where = f"/api/v1/workflows/{decision.decision_id}"
    return await publish(services, PLANS, decision, key, decision.decision_id, wait_s, where, created=True)


@router.post("/api/v1/plans/validate", responses=told(PlanCheck) | _UNFIT)
def validate_plan(request: Request, plan: PlanBody, identity: IdentityOf, key: MessageKeyOf) -> Response:
    """Says whether a plan would be accepted; publishes nothing."""
    decision = decision_of(plan, identity, key)
    order = tuple(graph.topological_order(dependency_graph(decision.tasks)))
    return answered(request, PlanCheck(decision.plan_id, len(decision.tasks), order))


def decision_of(plan: Plan, identity: Identity, key: MessageKey) -> DecisionConsolidated:
    """The decision that a plan is, in the name of who publishes it. Raises BadPlan, Problem."""
    given = plan.model_dump()
    if plan.requested_by not in ("", identity.name):
        raise Problem(
            403, "forbidden", f"requested_by must be {identity.name!r}, who publishes it, or be left out"
        )
    if "decision_id" not in plan.model_fields_set:
        given["decision_id"] = key.derived("decision")
    decision = plan_from(given | {"requested_by": identity.name})
    if not decision.tasks:
        raise unprocessable("a plan must have a task")
    return decision

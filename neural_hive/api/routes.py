"""All routes of the API, in the order of the reference."""

from typing import Final

from starlette.routing import BaseRoute

from neural_hive.api.routers import (
    agents,
    alertmanager,
    budget_adjustments,
    budgets,
    dead_letters,
    flow_c,
    freezes,
    incidents,
    outcomes,
    plans,
    policies,
    proofs,
    query,
    redrives,
    replay,
    signals,
    slo_import,
    slos,
    system,
    ticket_work,
    tickets,
    violations,
    workflows,
)

_ROUTERS: Final = (
    system.router,
    plans.router,
    workflows.router,
    signals.router,
    tickets.router,
    tickets.writing,
    ticket_work.router,
    agents.router,
    incidents.router,
    dead_letters.router,
    redrives.router,
    flow_c.router,
    slos.router,
    slos.writing,
    slo_import.router,
    budgets.router,
    budgets.writing,
    budget_adjustments.router,
    violations.router,
    freezes.router,
    freezes.writing,
    policies.router,
    policies.writing,
    alertmanager.router,
    replay.router,
    proofs.router,
    query.router,
    outcomes.router,
)
ROUTES: Final[tuple[BaseRoute, ...]] = tuple(route for router in _ROUTERS for route in router.routes)

"""All routes of the API, in the order of the reference."""

from typing import Final

from starlette.routing import BaseRoute

from neural_hive.api.routers import (
    agents,
    dead_letters,
    flow_c,
    incidents,
    outcomes,
    plans,
    proofs,
    query,
    redrives,
    replay,
    signals,
    system,
    ticket_work,
    tickets,
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
    replay.router,
    proofs.router,
    query.router,
    outcomes.router,
)
ROUTES: Final[tuple[BaseRoute, ...]] = tuple(route for router in _ROUTERS for route in router.routes)

"""The app: routes, and the layers around them."""

from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import version

from fastapi import APIRouter, FastAPI
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Match, Mount, Route
from starlette.types import Receive, Scope, Send

from neural_hive.api import errors, permissions
from neural_hive.api.edge import REQUEST_TIMEOUT_S, Edge
from neural_hive.api.gate import Gate
from neural_hive.api.openapi import DESCRIPTION, TITLE, describe
from neural_hive.api.reference import page
from neural_hive.api.routes import ROUTES
from neural_hive.api.services import Services
from neural_hive.api.spans import Spans


def create_app(services: Services, timeout_s: float = REQUEST_TIMEOUT_S) -> FastAPI:
    """The API over these services. Other apps may be mounted on it; each has a gate of its own.

    Raises UnstatedPermission: who may use one of its routes is not stated.
    """
    app = FastAPI(
        title=TITLE,
        description=DESCRIPTION,
        version=version("neural-hive"),
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    app.state.services = services
    app.router.routes.extend((*ROUTES, *_reference().routes))
    permissions.check(stated(app.router.routes))
    app.router.routes.append(Mount("/api", _Nowhere(app)))
    errors.install(app)
    app.add_middleware(
        Gate,
        api=app,
        authenticator=services.authenticator,
        callers=services.callers,
        strangers=services.strangers,
        refusals=services.refusals,
    )
    app.add_middleware(Edge, timeout_s=timeout_s)
    app.add_middleware(Spans)
    return app


def stated(routes: Iterable[object]) -> Iterator[tuple[str, str]]:
    """Each route's methods and path."""
    for route in routes:
        if isinstance(route, Route):
            yield from ((method, route.path) for method in sorted(route.methods or ()))


def _reference() -> APIRouter:
    router = APIRouter(include_in_schema=False)
    document = cache(lambda: describe(ROUTES))

    @router.get("/openapi.json")
    def openapi() -> JSONResponse:
        return JSONResponse(document())

    @router.get("/docs")
    def docs() -> HTMLResponse:
        return HTMLResponse(page(document()))

    return router


class _Nowhere:
    """Answers what no route does, so that what is mounted beside the API never sees a path of it."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = {**scope, "root_path": scope.get("app_root_path", "")}
        near = [
            r
            for r in self._app.router.routes
            if isinstance(r, Route) and r.matches(asked)[0] is Match.PARTIAL
        ]
        if near:
            allowed = sorted({method for route in near for method in route.methods or ()})
            raise HTTPException(405, headers={"Allow": ", ".join(allowed)})
        raise HTTPException(404)

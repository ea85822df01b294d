"""The gate before every route: who asks, may they, and not too often. Nothing of a body is read before."""

from typing import Final

from fastapi import FastAPI
from starlette.routing import Match, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from neural_hive.api import metrics
from neural_hive.api.auth import Authenticator, Identity, Unauthenticated, Unverifiable
from neural_hive.api.errors import request_id_of
from neural_hive.api.limits import RateLimit
from neural_hive.api.permissions import PERMISSIONS, Permission
from neural_hive.api.problems import Problem
from neural_hive.api.refused import RefusedCalls, refused

NOBODY: Final = Identity("")
_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="neural-hive"'}


class Gate:
    """Lets through who may, with `scope["state"]["identity"]`; all others get a problem, and are told of.

    What is mounted beside the API (the page) has a gate of its own.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        api: FastAPI,
        authenticator: Authenticator,
        callers: RateLimit,
        strangers: RateLimit,
        refusals: RefusedCalls,
    ) -> None:
        """`strangers`: how often who is not known may try, for each address."""
        self._app, self._api = app, api
        self._authenticator, self._refusals = authenticator, refusals
        self._callers, self._strangers = callers, strangers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        route, params = matched(self._api, scope)
        if route is None:
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["route"] = route.path
        identity, problem = await self._judged(scope, route, str(params.get("ticket_id", "")))
        if problem is None:
            state["identity"] = identity
            state["body_bytes_max"] = _permission(scope, route).body_bytes_max
            await self._app(scope, receive, send)
            return
        request_id, address = request_id_of(scope), _address(scope)
        metrics.refused(problem.status)
        call = refused(
            request_id, problem.status, problem.detail, scope["method"], route.path, identity.name, address
        )
        self._refusals.tell(call)
        await problem.response(request_id)(scope, receive, send)

    async def _judged(self, scope: Scope, route: Route, ticket_id: str) -> tuple[Identity, Problem | None]:
        permission = _permission(scope, route)
        if permission.is_open:
            return NOBODY, None
        try:
            identity = await self._authenticator.identity(_header(scope, b"authorization"))
        except Unauthenticated as error:
            stranger = f"address:{_address(scope)}"
            return NOBODY, _too_often(self._strangers, stranger) or Problem(
                401, "unauthenticated", str(error), headers=_CHALLENGE
            )
        except Unverifiable as error:
            return NOBODY, Problem(503, "unverifiable", str(error), headers={"Retry-After": "5"})
        if problem := _too_often(self._callers, identity.key):
            return identity, problem
        if not identity.may(permission, ticket_id):
            return identity, Problem(403, "forbidden", _why(permission, identity))
        return identity, None


def matched(app: FastAPI, scope: Scope) -> tuple[Route | None, dict[str, object]]:
    """The route that will answer, and its path's parameters; None if it is none of the API's."""
    for route in app.router.routes:
        match, child = route.matches(scope)
        if match is Match.FULL:
            found = None if isinstance(route, Mount) or not isinstance(route, Route) else route
            return found, dict(child.get("path_params", {}))
    return None, {}


def _permission(scope: Scope, route: Route) -> Permission:
    # A route without one lets nobody in; `create_app` refuses it before that.
    return PERMISSIONS.get((scope["method"], route.path), Permission())


def _too_often(limit: RateLimit, who: str) -> Problem | None:
    wait_s = limit.take(who)
    if not wait_s:
        return None
    retry = {"Retry-After": str(max(1, round(wait_s + 0.5)))}
    return Problem(429, "too-many-requests", f"too many requests: ask again in {wait_s:.1f} s", headers=retry)


def _why(permission: Permission, identity: Identity) -> str:
    if identity.grant is not None:
        return "the token of a ticket opens only what it was made for, of that ticket"
    wanted = " or ".join(sorted(permission.roles))
    return f"{identity.name} may not do this: it takes the role {wanted}"


def _header(scope: Scope, name: bytes) -> str:
    found = [value for key, value in scope["headers"] if key == name]
    return found[0].decode("latin-1") if len(found) == 1 else ""


def _address(scope: Scope) -> str:
    return str(scope["client"][0]) if scope.get("client") else ""

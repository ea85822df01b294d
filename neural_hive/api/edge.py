"""The outermost layer: a request's id, its size and time, and a problem document for whatever goes wrong."""

import asyncio
import time
import uuid
from typing import Final

import structlog
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from neural_hive.api import metrics
from neural_hive.api.errors import problem_of
from neural_hive.api.permissions import BODY_BYTES_MAX
from neural_hive.api.problems import Problem

REQUEST_TIMEOUT_S: Final = 60.0
_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-cache"),  # an answer may be kept, and must be asked for again (ETag)
)
log = structlog.get_logger()


class Edge:
    """Around all that answers HTTP."""

    def __init__(self, app: ASGIApp, timeout_s: float = REQUEST_TIMEOUT_S) -> None:
        self._app, self._timeout_s = app, timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = _Request(scope, receive, send)
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._app(scope, request.receive, request.send)
        except TimeoutError:
            await self._answer(request, Problem(504, "time-over", f"no answer within {self._timeout_s:g} s"))
        except Exception as error:
            problem = problem_of(error)
            if problem.status == 500:
                metrics.failed()
                log.exception("request_failed", request_id=request.id, route=request.route)
            await self._answer(request, problem)
        finally:
            metrics.answered(scope["method"], request.route, request.status, request.took_s)

    async def _answer(self, request: "_Request", problem: Problem) -> None:
        if request.status:  # it has begun: whoever reads it must see that it is not whole
            raise ConnectionAbortedError(problem.detail)
        await problem.response(request.id)(request.scope, request.receive, request.send)


class _Request:
    """One request on its way through."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope, self.status, self.id = scope, 0, uuid.uuid4().hex
        self._receive, self._send = receive, send
        self._started_s, self._body_bytes = time.monotonic(), 0
        scope.setdefault("state", {})["request_id"] = self.id

    @property
    def route(self) -> str:
        return str(self.scope["state"].get("route", ""))

    @property
    def took_s(self) -> float:
        return time.monotonic() - self._started_s

    async def receive(self) -> Message:
        limit = self.scope["state"].get("body_bytes_max", BODY_BYTES_MAX)
        if not self._body_bytes and self._told_bytes() > limit:
            raise _too_large(limit)
        message = await self._receive()
        if message["type"] == "http.request":
            self._body_bytes += len(message.get("body", b""))
            if self._body_bytes > limit:
                raise _too_large(limit)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            given = {name for name, _ in message["headers"]}
            own = (b"x-request-id", self.id.encode())
            message["headers"] = [
                *message["headers"],
                *(header for header in (own, *_HEADERS) if header[0] not in given),
            ]
        await self._send(message)

    def _told_bytes(self) -> int:
        told = dict(self.scope["headers"]).get(b"content-length", b"0")
        return int(told) if told.isdigit() else 0


def _too_large(limit: int) -> HTTPException:
    return HTTPException(413, f"the body is too large: this path takes {limit:,} bytes")

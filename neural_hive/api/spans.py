"""A span for each request, as OpenTelemetry wants them of HTTP servers; a message that it publishes is of its trace.

Not OpenTelemetry's own instrumentation for ASGI: that makes its spans with the SDK's tracer, which chooses ids and what
is kept by itself, and ours stand in the log. Left out are the path, which holds ids, the query, the caller's address
and name, and all headers: a span holds the route's template.
"""

import time
from collections.abc import Iterable
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from neural_hive.api.metrics import METHODS
from neural_hive.connectors.tracing import (
    SERVER,
    Span,
    answering,
    new_span_id,
    new_trace_id,
    parsed,
    root_of,
    tracer,
)

_HEADER: Final = b"traceparent"


class Spans:
    """The outermost layer: what the layers below answer is told too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        trace_id, parent_id = _given(scope["headers"])
        found = tracer()
        if found is None and not trace_id:  # then messages have traces of their own
            await self._app(scope, receive, send)
            return
        # A trace that begins here begins with this span: what timers cause stands below the beginning.
        trace_id = trace_id or new_trace_id()
        span_id = new_span_id() if parent_id else root_of(trace_id) or new_span_id()
        request = _Request(scope, send)
        try:
            with answering(trace_id, span_id):
                await self._app(scope, receive, request.send)
        except BaseException as error:
            request.error = type(error).__name__
            raise
        finally:
            if found is not None and found.keeps(trace_id):
                found.put([request.span(trace_id, span_id, parent_id)])


class _Request:
    """What is told of a request."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.error = ""
        self._scope, self._send = scope, send
        self._state: dict[str, Any] = scope.setdefault("state", {})  # where the gate notes the route
        self._status, self._started_at = 0, time.time_ns()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
        await self._send(message)

    def span(self, trace_id: str, span_id: str, parent_id: str) -> Span:
        method = self._scope["method"] if self._scope["method"] in METHODS else "_OTHER"
        route = str(self._state.get("route", ""))
        error = self.error or (str(self._status) if self._status >= 500 else "")
        told = {
            "http.request.method": method,
            "http.route": route,
            "http.response.status_code": self._status,
            "url.scheme": self._scope.get("scheme", ""),
            "network.protocol.version": self._scope.get("http_version", ""),
            "error.type": error,
            "neural_hive.request_id": self._state.get("request_id", ""),  # as the answer and the log have it
        }
        return Span(
            f"{'HTTP' if method == '_OTHER' else method} {route}".rstrip(),
            SERVER,
            trace_id,
            span_id,
            parent_id,
            self._started_at,
            time.time_ns(),
            {name: value for name, value in told.items() if value},
            error=error,
        )


def _given(headers: Iterable[tuple[bytes, bytes]]) -> tuple[str, str]:
    """Trace and span of who asks; empty if there are none, or more than one."""
    found = [value for name, value in headers if name == _HEADER]
    return parsed([(_HEADER.decode(), found[0])]) if len(found) == 1 else ("", "")

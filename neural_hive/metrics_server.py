"""What a process tells of itself over HTTP: `/metrics` for Prometheus, `/health`, `/ready`. On 127.0.0.1 only."""

import json
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from socketserver import ThreadingMixIn
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import Gauge, make_wsgi_app

from neural_hive.connectors.ports import HOST

REQUEST_TIMEOUT_S: Final = 10.0  # a client that says nothing for so long is left

_READY: Final = Gauge("neural_hive_ready", "1 while the process does its work, as /ready says")
_PATHS: Final = "/metrics, /health, /ready"
_STATUS: Final = {200: "200 OK", 404: "404 Not Found", 503: "503 Service Unavailable"}


class MetricsPortTaken(RuntimeError):
    """The port of the metrics is in use; the text says which, and what to do."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Handler(WSGIRequestHandler):
    timeout = REQUEST_TIMEOUT_S

    def address_string(self) -> str:
        return str(self.client_address[0])  # no look-up of a name

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the name that the base class has)
        """Says nothing: scrapes are many."""


class MetricsServer:
    """Serves in a thread of its own until it is closed."""

    def __init__(
        self,
        name: str,
        port: int,
        is_ready: Callable[[], bool],
        stopped: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        """`port` 0 is any free one. `stopped` says what of the process may not go on, and why; the rest does.

        Raises MetricsPortTaken.
        """
        self._name, self._is_ready, self._stopped = name, is_ready, stopped
        self._metrics = make_wsgi_app()
        _READY.set_function(is_ready)
        try:
            self._server = make_server(HOST, port, self._answer, _Server, _Handler)
        except OSError as error:
            raise MetricsPortTaken(
                f"cannot listen on {HOST}:{port} for metrics ({error.strerror}): choose another metrics_port; "
                "0 takes any free one"
            ) from None
        self.url = f"http://{HOST}:{self._server.server_port}/metrics"
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops to listen."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, request: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        match request["PATH_INFO"]:
            case "/metrics":
                found: Iterable[bytes] = self._metrics(request, start)
                return found
            case "/health":
                return self._told(start, 200, "alive", pid=os.getpid())
            case "/ready":
                ready = self._is_ready()
                return self._told(start, 200 if ready else 503, "ready" if ready else "not ready")
            case _:
                return _json(start, 404, {"error": f"there are {_PATHS}"})

    def _told(self, start: Callable[..., Any], code: int, status: str, **more: Any) -> list[bytes]:
        stopped = dict(self._stopped())
        degraded = {"stopped": stopped} if stopped else {}
        return _json(start, code, {"status": status, "process": self._name, **more, **degraded})


def _json(start: Callable[..., Any], code: int, document: dict[str, Any]) -> list[bytes]:
    body = json.dumps(document).encode() + b"\n"
    start(_STATUS[code], [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]

"""Serves the API until the process is told to stop."""

import asyncio
import threading
from collections.abc import Callable
from typing import Final

import structlog
import uvicorn

from neural_hive.api.api_keys import ensure_first_key
from neural_hive.api.app import create_app
from neural_hive.api.services import Services
from neural_hive.connectors.ports import HOST
from neural_hive.settings import Settings

CONNECTIONS_MAX: Final = 512
STOP_TIMEOUT_S: Final = 10
log = structlog.get_logger()


class ApiPortTaken(RuntimeError):
    """The port of the API is in use; the text says which, and what to do."""


class _Server(uvicorn.Server):
    """Says when it listens, and when no more."""

    def __init__(
        self, config: uvicorn.Config, stopping: threading.Event, ready: Callable[[bool], None]
    ) -> None:
        super().__init__(config)
        self._stopping, self._ready = stopping, ready

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup(sockets)  # type: ignore[arg-type]
        if self._stopping.is_set():  # told so before it was listened for
            self.should_exit = True
        if self.started:
            self._ready(True)

    async def shutdown(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        self._ready(False)
        await super().shutdown(sockets)  # type: ignore[arg-type]


def run(settings: Settings, stopping: threading.Event, ready: Callable[[bool], None]) -> None:
    """Serves until SIGTERM or SIGINT, which also set `stopping`.

    Raises ApiPortTaken, KeysRefused, PrivateFileRefused.
    """
    if made := ensure_first_key(settings.api_folder):
        log.warning("first_api_key_made", file=str(made), roles="all")
    services = Services(settings)
    config = uvicorn.Config(
        create_app(services),
        host=HOST,
        port=settings.api_port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # whoever is here could name any address
        limit_concurrency=CONNECTIONS_MAX,
        timeout_graceful_shutdown=STOP_TIMEOUT_S,
        lifespan="on",  # what is mounted on the app may have one
    )
    try:
        with config.bind_socket() as socket:  # before the loop: a port that is taken is told in our words
            asyncio.run(_Server(config, stopping, ready).serve([socket]))
    except SystemExit:  # uvicorn's word for it
        raise ApiPortTaken(
            f"cannot listen on {HOST}:{settings.api_port} for the API: choose another api_port"
        ) from None
    finally:
        services.close()

"""The schema registry of a single machine, as a process."""

import signal
import threading
from collections.abc import Mapping
from typing import Any

import uvicorn

from neural_hive.connectors.schema_log import TOPIC, SchemaLog, WriterFenced
from neural_hive.connectors.schema_registry import own_records
from neural_hive.connectors.schema_registry_server import Registry, application


def run(
    bootstrap: str,
    port: int,
    host: str = "127.0.0.1",
    *,
    kafka: Mapping[str, Any] | None = None,
    topic: str = TOPIC,
    fill: bool = False,
) -> None:
    """Serves the registry until SIGTERM or SIGINT. `kafka`: librdkafka's other settings (TLS, SASL).

    `fill`: an empty one has this build's schemas from the beginning.

    Raises WriterFenced: another registry has taken the topic over. SchemaTopicWrong, KafkaException: at start.
    """
    log = SchemaLog({**(kafka or {}), "bootstrap.servers": bootstrap}, topic)
    if fill and next(log.records(), None) is None:
        log.append(list(own_records()))  # by requests they would take 6 s
    fenced: list[bool] = []

    def stop() -> None:
        fenced.append(True)
        server.should_exit = True

    app = application(Registry(log, stop))
    server = uvicorn.Server(
        uvicorn.Config(app, host, port, log_config=None, access_log=False, timeout_graceful_shutdown=5)
    )
    _end_normally_when_stopped()
    server.run()
    if fenced:
        raise WriterFenced(f"another schema registry writes to topic {topic} now; this one has stopped")


def _end_normally_when_stopped() -> None:
    """The server raises the signal that stopped it once more, for the handlers before its own: none would kill."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(number, lambda *_: None)

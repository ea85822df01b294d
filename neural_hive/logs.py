"""How every process logs: one JSON object a line, or lines for people; never a secret, never a payload.

Each line says process and pid; a line about a partition says its system too, and one about a message its trace id.
"""

import logging
import os
import sys
from collections.abc import Iterable
from typing import Any, Final

import structlog
from prometheus_client import Counter

TEXT_MAX: Final = (
    4_000  # characters of one value: what is longer holds something that does not belong into a log
)
MASKED: Final = "***"
_SECRET: Final = ("password", "secret", "token", "authorization", "api_key", "credential")
_PAYLOADS: Final = frozenset({"payload", "value", "parameters", "environment", "headers", "body"})
_LINES: Final = Counter("neural_hive_log_lines", "Lines that this process has logged", ["level"])
for _level in ("warning", "error", "critical"):
    _LINES.labels(_level)  # what appears with its first count cannot be seen to have grown
_QUIET: Final = ("opentelemetry",)  # what goes wrong there is counted, and told by us


def configure_logging(name: str, level: str, form: str = "auto", secrets: Iterable[str] = ()) -> None:
    """Lines on stderr, libraries' from warnings up. `form`: json, text, or auto: text on a terminal.

    `secrets`: texts that must not appear, wherever they stand.
    """
    is_text = form == "text" or (form == "auto" and sys.stderr.isatty())
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        _stamp(name),
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_payloads,
    ]
    last: list[structlog.types.Processor] = (
        [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
        if is_text
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    last.append(_Mask(secrets))
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, _count, *last],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name, _count],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)
    for library in _QUIET:
        logging.getLogger(library).setLevel(logging.CRITICAL)


def _stamp(name: str) -> structlog.types.Processor:
    # Not a bound context variable: other threads would not have it.
    pid = os.getpid()

    def stamp(_logger: object, _method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
        partition = event.get("partition")
        if isinstance(partition, str) and "." in partition:  # of a system: its name, a point, the number
            event.setdefault("system", partition.rpartition(".")[0])
        return {"process": name, "pid": pid, **event}

    return stamp


def _count(_logger: object, method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    _LINES.labels(event.get("level", method)).inc()
    return event


def _without_payloads(
    _logger: object, _method: str, event: structlog.types.EventDict
) -> structlog.types.EventDict:
    return {name: _told(name, value) for name, value in event.items()}


def _told(name: str, value: Any) -> Any:
    lower = name.lower()
    if any(word in lower for word in _SECRET):
        return MASKED
    if isinstance(value, bytes | bytearray) or (lower in _PAYLOADS and not isinstance(value, int | float)):
        size = len(value) if hasattr(value, "__len__") else 1
        return f"<{size:,} left out>"
    if isinstance(value, str) and len(value) > TEXT_MAX:
        return f"{value[:TEXT_MAX]}… ({len(value):,} characters)"
    return value


class _Mask:
    """The last one: a text that is a secret is not written, wherever it comes from, in a stack too."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = tuple(secret for secret in secrets if len(secret) >= 4)

    def __call__(self, _logger: object, _method: str, line: Any) -> Any:
        for secret in self._secrets:
            line = line.replace(secret, MASKED)
        return line

"""Approved plans become executed work, with an audit trail that proves itself.

What programs that take part need stands here; docs/sdk.md shows how it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from neural_hive.aggregates.metric_window import Bucket, MetricWindow
    from neural_hive.connectors.clickhouse import ClickHouseAway
    from neural_hive.following import Unreachable
    from neural_hive.sdk.agent import AgentClient, AgentConfig, AgentTelemetry, Undelivered
    from neural_hive.sdk.breaker import CircuitOpen
    from neural_hive.sdk.client import HiveClient
    from neural_hive.sdk.outcome import NoAnswerYet, Outcome, Verdict
    from neural_hive.sdk.sender import Token
    from neural_hive.sdk.ticket import Ticket
    from neural_hive.sdk.windows import BadWindows
    from neural_hive.sdk.worker import Agent

__all__ = [
    "Agent",
    "AgentClient",
    "AgentConfig",
    "AgentTelemetry",
    "BadWindows",
    "Bucket",
    "CircuitOpen",
    "ClickHouseAway",
    "HiveClient",
    "MetricWindow",
    "NoAnswerYet",
    "Outcome",
    "Ticket",
    "Token",
    "Undelivered",
    "Unreachable",
    "Verdict",
]

# module: its names. It is imported when one is first asked for, so that the command starts without Kafka's client.
_NAMES: Final = {
    "aggregates.metric_window": ("Bucket", "MetricWindow"),
    "connectors.clickhouse": ("ClickHouseAway",),
    "following": ("Unreachable",),
    "sdk.agent": ("AgentClient", "AgentConfig", "AgentTelemetry", "Undelivered"),
    "sdk.breaker": ("CircuitOpen",),
    "sdk.client": ("HiveClient",),
    "sdk.outcome": ("NoAnswerYet", "Outcome", "Verdict"),
    "sdk.sender": ("Token",),
    "sdk.ticket": ("Ticket",),
    "sdk.windows": ("BadWindows",),
    "sdk.worker": ("Agent",),
}
_MODULES: Final = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"neural_hive.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted((*globals(), *_MODULES))

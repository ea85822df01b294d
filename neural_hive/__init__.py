"""Approved plans become executed work, with an audit trail that proves itself.

What programs that take part need stands here; docs/sdk.md shows how it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from neural_hive.sdk.agent import AgentClient, AgentConfig, AgentTelemetry, Undelivered
    from neural_hive.sdk.ticket import Ticket
    from neural_hive.sdk.worker import Agent

__all__ = ["Agent", "AgentClient", "AgentConfig", "AgentTelemetry", "Ticket", "Undelivered"]

# name: its module, imported when it is first asked for, so that the command starts without Kafka's client
_MODULES: Final = {
    "Agent": "worker",
    "AgentClient": "agent",
    "AgentConfig": "agent",
    "AgentTelemetry": "agent",
    "Ticket": "ticket",
    "Undelivered": "agent",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"neural_hive.sdk.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted((*globals(), *_MODULES))

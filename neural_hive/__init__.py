"""Approved plans become executed work, with an audit trail that proves itself.

What programs that take part need stands here: AgentClient, AgentConfig, AgentTelemetry, Undelivered.
"""

from importlib import import_module
from typing import Any, Final

# name: its module, imported when it is first asked for, so that the command starts without Kafka's client
_MODULES: Final = dict.fromkeys(
    ("AgentClient", "AgentConfig", "AgentTelemetry", "Undelivered"), "neural_hive.sdk.agent"
)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted((*globals(), *_MODULES))

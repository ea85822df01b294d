"""The systems that a processor can run, by name."""

from collections.abc import Callable
from typing import Final, Protocol

from neural_hive.streams import orchestrator
from neural_hive.streams.kernel.system import System


class SystemSettings(Protocol):
    """What systems take from the settings."""

    @property
    def agent_id(self) -> str:
        """The agent that all work is given to."""
        ...


SYSTEMS: Final[dict[str, Callable[[SystemSettings], System]]] = {
    "orchestrator": lambda settings: orchestrator.build(settings.agent_id),
}

"""The systems that a processor can run, by name: the project's own and those of installed packages."""

from collections.abc import Callable
from typing import Final, Protocol

from neural_hive.schemas.extensions import SYSTEMS_GROUP, declared
from neural_hive.streams import orchestrator, registry
from neural_hive.streams.kernel.system import System


class SystemSettings(Protocol):
    """What systems take from the settings."""

    @property
    def agent_id(self) -> str:
        """The agent that all work is given to."""
        ...


_OWN: Final[dict[str, Callable[[SystemSettings], System]]] = {
    "orchestrator": lambda settings: orchestrator.build(settings.agent_id),
    "registry": lambda settings: registry.build(),
}

SYSTEMS: Final[dict[str, Callable[[SystemSettings], System]]] = {**_OWN, **declared(SYSTEMS_GROUP, _OWN)}

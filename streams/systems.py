"""The systems that a processor can run, by name: the project's own and those of installed packages."""

from collections.abc import Callable
from typing import Final, Protocol

from neural_hive.aggregates.agent import Silence
from neural_hive.aggregates.matching import Weights
from neural_hive.schemas.extensions import SYSTEMS_GROUP, declared
from neural_hive.streams import privacy
from neural_hive.streams.kernel.system import System
from neural_hive.streams.operations import system as operations
from neural_hive.streams.orchestrator import system as orchestrator
from neural_hive.streams.orchestrator.flow import Limits
from neural_hive.streams.registry import metrics as registry_metrics
from neural_hive.streams.registry import system as registry
from neural_hive.streams.sla import system as sla
from neural_hive.streams.sli import system as sli
from neural_hive.streams.webhooks import metrics as webhooks_metrics
from neural_hive.streams.webhooks import system as webhooks


class SystemSettings(Protocol):
    """What systems take from the settings."""

    @property
    def agent_heartbeat_s(self) -> float:
        """How often agents shall tell that they live; the three that follow: what becomes of them after a silence."""
        ...

    @property
    def agent_degraded_s(self) -> float: ...

    @property
    def agent_unhealthy_s(self) -> float: ...

    @property
    def agent_removed_s(self) -> float: ...

    @property
    def allocation_limit_s(self) -> float:
        """How long tickets may lack an agent that can do them before there is an incident; the one that follows: how
        long a workflow may be given nothing while its agents are busy.
        """
        ...

    @property
    def agents_busy_limit_s(self) -> float: ...

    @property
    def deploy_view_age_s(self) -> float:
        """How old may be what is known of the agents when a DEPLOY ticket is given to one."""
        ...

    @property
    def workflows_max(self) -> int:
        """How many workflows may go on at once in each partition; 0: any number."""
        ...

    @property
    def match_health_weight(self) -> float:
        """What counts how much when an agent is chosen: its health; what follow: its trail, what it tells of itself."""
        ...

    @property
    def match_pheromone_weight(self) -> float: ...

    @property
    def match_telemetry_weight(self) -> float: ...

    @property
    def asked_factor(self) -> float:
        """How many slots of an agent are asked for, in its capacity."""
        ...

    @property
    def fairness_step_s(self) -> float:
        """How much later the next ticket of the same workflow stands in the queue for agents."""
        ...

    @property
    def webhook_retries_s(self) -> tuple[float, ...]:
        """How long a webhook waits after its first, second … failure; the one that follows: how long it is tried."""
        ...

    @property
    def webhook_age_s(self) -> float: ...


def _registry(settings: SystemSettings) -> System:
    times_s = (
        settings.agent_heartbeat_s,
        settings.agent_degraded_s,
        settings.agent_unhealthy_s,
        settings.agent_removed_s,
    )
    system = registry.build(Silence(*(round(time_s * 1_000) for time_s in times_s)))
    registry_metrics.watch(system)
    return system


def _orchestrator(settings: SystemSettings) -> System:
    times_s = (settings.allocation_limit_s, settings.agents_busy_limit_s, settings.deploy_view_age_s)
    weights = Weights(
        settings.match_health_weight, settings.match_pheromone_weight, settings.match_telemetry_weight
    )
    order = (settings.asked_factor, settings.fairness_step_s)
    return orchestrator.build(Limits(*times_s, settings.workflows_max, weights, *order))


def _webhooks(settings: SystemSettings) -> System:
    retries_ms = tuple(round(wait_s * 1_000) for wait_s in settings.webhook_retries_s)
    system = webhooks.build(webhooks.Tries(retries_ms, round(settings.webhook_age_s * 1_000)))
    webhooks_metrics.watch(system)
    return system


_OWN: Final[dict[str, Callable[[SystemSettings], System]]] = {
    "orchestrator": _orchestrator,
    "registry": _registry,
    "operations": lambda settings: operations.build(),
    webhooks.NAME: _webhooks,
    "privacy": lambda settings: privacy.build(),
    sla.NAME: lambda settings: sla.build(),
    sli.NAME: lambda settings: sli.build(),
}

SYSTEMS: Final[dict[str, Callable[[SystemSettings], System]]] = {**_OWN, **declared(SYSTEMS_GROUP, _OWN)}

"""An agent's side of the registry: it registers, tells that it lives, and leaves.

    with AgentClient(AgentConfig("forge-1", capabilities=("python",))) as agent:
        ...                                     # heartbeats go out by themselves
        agent.report_outcome("python", True)

Without `kafka`, the system that runs on the data folder is taken, or what the settings name.
"""

import threading
import uuid
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final

import msgspec
import structlog

from neural_hive.aggregates.agent import (
    CAPABILITIES_MAX,
    CAPACITY_MAX,
    HEARTBEAT_EVERY_MS,
    NAME,
    AgentType,
    webhook_problem,
)
from neural_hive.connectors.personal import Personal
from neural_hive.connectors.publisher import Publisher
from neural_hive.sdk.breaker import Breaker

TOPIC: Final = "registry.commands"
AGENT_TYPES: Final = tuple(kind.value for kind in AgentType if kind is not AgentType.UNKNOWN)
DELIVERY_TIMEOUT_S: Final = 20.0  # shorter than a heartbeat's way to the next one
OFFER_WAIT_S: Final = 1.0  # so that it is known before what its sender says next
REGISTER_EVERY: Final = 10  # heartbeats; who was removed while the network was away is known again by itself
log = structlog.get_logger()


class Undelivered(RuntimeError):
    """Kafka did not take a message in time; the text says which and why."""


class BadAgent(ValueError):
    """An agent that cannot be; the text says what is wrong with it."""


class AgentConfig(msgspec.Struct, frozen=True):
    """Who an agent is and what it can do. Raises BadAgent: the registry would not take it."""

    agent_id: str
    agent_type: str = "WORKER"  # or SCOUT, GUARD, ANALYST, OPTIMIZER
    capabilities: tuple[str, ...] = ()
    task_types: tuple[str, ...] = ()  # empty: any
    capacity: int = 1  # tickets at once
    requested_by: str = ""  # who starts it; empty: the agent itself
    heartbeat_every_s: float = HEARTBEAT_EVERY_MS / 1_000
    webhook_url: str = ""  # where it wants to be called about its tickets; no secret: it stands in the log

    def __post_init__(self) -> None:
        for name in (self.agent_id, *self.capabilities):
            if not NAME.fullmatch(name):
                raise BadAgent(
                    f"agent ids and capabilities are 1 to 128 letters, digits, or _ . -, not {name!r:.80}"
                )
        if self.agent_type not in AGENT_TYPES:
            raise BadAgent(
                f"there is no agent type {self.agent_type!r:.80}; there are: {', '.join(AGENT_TYPES)}"
            )
        if len(self.capabilities) > CAPABILITIES_MAX:
            raise BadAgent(f"{len(self.capabilities)} capabilities are more than {CAPABILITIES_MAX}")
        if not 1 <= self.capacity <= CAPACITY_MAX:
            raise BadAgent(f"capacity must be 1 to {CAPACITY_MAX:,}, not {self.capacity}")
        if wrong := webhook_problem(self.webhook_url):
            raise BadAgent(wrong)


class AgentTelemetry(msgspec.Struct, frozen=True):
    """How an agent is doing. An agent that has done nothing yet has failed at nothing."""

    success_rate: float = 1.0  # 0 to 1
    load: float = 0.0  # 0 idle, 1 full
    latency_ms: int = 0  # of its work


class AgentClient:
    """One agent. `telemetry` is asked before every heartbeat. May be used from many threads.

    What raises Undelivered raises CircuitOpen, at once, when Kafka has not taken the messages before either.
    """

    def __init__(
        self,
        config: AgentConfig,
        kafka: Mapping[str, Any] | None = None,
        telemetry: Callable[[], AgentTelemetry] = AgentTelemetry,
        personal: Personal | None = None,
    ) -> None:
        """`kafka`: librdkafka's settings of the connection; `personal`: encrypts who starts the agent, if that is said.

        Raises BadSettings: there are none to be found.
        """
        self.config = config
        self._telemetry = telemetry
        if kafka is None:
            kafka, personal = _running(personal)
        self._publisher = Publisher(
            kafka, f"agent/{config.agent_id}", int(DELIVERY_TIMEOUT_S * 1_000), personal
        )
        self._breaker = Breaker("Kafka")
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._lost = False  # something was not delivered since the last registration
        self._capacity = config.capacity
        self._registering = threading.Lock()

    def __enter__(self) -> "AgentClient":
        """Registers, and begins to tell that it lives. Raises Undelivered."""
        self.register()
        self.start(registered=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leaves, and says whether by an error. Best effort: who cannot say so is removed after a while."""
        self.close(f"ended by {kind.__name__}" if kind else "it has ended")

    def register(self) -> None:
        """Makes the agent known; the same again changes nothing. Raises Undelivered."""
        self._deliver("RegisterAgent", self._profile())

    def heartbeat(self, telemetry: AgentTelemetry | None = None) -> None:
        """Tells that the agent lives. Raises Undelivered."""
        self._deliver("Heartbeat", msgspec.to_builtins(telemetry or self._telemetry()))

    def report_outcome(self, domain: str, success: bool) -> None:
        """Strengthens the agent's trail in a domain. Raises Undelivered."""
        self._deliver("ReinforceTrail", {"domain": domain, "success": success})

    def deregister(self, reason: str) -> None:
        """Makes the agent unknown. Raises Undelivered."""
        self._deliver("DeregisterAgent", {"reason": reason, "requested_by": self.config.requested_by})

    def offer(self, capacity: int) -> None:
        """Takes so many tickets at once from now on; 0: none. Never raises: it is said again until it is known."""
        self._capacity = capacity
        if self._thread is not None:
            self._register_again()
            self._publisher.flush(OFFER_WAIT_S)

    def start(self, registered: bool = False) -> None:
        """Heartbeats from now on, in a thread that never raises: what goes wrong is logged and tried again."""
        if self._thread is None:
            self._stopping.clear()
            self._lost = not registered
            self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
            self._thread.start()

    def close(self, reason: str = "it has ended") -> None:
        """Ends the heartbeats and deregisters. Never raises: who cannot say so is removed after a while."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(DELIVERY_TIMEOUT_S)
            self._thread = None
        self._try("DeregisterAgent", lambda: {"reason": reason, "requested_by": self.config.requested_by})
        self._publisher.flush(5.0)

    def _profile(self) -> dict[str, Any]:
        config = self.config
        return {
            "agent_type": config.agent_type,
            "capabilities": list(config.capabilities),
            "task_types": list(config.task_types),
            "capacity": self._capacity,
            "requested_by": config.requested_by,
            "webhook_url": config.webhook_url,
        }

    def _beat(self) -> None:
        if self._lost:
            self._register_again()
        beats = 0
        while not self._stopping.wait(self.config.heartbeat_every_s):
            beats += 1
            if self._lost or beats % REGISTER_EVERY == 0:
                self._register_again()
            else:
                self._try("Heartbeat", lambda: msgspec.to_builtins(self._telemetry()))

    def _register_again(self) -> None:
        """Is a sign of life too, so it takes a heartbeat's place."""
        with self._registering:  # or an older capacity could be told last
            self._lost = False
            self._try("RegisterAgent", self._profile)

    def _try(self, message_type: str, payload: Callable[[], dict[str, Any]]) -> None:
        try:
            self._publish(message_type, payload(), self._note)
            self._publisher.poll()
        except Exception as error:  # a heartbeat must not end with one fault, of `telemetry` for instance
            self._note(f"{type(error).__name__}: {error}")

    def _note(self, problem: str) -> None:
        if problem:
            self._lost = True
            log.warning("registry_not_told", agent_id=self.config.agent_id, why=problem)

    def _deliver(self, message_type: str, payload: dict[str, Any]) -> None:
        answers: list[str] = []
        with self._breaker.call(Undelivered):
            self._publish(message_type, payload, answers.append)
            self._publisher.flush(DELIVERY_TIMEOUT_S + 1)
            if problem := answers[0] if answers else "no acknowledgement in time":
                agent_id = self.config.agent_id
                raise Undelivered(f"{message_type} of agent {agent_id} was not delivered: {problem}")

    def _publish(self, message_type: str, payload: dict[str, Any], delivered: Callable[[str], None]) -> None:
        agent_id = self.config.agent_id
        header = self._publisher.header(message_type, str(uuid.uuid4()), agent_id)
        self._publisher.publish(TOPIC, header, {"agent_id": agent_id, **payload}, delivered)


def _running(personal: Personal | None) -> tuple[dict[str, Any], Personal]:
    # Only here: the settings' library takes time to import, and who gives `kafka` does not need it.
    from neural_hive.settings import load_settings

    settings = load_settings()
    return settings.kafka_config(), personal or Personal.of(settings)

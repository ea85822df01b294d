"""Anyone's worker: functions that execute tickets.

    agent = Agent("greeter-1", capabilities=("greeting",))

    @agent.execute("EXECUTE")
    def greet(ticket: Ticket) -> dict[str, str]:
        return {"said": f"Hello, {ticket.parameters['name']}"}

    agent.run()

`run` registers the agent, tells that it lives, takes the tickets that it is given, runs a function for each in a
thread, and reports start and result. What a function raises makes its ticket FAILED.
"""

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import msgspec

from neural_hive.aggregates.agent import AgentType
from neural_hive.aggregates.vocabulary import TaskType
from neural_hive.connectors.artifacts import ArtifactStore
from neural_hive.sdk.agent import AgentClient, AgentConfig, BadAgent
from neural_hive.sdk.functions import Function, FunctionExecutor, Functions
from neural_hive.settings import Settings, load_settings
from neural_hive.streams.worker.begun import Begun
from neural_hive.streams.worker.worker import Options, Worker, held

SLOTS_MAX: Final = 256  # each may take a thread
TASK_TYPES: Final = tuple(kind.value for kind in TaskType if kind is not TaskType.UNKNOWN)
F = TypeVar("F", bound=Function)


class Agent:
    """A worker of this program's functions."""

    def __init__(
        self,
        agent_id: str,
        *,
        capabilities: Iterable[str] = (),
        task_types: Iterable[str] = (),
        capacity: int = 4,
        agent_type: str = AgentType.WORKER.value,
        settings: Settings | None = None,
    ) -> None:
        """`capacity`: tickets at once. `task_types`: those it takes, else all that it has a function for.

        Without `settings`, the system that runs on the data folder is taken, or what the environment names.
        Raises BadAgent.
        """
        self._config = AgentConfig(agent_id, agent_type, _texts(capabilities), _known(task_types), capacity)
        self._settings = settings
        self._functions = Functions()
        if capacity > SLOTS_MAX:
            raise BadAgent(f"capacity must be 1 to {SLOTS_MAX}, not {capacity}")

    def execute(self, task_type: str) -> Callable[[F], F]:
        """Makes a function the one that executes tickets of a type.

        What it returns, texts and numbers by name, are the ticket's outputs. It may be called for several tickets
        at once. Raises BadAgent: there is no such type, or it has a function.
        """
        return self._taking(self._functions.execute, task_type)

    def compensate(self, task_type: str) -> Callable[[F], F]:
        """Makes a function the one that undoes what tickets of a type did, when their workflow fails."""
        return self._taking(self._functions.compensate, task_type)

    def run(self, stopping: threading.Event | None = None) -> None:
        """Works until told to stop: by `stopping` or, in the main thread, by SIGTERM or SIGINT.

        Running functions then have ten seconds; what has not ended is executed again after the next start.
        Raises BadAgent, BadSettings; WorkerStopped: another one works as this agent, or Kafka refuses to go on.
        """
        config = self._complete()
        settings = self._settings or load_settings()
        config = msgspec.structs.replace(config, heartbeat_every_s=settings.agent_heartbeat_s)
        kafka = settings.kafka_config()
        folder = settings.data / "worker" / config.agent_id
        with held(folder), _told_to_stop(stopping or threading.Event()) as told:
            store = ArtifactStore(settings.data / "artifacts")
            client = AgentClient(config, kafka, lambda: executor.telemetry())
            executor = FunctionExecutor(
                self._functions, folder / "attempts", store, config.capacity, client.offer
            )
            options = Options(config.agent_id, frozenset(config.task_types), config.capacity)
            begun = Begun(folder / "begun")
            worker = Worker(options, kafka, executor, self._functions.prepare, begun=begun)
            try:
                worker.run(told, client.start)  # known as soon as it can be given tickets, not before
            finally:
                client.close("it has ended")

    def _taking(self, functions: dict[str, Function], task_type: str) -> Callable[[F], F]:
        (known,) = _known((task_type,))
        if known in functions:
            raise BadAgent(f"{known} tickets have a function already: {functions[known].__name__}")

        def take(function: F) -> F:
            functions[known] = function
            return function

        return take

    def _complete(self) -> AgentConfig:
        """The agent with its task types. Raises BadAgent: it can do nothing, or says that it can do more."""
        able, config = self._functions.execute, self._config
        if not able:
            raise BadAgent(f"agent {config.agent_id} can do nothing: give it a function with @agent.execute")
        if missing := [kind for kind in config.task_types if kind not in able]:
            raise BadAgent(f"agent {config.agent_id} has no function for {', '.join(missing)}")
        return msgspec.structs.replace(config, task_types=config.task_types or tuple(sorted(able)))


def _known(task_types: Iterable[str]) -> tuple[str, ...]:
    given = _texts(task_types)
    for kind in given:
        if kind not in TASK_TYPES:
            raise BadAgent(f"there is no task type {kind!r:.80}; there are: {', '.join(TASK_TYPES)}")
    return given


def _texts(given: Iterable[str]) -> tuple[str, ...]:
    """One text is one, not its letters."""
    return (given,) if isinstance(given, str) else tuple(given)


@contextmanager
def _told_to_stop(told: threading.Event) -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set meanwhile; only the main thread can have signals."""
    if threading.current_thread() is not threading.main_thread():
        yield told
        return
    before = {
        number: signal.signal(number, lambda *_: told.set()) for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

"""A whole system in this process's care, with agents that do nothing: who starts its processes, and starts them again.

Chaos kills it: three brokers, three workers of each processor. The soak lets it work: what the product starts.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from neural_hive.connectors.ports import free_ports
from neural_hive.process import processor_name, ready_file
from neural_hive.settings import Settings, load_settings
from neural_hive.state import RUNNING, held, running_state
from neural_hive.supervisor import Service, Stage, Supervisor
from neural_hive.system import command_line, log_file, plan_system

ROOT: Final = Path(__file__).parents[2]
BROKERS: Final = 3
WORKERS: Final = 3  # of each processor
AGENTS: Final = ("idle-1", "idle-2")
AGENT_CAPACITY: Final = 64
REAL_WORKER: Final = "local"
START_TIMEOUT_S: Final = 240.0
STOP_TIMEOUT_S: Final = 180.0
BACKOFF_MAX_S: Final = 1.0  # it is killed again and again, which is no fault of its own


class Shape(msgspec.Struct, frozen=True):
    """How many processes there are of what can be many."""

    brokers: int = BROKERS
    workers: int = (
        WORKERS  # of each processor, each alone in its process; 0: one process for all, as the product has
    )
    more_systems: tuple[str, ...] = ("sla", "sli")  # beside those that the product starts


DEPLOY_VIEW_AGE_S: Final = 5.0  # so that a freeze of seconds is obeyed
MANY: Final = Shape()
AS_ONE_STARTS_IT: Final = Shape(brokers=1, workers=0, more_systems=())


class NotStarted(RuntimeError):
    """The system did not come up; the text says what is missing."""


class Cluster:
    """A running system in a folder of its own; made by `running`."""

    def __init__(self, data: Path, shape: Shape = MANY) -> None:
        self._shape = shape
        names = ("kafka_port", "schema_registry_port", "clickhouse_http_port", "api_port")
        ports = dict(zip(names, free_ports(4), strict=True))
        wanted: dict[str, Any] = {**ports, "worker_task_types": ("EXECUTE",), "agent_id": REAL_WORKER}
        if shape.more_systems:
            systems = (*Settings.model_fields["systems"].default, *shape.more_systems)
            wanted |= {"systems": systems, "deploy_view_age_s": DEPLOY_VIEW_AGE_S}
        plan = plan_system(load_settings(running=False, data=data, **wanted), shape.brokers)
        self.settings: Settings = plan.settings
        self._kafka = plan.kafka
        self._supervisor = Supervisor(data, self._stages(plan.stages), plan.endpoints)
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def start(self) -> None:
        """Starts all of it. Raises NotStarted."""
        self._thread.start()
        until = time.monotonic() + START_TIMEOUT_S
        while self.missing():
            if self._failure or time.monotonic() > until:
                raise NotStarted(f"not running: {self.missing()}; {self._failure}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Stops all of it in order."""
        for name in self.names:
            self.signal(name, signal.SIGCONT)
        self._supervisor.stopping.set()
        self._thread.join(STOP_TIMEOUT_S)
        if self._kafka:
            self._kafka.keep_class_cache()

    def _run(self) -> None:
        try:
            with held(self.settings.data):
                self._supervisor.run()
        except BaseException as error:
            self._failure = error

    def _stages(self, stages: list[Stage]) -> list[Stage]:
        """The product's own stages, with as many processors as there shall be, and agents beside the worker."""
        *first, last = stages
        processors = [
            self._service(f"{system}-{number}", processor_name([system]), command_line("processor", system))
            for system in self.settings.systems
            for number in range(1, self._shape.workers + 1)
        ]
        others = ("projector", "worker")
        kept = [service for service in last.services if not processors or service.name in others]
        agents = [
            self._service(name, name, [sys.executable, "-m", "tests.chaos.agent", name, str(AGENT_CAPACITY)])
            for name in AGENTS
        ]
        together = [*kept, *processors, *agents]
        stages = [*first, msgspec.structs.replace(last, services=together)]
        return [
            msgspec.structs.replace(stage, services=[_restarted_soon(service) for service in stage.services])
            for stage in stages
        ]

    def _service(self, name: str, ready_name: str, command: list[str]) -> Service:
        environment = {**os.environ, **self.settings.environment(), "PYTHONPATH": str(ROOT)}
        data = self.settings.data
        return Service(
            name=name,
            command=lambda: command,
            is_ready=lambda pid: ready_file(data, ready_name, pid).exists(),
            environment=environment,
            log=log_file(data, name),
        )

    @property
    def names(self) -> list[str]:
        """Of all its processes."""
        state = running_state(self.settings.data)
        return [process.name for process in state.processes] if state else []

    def missing(self) -> list[str]:
        """What does not run; ["all"] before it has begun."""
        state = running_state(self.settings.data)
        if state is None:
            return ["all"]
        waiting = [process.name for process in state.processes if process.status != RUNNING]
        return waiting or ([] if state.status == RUNNING else ["all"])

    def pid(self, name: str) -> int | None:
        """Of a process that runs; None while it does not."""
        state = running_state(self.settings.data)
        found = [p.pid for p in state.processes if p.name == name and p.status == RUNNING] if state else []
        return found[0] if found else None

    def signal(self, name: str, number: signal.Signals) -> int | None:
        """Sends a signal to a process if it runs; its pid, or None."""
        pid = self.pid(name)
        if pid is None:
            return None
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
            return pid
        return None

    def wake(self, name: str, pid: int) -> None:
        """Lets a process that was stopped go on, if it is still the same one."""
        if self.pid(name) == pid:
            self.signal(name, signal.SIGCONT)

    def explain(self) -> str:
        """Each process: whether it runs, how often it was started again, how it ended last."""
        state = running_state(self.settings.data)
        return "\n".join(
            f"{p.name}: {p.status}, started again {p.restarts} times, last exit code {p.last_exit_code}"
            for p in (state.processes if state else [])
        )


def _restarted_soon(service: Service) -> Service:
    return msgspec.structs.replace(service, backoff_max_s=BACKOFF_MAX_S)


@contextlib.contextmanager
def running(data: Path, shape: Shape = MANY) -> Iterator[Cluster]:
    """A system that runs; it is stopped at the end, and leaves nothing but its folder."""
    cluster = Cluster(data, shape)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()

"""`up`, `down`, `status`: a whole system on this machine."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
import psutil
import typer
from rich.console import Console
from rich.table import Table

from neural_hive.connectors.child import tail
from neural_hive.connectors.disk import is_short, room
from neural_hive.process import metrics_url, serving_metrics, stopped_partitions
from neural_hive.settings import Settings, load_settings
from neural_hive.state import RUNNING, State, held, is_running, made, run_folder, running_state

START_TIMEOUT_S = 600.0  # the first start downloads
STOP_TIMEOUT_S = 180.0
PORT_ATTEMPTS = 4  # two systems that start at once may choose the same port
NOT_RUNNING = 3  # the exit code of `status` when nothing runs, as init scripts have it

Data = Annotated[
    Path | None, typer.Option("--data", help="Data folder [default: .neural-hive]", file_okay=False)
]
Config = Annotated[Path | None, typer.Option("--config", help="Settings file (TOML or YAML)", dir_okay=False)]


class NotStopped(RuntimeError):
    """The system did not stop in time and was killed."""


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(up)
    app.command()(down)
    app.command()(status)


def up(
    data: Data = None,
    config: Config = None,
    detach: Annotated[bool, typer.Option("--detach", help="Return when the system is ready")] = False,
    brokers: Annotated[int, typer.Option(help="Kafka brokers: 1 or 3")] = 1,
    as_process: Annotated[bool, typer.Option("--as-process", hidden=True)] = False,
) -> None:
    """Start the system here: Kafka, schema registry, ClickHouse, processors, projector, one worker."""
    if brokers not in (1, 3):
        raise typer.BadParameter("must be 1 or 3", param_hint="--brokers")
    settings = load_settings(config, running=False, data=data)
    folder = settings.data
    if detach:
        _up_detached(folder, config, brokers)
    else:
        run_system(folder, config, brokers, _logged(settings) if as_process else Console().print)


def _logged(settings: Settings) -> Callable[[str], None]:
    """Tells in the supervisor's log."""
    import structlog

    from neural_hive.logs import configure_logging

    configure_logging("supervisor", settings.log_level, settings.log_format, settings.secrets())
    log = structlog.get_logger()
    return lambda line: log.info(line)


def run_system(data: Path, config: Path | None, brokers: int, tell: Callable[[str], None]) -> None:
    """Runs a system until it is told to stop. Raises DataInUse, StartFailed."""
    from neural_hive.connectors.kafka_jars import is_fetched
    from neural_hive.supervisor import PortTaken

    began = time.monotonic()
    settings = load_settings(config, running=False, data=data)
    with held(data):
        tell(f"starting on {data}")
        if not settings.is_given("kafka_bootstrap") and not is_fetched():
            tell("first start: fetching Apache Kafka (about 45 MB)")
        lost: frozenset[int] = frozenset()
        for left in reversed(range(PORT_ATTEMPTS)):
            try:
                _run_once(settings, brokers, began, tell, lost)
                break
            except PortTaken as error:
                if not left:
                    raise
                lost |= error.ports
                tell(f"{str(error).partition('.')[0]}: taken by another system meanwhile. Choosing again")
        tell("stopped")


def _run_once(
    settings: Settings, brokers: int, began: float, tell: Callable[[str], None], lost: frozenset[int]
) -> None:
    """Runs the system on ports that it chooses, none of `lost`. Raises PortTaken: somebody was faster."""
    from prometheus_client import REGISTRY

    from neural_hive.supervisor import Supervisor
    from neural_hive.supervisor_metrics import SupervisorMetrics
    from neural_hive.system import SUPERVISOR, plan_system

    plan = plan_system(settings, brokers, lost)
    for note in plan.notes:
        tell(note)
    made(run_folder(settings.data))
    own = plan.settings.model_copy(update={"metrics_port": plan.metrics_port})
    running = threading.Event()
    with serving_metrics(own, SUPERVISOR, running.is_set) as url:
        supervisor = Supervisor(settings.data, plan.stages, plan.endpoints, plan.notes, tell, url)
        supervisor.stop_on_signals()
        told = SupervisorMetrics(settings.data, supervisor.describe)
        REGISTRY.register(told)

        def begun() -> None:
            running.set()
            tell(f"running after {time.monotonic() - began:.1f} s. Ctrl-C stops it")

        try:
            supervisor.run(begun)
        finally:
            REGISTRY.unregister(told)  # another attempt may follow, on other ports
            if plan.kafka:
                plan.kafka.keep_class_cache()


def _up_detached(data: Path, config: Path | None, brokers: int) -> None:
    from neural_hive.system import command_line, log_file

    console = Console()
    log = log_file(data, "supervisor")
    made(log.parent)
    options = ["--as-process", "--data", str(data), "--brokers", str(brokers)]
    options += ["--config", str(config.absolute())] if config else []
    with held(data):  # tells now, and not in a log, if another system runs here
        pass
    with log.open("wb") as output:
        supervisor = subprocess.Popen(
            command_line("up", *options),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    state = _wait_running(data, supervisor)
    if state is None:
        console.print(
            f"[red]error:[/red] the system did not start. Its log is {log}:\n{tail(log)}", markup=True
        )
        raise typer.Exit(1)
    _show(_as_told(state), console)


def _wait_running(data: Path, supervisor: subprocess.Popen[bytes]) -> State | None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while supervisor.poll() is None and time.monotonic() < deadline:
        state = running_state(data)
        if state and state.pid == supervisor.pid and state.status == RUNNING:
            return state
        time.sleep(0.1)
    if supervisor.poll() is None:
        supervisor.terminate()
    return None


def down(data: Data = None, config: Config = None) -> None:
    """Stop the system that runs on a data folder, in order."""
    folder = load_settings(config, running=False, data=data).data
    state = running_state(folder)
    if state is None and not is_running(folder):
        Console().print(f"nothing runs on {folder}")
        return
    if state is None:
        raise NotStopped(f"a system on {folder} is just starting or stopping: try again in a moment")
    os.kill(state.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while is_running(folder):
        if time.monotonic() > deadline:
            _kill(state)
            raise NotStopped(
                f"the system did not stop within {STOP_TIMEOUT_S:.0f} s and was killed; its logs are in {folder}/logs"
            )
        time.sleep(0.05)
    Console().print("stopped")


def _kill(state: State) -> None:
    """Ends the supervisor and, where the kernel does not, what it had started."""
    for pid in (state.pid, *(process.pid for process in state.processes if process.pid)):
        try:
            psutil.Process(pid).kill()
        except psutil.NoSuchProcess:
            continue


def status(
    data: Data = None,
    config: Config = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document")] = False,
) -> None:
    """Show the processes of the system; exit code 0 if all are running, 1 if some or partitions of them are not, 3 if
    none is.
    """
    folder = load_settings(config, running=False, data=data).data
    running = running_state(folder)
    state = _as_told(running) if running else None
    if json:
        document = state or {"status": "stopped", "data": str(folder), "processes": []}
        typer.echo(msgspec.json.encode(document).decode())
    elif state:
        _show(state, Console())
    else:
        Console().print(f"nothing runs on {folder}. Start it with `neural-hive up`")
    if state is None:
        raise typer.Exit(NOT_RUNNING)
    if state.status != RUNNING or any(p.status != RUNNING or p.stopped_partitions for p in state.processes):
        raise typer.Exit(1)


def _as_told(state: State) -> State:
    """The state, with what each process tells of itself: where its metrics are, which partitions may not go on."""
    data = Path(state.data)
    processes = [
        msgspec.structs.replace(
            found,
            metrics_url=metrics_url(data, found.name, found.pid),
            stopped_partitions=stopped_partitions(data, found.name, found.pid) if found.pid else {},
        )
        for found in state.processes
    ]
    return msgspec.structs.replace(state, processes=processes)


def _show(state: State, console: Console) -> None:
    table = Table("process", "status", "pid", "restarts", "log", box=None, header_style="bold")
    for process in state.processes:
        shown = "green" if process.status == RUNNING else "yellow"
        pid = str(process.pid or "")
        table.add_row(process.name, f"[{shown}]{process.status}[/]", pid, str(process.restarts), process.log)
    console.print(f"system {state.status} since {state.started_at}, data in {state.data}")
    console.print(table)
    if is_short(Path(state.data)):
        console.print(f"[yellow]{room(Path(state.data))}[/]")
    for name, value in state.endpoints.items():
        console.print(f"{name:<20} {value}", highlight=False)
    served = {process.name: process.metrics_url for process in state.processes} | {
        "supervisor": state.metrics_url
    }
    width = max(map(len, served))
    for name, url in served.items():
        if url:
            console.print(f"metrics of {name:<{width}} {url}", highlight=False)
    for process in state.processes:
        for name, why in process.stopped_partitions.items():
            console.print(f"stopped: partition {name}, the others go on. {why}", style="red", markup=False)
    for note in state.notes:
        console.print(f"note: {note}", style="yellow")

"""What every process of the system has in common: its log, its ready file, its metrics, its way to be stopped."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import psutil
import structlog

from neural_hive.explain import explained
from neural_hive.logs import configure_logging
from neural_hive.metrics_server import MetricsServer
from neural_hive.settings import Settings
from neural_hive.state import made, run_folder
from neural_hive.tracing import traced


def ready_file(data: Path, name: str, pid: int) -> Path:
    """The file that is there while a process does its work."""
    return run_folder(data) / f"{name}-{pid}.ready"


def metrics_file(data: Path, name: str, pid: int) -> Path:
    """The file that holds the URL of a process's metrics while it serves them."""
    return run_folder(data) / f"{name}-{pid}.metrics"


def metrics_url(data: Path, name: str, pid: int | None) -> str:
    """Where a process serves its metrics; empty if it does not."""
    try:
        return metrics_file(data, name, pid).read_text() if pid else ""
    except OSError:
        return ""


def stopped_file(data: Path, name: str, pid: int) -> Path:
    """The file that names the partitions of a process that may not go on, while there are any."""
    return run_folder(data) / f"{name}-{pid}.stopped"


def stopped_partitions(data: Path, name: str = "*", pid: int | str = "*") -> dict[str, str]:
    """Partitions that may not go on, such as orchestrator.2, and why: of one process, or of all that live here."""
    found: dict[str, str] = {}
    for file in run_folder(data).glob(f"{name}-{pid}.stopped"):
        if psutil.pid_exists(int(file.stem.rpartition("-")[2])):
            with suppress(FileNotFoundError):
                found |= msgspec.json.decode(file.read_bytes(), type=dict[str, str])
    return found


def processor_name(systems: Sequence[str]) -> str:
    """The name of the process that runs the processors of these systems: with one's name if it is alone."""
    return f"processor-{systems[0]}" if len(systems) == 1 else "processor"


def processors_of(settings: Settings) -> list[tuple[str, ...]]:
    """The systems of each processor that `up` starts: who does most of the work has a core of its own."""
    own: list[tuple[str, ...]] = [(name,) for name in settings.systems if name in settings.own_processes]
    rest = tuple(name for name in settings.systems if name not in settings.own_processes)
    return [*own, rest] if rest else own


class Readiness:
    """Says to the supervisor whether this process does its work."""

    def __init__(self, data: Path, name: str) -> None:
        self._data, self._name = data, name
        self.file = ready_file(data, name, os.getpid())
        self._stopped = stopped_file(data, name, os.getpid())
        made(self.file.parent)

    def __call__(self, ready: bool = True) -> None:
        if ready:
            self.file.touch()
        else:
            self.file.unlink(missing_ok=True)

    def tell_stopped(self, reasons: Mapping[str, str]) -> None:
        """Says which partitions of this process may not go on, and why. It does its work for the others."""
        if reasons:
            draft = self._stopped.with_suffix(".draft")
            draft.write_bytes(msgspec.json.encode(reasons))
            draft.replace(self._stopped)
        else:
            self._stopped.unlink(missing_ok=True)

    def stopped(self) -> dict[str, str]:
        """What was told last."""
        return stopped_partitions(self._data, self._name, os.getpid())


@contextmanager
def process(settings: Settings, name: str, is_ready: Callable[[], bool] | None = None) -> Iterator[Readiness]:
    """The life of one process: a log, a ready file and metrics that do not outlive it.

    `is_ready` is what `/ready` asks; by default whether the ready file is there. Raises MetricsPortTaken,
    DataUnusable.
    """
    configure_logging(name, settings.log_level, settings.log_format, settings.secrets())
    readiness = Readiness(settings.data, name)
    serving = serving_metrics(settings, name, is_ready or readiness.file.exists, readiness.stopped)
    with serving, traced(settings, name):
        try:
            yield readiness
        except Exception as error:
            log = structlog.get_logger()
            if told := explained(error):
                log.critical("stopped", why=told)
                log.debug("where it came from", exc_info=error)
            else:
                log.exception("stopped by an error")
            raise SystemExit(1) from None
        finally:
            readiness(False)
            readiness.tell_stopped({})


@contextmanager
def serving_metrics(
    settings: Settings,
    name: str,
    is_ready: Callable[[], bool],
    stopped: Callable[[], Mapping[str, str]] = dict,
) -> Iterator[str]:
    """Serves the metrics of this process, if the settings want it; gives their URL. Raises MetricsPortTaken."""
    if not settings.metrics:
        yield ""
        return
    server = MetricsServer(name, settings.metrics_port, is_ready, stopped)
    told = metrics_file(settings.data, name, os.getpid())
    try:
        told.write_text(server.url)
        yield server.url
    finally:
        told.unlink(missing_ok=True)
        server.close()


def stop_event() -> threading.Event:
    """An event that SIGTERM and SIGINT set, instead of ending the process at once."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return stopping

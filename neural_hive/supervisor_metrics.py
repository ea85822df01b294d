"""What a supervisor tells Prometheus: its processes, the disk of the data folder, and the last verification."""

import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from neural_hive.state import RUNNING, ProcessState, run_folder

VERIFIED: Final = "verified.json"


class Verified(msgspec.Struct, frozen=True):
    """The outcome of a verification of the whole log (see `replay verify`)."""

    at_s: float  # since 1970 UTC
    exit_code: int  # 0: all holds; 1: something was found; 2: not verified to the end
    findings: int
    duration_s: float


def keep_verified(data: Path, verified: Verified) -> None:
    """Keeps the outcome for the supervisor of this data folder; without a folder nobody asks."""
    folder = run_folder(data)
    if folder.is_dir():
        draft = folder / f"{VERIFIED}.new"
        draft.write_bytes(msgspec.json.encode(verified))
        draft.replace(folder / VERIFIED)


def last_verified(data: Path) -> Verified | None:
    """The outcome of the last verification; None if there was none."""
    try:
        return msgspec.json.decode((run_folder(data) / VERIFIED).read_bytes(), type=Verified)
    except (OSError, msgspec.MsgspecError):
        return None


class SupervisorMetrics(Collector):
    """Looked at when somebody asks, and never before."""

    def __init__(self, data: Path, processes: Callable[[], Sequence[ProcessState]]) -> None:
        self._data, self._processes = data, processes

    def collect(self) -> Iterable[Metric]:
        """See Collector.collect. A process is a `name`: the label `process` is who tells it."""
        running = GaugeMetricFamily(
            "neural_hive_process_running",
            "1 while a process of the system runs and does its work",
            labels=["name"],
        )
        restarts = CounterMetricFamily(
            "neural_hive_process_restarts", "Times a process was started again", labels=["name"]
        )
        for process in self._processes():
            running.add_metric([process.name], process.status == RUNNING)
            restarts.add_metric([process.name], process.restarts)
        return [running, restarts, *self._disk(), *self._verification()]

    def _disk(self) -> list[Metric]:
        free = GaugeMetricFamily("neural_hive_disk_free_bytes", "Room on the disk of the data folder")
        size = GaugeMetricFamily("neural_hive_disk_size_bytes", "Size of the disk of the data folder")
        try:
            usage = shutil.disk_usage(self._data)
        except OSError:
            return [free, size]
        free.add_metric([], usage.free)
        size.add_metric([], usage.total)
        return [free, size]

    def _verification(self) -> list[Metric]:
        last = last_verified(self._data)
        told = (
            ("last_seconds", "When the log was last verified as a whole, s since 1970 UTC", "at_s"),
            ("exit_code", "0: all held; 1: something was found; 2: not verified to the end", "exit_code"),
            ("findings", "What the last verification has found", "findings"),
            ("duration_seconds", "How long the last verification took", "duration_s"),
        )
        families = list[Metric]()
        for name, text, field in told:
            family = GaugeMetricFamily(f"neural_hive_verify_{name}", text)
            if last is not None:
                family.add_metric([], getattr(last, field))
            families.append(family)
        return families

"""What is looked at every few seconds while the system works: memory, files, threads, disk, lag, delay, parts."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec
import psutil

from neural_hive.connectors.clickhouse import ClickHouse, ClickHouseError
from neural_hive.settings import Settings
from neural_hive.state import running_state
from neural_hive.streams.systems import SYSTEMS
from tests.chaos.cluster import AGENTS, REAL_WORKER
from tests.chaos.load import WORKFLOWS, Ends
from tests.chaos.progress import Group, Unknown

MEMORY, CPU, THREADS, FILES = "memory MB", "CPU cores", "threads", "open files"
PROCESSES: Final = "processes"
DISK, ROCKSDB_FILES = "disk MB", "RocksDB files"
LAG, DELAY, PARTS, OPEN = "lag records", "projector delay s", "active parts", "open workflows"
DELAY_MAX_S: Final = 60.0  # longer is not waited for
CALL_TIMEOUT_S: Final = 30.0
_LOOK_EVERY_S: Final = 0.1
_MEASURE_EVERY_S: Final = 1.0
_MB: Final = 1 << 20

Values = dict[tuple[str, str], float]  # (what, of whom) → how much


class Sample(msgspec.Struct, frozen=True):
    """All that was seen at one time."""

    at_s: float  # since the first one
    values: Values


class DelayWatch:
    """Measures again and again, in a thread, how long SQL does not show an event that was just read from the log."""

    def __init__(self, settings: Settings, ends: Ends) -> None:
        self.last_s = 0.0
        self._clickhouse, self._ends = _clickhouse(settings), ends
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="delay", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Measures no more."""
        self._stopping.set()
        self._thread.join()
        self._clickhouse.close()

    def _run(self) -> None:
        while not self._stopping.wait(_MEASURE_EVERY_S):
            if self._ends.last is not None:
                with contextlib.suppress(ClickHouseError):
                    self.last_s = self._measured_s(*self._ends.last)

    def _measured_s(self, partition: int, offset: int) -> float:
        began = time.monotonic()
        where = f"topic = '{WORKFLOWS}' AND partition = {partition} AND offset = {offset}"
        while not self._clickhouse.rows(f"SELECT count() FROM events WHERE {where}")[0][0]:
            if time.monotonic() - began > DELAY_MAX_S or self._stopping.wait(_LOOK_EVERY_S):
                break
        return time.monotonic() - began


def _clickhouse(settings: Settings) -> ClickHouse:
    password = settings.password_of(settings.clickhouse_user)
    return ClickHouse.of(settings, password, timeout_s=CALL_TIMEOUT_S, retry_s=1)


class Sampler:
    """Looks at a running system from outside. Not for several threads."""

    def __init__(self, settings: Settings, ends: Ends, open_now: Callable[[], int]) -> None:
        self._settings, self._open_now = settings, open_now
        self._groups = {
            **{
                name: Group(settings, name, list(build(settings).topics))
                for name, build in SYSTEMS.items()
                if name in settings.systems
            },
            **{
                name: Group(settings, f"worker.{name}", ["execution.tickets"])
                for name in (*AGENTS, REAL_WORKER)
            },
        }
        self._clickhouse, self._delay = _clickhouse(settings), DelayWatch(settings, ends)
        self._cpu_s: dict[tuple[str, int], tuple[float, float]] = {}  # when asked, and CPU time until then
        self._began = time.monotonic()
        self.committed: dict[str, int] = {}  # by group: what it had done at the last look

    def close(self) -> None:
        """Lets brokers and server go."""
        for group in self._groups.values():
            group.close()
        self._delay.close()
        self._clickhouse.close()

    def look(self) -> Sample:
        """One sample; what does not answer is not in it."""
        at_s = time.monotonic() - self._began
        found: Values = {(OPEN, ""): float(self._open_now())}
        for part in (self._of_processes, self._of_folders, self._of_groups, self._of_tables):
            with contextlib.suppress(Unknown, ClickHouseError, psutil.NoSuchProcess):
                found.update(part())
        return Sample(round(at_s, 1), found)

    def _of_processes(self) -> Iterator[tuple[tuple[str, str], float]]:
        state = running_state(self._settings.data)
        alive = {process.pid: process for process in psutil.Process().children(recursive=True)}
        yield (PROCESSES, ""), len(alive)
        for process in state.processes if state else ():
            if process.pid in alive:
                yield from self._of_process(process.name, alive[process.pid])

    def _of_process(self, name: str, process: psutil.Process) -> Iterator[tuple[tuple[str, str], float]]:
        with process.oneshot():
            yield (MEMORY, name), process.memory_info().rss / _MB
            yield (THREADS, name), process.num_threads()
            yield (FILES, name), process.num_fds()
            times, now = process.cpu_times(), time.monotonic()
        used_s = times.user + times.system
        before = self._cpu_s.get((name, process.pid))
        self._cpu_s[name, process.pid] = now, used_s
        if before is not None:
            yield (CPU, name), (used_s - before[1]) / (now - before[0])

    def _of_folders(self) -> Iterator[tuple[tuple[str, str], float]]:
        data = self._settings.data
        for folder in (f for f in data.iterdir() if f.is_dir() and f.name != "run"):
            yield (DISK, folder.name), size_bytes(folder) / _MB
        for database in sorted((data / "processors").glob("*/worker-*/[0-9]*/*")):
            system, _, partition, _ = database.relative_to(data / "processors").parts
            yield (ROCKSDB_FILES, f"{system}.{partition}"), sum(1 for _ in database.iterdir())

    def _of_groups(self) -> Iterator[tuple[tuple[str, str], float]]:
        for name, group in self._groups.items():
            places = group().values()
            self.committed[name] = sum(at.done for at in places)
            yield (LAG, name), sum(at.end - at.done for at in places)

    def _of_tables(self) -> Iterator[tuple[tuple[str, str], float]]:
        for table, parts in self._clickhouse.rows(
            "SELECT table, count() FROM system.parts WHERE active AND database = currentDatabase() GROUP BY table"
        ):
            yield (PARTS, table), parts
        yield (DELAY, ""), self._delay.last_s


def size_bytes(folder: Path) -> int:
    """What the files of a folder hold; some may go meanwhile."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += (Path(parent) / name).lstat().st_size
    return total

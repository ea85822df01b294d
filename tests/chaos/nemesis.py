"""Kills by a seed: which process, how, how long between; others recover meanwhile."""

import random
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Final

import msgspec
from confluent_kafka.admin import AdminClient

from neural_hive.streams.systems import SYSTEMS
from tests.chaos.cluster import AGENTS, BROKERS, REAL_WORKER, WORKERS, Cluster
from tests.chaos.progress import Places, Progress, known, recovered

GIVE_UP_S: Final = 120.0
STOPPED_S: Final = (11.0, 15.0)  # longer than the session time-out of processors, 10 s
PAUSE_S: Final = (0.0, 2.0)  # between two blows
AT_ONCE: Final = 4  # blows that not all has recovered from
WEIGHTS: Final = {
    "orchestrator": 5,
    "registry": 4,
    "sla": 3,
    "sli": 2,
    "projector": 3,
    "clickhouse": 2,
    "agent": 3,
    "worker": 2,
    "broker": 2,
}
ZOMBIES: Final = {
    "orchestrator": 0.2,
    "registry": 0.2,
    "sla": 0.2,
    "sli": 0.2,
    "projector": 0.15,
}  # stopped and woken, not killed


class Blow(msgspec.Struct, frozen=True):
    """What is done to one process; `stopped_s` 0 is kill -9."""

    kind: str
    name: str
    stopped_s: float = 0.0

    @property
    def target(self) -> str:
        """What is hit again only when it has recovered: a process, or brokers, of which one at a time may be away."""
        return self.kind if self.kind == "broker" else self.name

    @property
    def told(self) -> str:
        """For the report."""
        return f"{self.kind} {'stopped' if self.stopped_s else 'killed'}"


class Hit(msgspec.Struct, frozen=True):
    """A blow that was struck, and after what time all that it concerned went on."""

    what: str
    name: str
    at_s: float
    recovery_s: float
    still: list[str]  # the partitions that did not go on in time


def names_of(kind: str) -> tuple[str, ...]:
    """The processes of a kind."""
    if kind in SYSTEMS:
        return tuple(f"{kind}-{number}" for number in range(1, WORKERS + 1))
    if kind == "broker":
        return tuple(f"kafka-{number}" for number in range(1, BROKERS + 1))
    return AGENTS if kind == "agent" else (kind,)


def next_blow(random_: random.Random) -> Blow:
    """The next one."""
    kind = random_.choices(tuple(WEIGHTS), tuple(WEIGHTS.values()))[0]
    stopped_s = random_.uniform(*STOPPED_S) if random_.random() < ZOMBIES.get(kind, 0) else 0.0
    return Blow(kind, random_.choice(names_of(kind)), stopped_s)


class Nemesis:
    """Strikes until so many processes were hit."""

    def __init__(self, cluster: Cluster, seed: int, kills: int, tell: Callable[[str], None]) -> None:
        self.hits: list[Hit] = []
        self._cluster, self._kills, self._tell = cluster, kills, tell
        self._random = random.Random(seed)
        self._began = time.monotonic()
        self._admin = AdminClient({**cluster.settings.kafka_config(), "log_level": 2})

    def run(self) -> None:
        """All blows; up to AT_ONCE that what they concern has not recovered from."""
        with ThreadPoolExecutor(AT_ONCE, "blow") as pool:
            while len(self.hits) < self._kills:
                under_way: dict[str, Future[None]] = {}
                for _ in range(self._kills - len(self.hits)):
                    self._strike(pool, under_way, next_blow(self._random))
                for blow in under_way.values():
                    blow.result()

    def _strike(self, pool: ThreadPoolExecutor, under_way: dict[str, Future[None]], blow: Blow) -> None:
        time.sleep(self._random.uniform(*PAUSE_S))
        for other in [found for target, found in under_way.items() if target == blow.target]:
            other.result()
        while len(busy := [found for found in under_way.values() if not found.done()]) >= AT_ONCE:
            wait(busy, return_when=FIRST_COMPLETED)
        under_way[blow.target] = pool.submit(self._hit, blow)

    def _hit(self, blow: Blow) -> None:
        if blow.kind == "broker":
            self._wait_in_sync()
        progress = Progress(self._cluster.settings)
        try:
            self._struck(blow, progress)
        finally:
            progress.close()

    def _struck(self, blow: Blow, progress: Progress) -> None:
        progress_name = REAL_WORKER if blow.kind == "worker" else blow.name

        def look() -> Places:
            return progress.look(blow.kind, progress_name)

        pid = self._wait_pid(blow.name)
        before = known(look, GIVE_UP_S)
        at = time.monotonic()
        number = signal.SIGSTOP if blow.stopped_s else signal.SIGKILL
        if pid is None or before is None or self._cluster.signal(blow.name, number) is None:
            self._tell(f"{blow.name}: could not be hit")
            return
        waker = threading.Timer(blow.stopped_s, self._cluster.wake, (blow.name, pid))
        if blow.stopped_s:
            waker.start()
        found = recovered(look, at, before, GIVE_UP_S)
        if blow.stopped_s:
            waker.join()
        self.hits.append(
            Hit(blow.told, blow.name, round(at - self._began, 1), found.took_s, sorted(found.still))
        )
        went_on = f"went on after {found.took_s:.1f} s"
        if found.still:
            went_on = f"did not go on in {', '.join(sorted(found.still))}"
        self._tell(f"{len(self.hits)}/{self._kills} {blow.name} {blow.told.split()[-1]}: {went_on}")

    def _wait_pid(self, name: str) -> int | None:
        until = time.monotonic() + GIVE_UP_S
        while (pid := self._cluster.pid(name)) is None and time.monotonic() < until:
            time.sleep(0.1)
        return pid

    def _wait_in_sync(self) -> None:
        """One broker at a time: until all run, and each copy of each partition is up to date."""
        until = time.monotonic() + GIVE_UP_S
        while time.monotonic() < until:
            if all(self._cluster.pid(name) for name in names_of("broker")) and self._in_sync():
                return
            time.sleep(0.5)

    def _in_sync(self) -> bool:
        try:
            topics = self._admin.list_topics(timeout=5).topics.values()
        except Exception:
            return False
        partitions = [partition for topic in topics for partition in topic.partitions.values()]
        return all(len(partition.isrs) == len(partition.replicas) for partition in partitions)

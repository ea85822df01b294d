"""Kills by a seed: which process, how, how many at once, how long between."""

import random
import signal
import threading
import time
from collections.abc import Callable
from typing import Final

import msgspec
from confluent_kafka.admin import AdminClient

from neural_hive.streams.systems import SYSTEMS
from tests.chaos.cluster import AGENTS, BROKERS, REAL_WORKER, WORKERS, Cluster
from tests.chaos.progress import Places, Progress, known, recovered

GIVE_UP_S: Final = 120.0
STOPPED_S: Final = (11.0, 15.0)  # longer than the session time-out of processors, 10 s
PAUSE_S: Final = (0.2, 3.0)
APART_S: Final = 1.5  # the processes of one strike are hit within this time
WEIGHTS: Final = {
    "orchestrator": 5,
    "registry": 4,
    "projector": 3,
    "clickhouse": 2,
    "agent": 3,
    "worker": 2,
    "broker": 2,
}
ZOMBIES: Final = {"orchestrator": 0.2, "registry": 0.2, "projector": 0.15}  # stopped and woken, not killed
AT_ONCE: Final = (0.6, 0.3, 0.1)  # one, two, three kinds


class Blow(msgspec.Struct, frozen=True):
    """What is done to one process; `stopped_s` 0 is kill -9."""

    kind: str
    name: str
    after_s: float
    stopped_s: float = 0.0

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


def strike(random_: random.Random, left: int) -> list[Blow]:
    """The next strike: different kinds, at most `left` processes."""
    count = min(random_.choices((1, 2, 3), AT_ONCE)[0], left)
    kinds: list[str] = []
    while len(kinds) < count:
        kind = random_.choices(tuple(WEIGHTS), tuple(WEIGHTS.values()))[0]
        if kind not in kinds:
            kinds.append(kind)
    return [_blow(random_, kind) for kind in kinds]


def _blow(random_: random.Random, kind: str) -> Blow:
    name, after_s = random_.choice(names_of(kind)), random_.uniform(0, APART_S)
    stopped_s = random_.uniform(*STOPPED_S) if random_.random() < ZOMBIES.get(kind, 0) else 0.0
    return Blow(kind, name, after_s, stopped_s)


class Nemesis:
    """Strikes until so many processes were hit."""

    def __init__(self, cluster: Cluster, seed: int, kills: int, tell: Callable[[str], None]) -> None:
        self.hits: list[Hit] = []
        self._cluster, self._kills, self._tell = cluster, kills, tell
        self._random = random.Random(seed)
        self._began = time.monotonic()
        self._admin = AdminClient({**cluster.settings.kafka_config(), "log_level": 2})

    def run(self) -> None:
        """All strikes; after each, everything that was hit goes on before the next one."""
        while len(self.hits) < self._kills:
            blows = strike(self._random, self._kills - len(self.hits))
            threads = [threading.Thread(target=self._hit, args=(blow,)) for blow in blows]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            time.sleep(self._random.uniform(*PAUSE_S))

    def _hit(self, blow: Blow) -> None:
        time.sleep(blow.after_s)
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

"""Runs systems as a process: looks at the cluster, takes a slot for each, works until it is told to stop."""

import faulthandler
import fcntl
import gc
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import faust
import msgspec
import structlog
from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from neural_hive.connectors.heaps import limit_heaps
from neural_hive.connectors.kafka_admin import unreachable
from neural_hive.projections.whole_log import OpenArchive
from neural_hive.streams.kernel.broadcast import Broadcast
from neural_hive.streams.kernel.inbox import DEAD_LETTERS
from neural_hive.streams.kernel.partition import Place
from neural_hive.streams.kernel.processor import STUCK_S, Processor
from neural_hive.streams.kernel.reading import Fetch, MessageReader
from neural_hive.streams.kernel.router import router_of
from neural_hive.streams.kernel.stacks import write_lines, write_tasks
from neural_hive.streams.kernel.system import System
from neural_hive.streams.kernel.versions import logic_version, state_version

STALL_S = 30.0
SESSION_S = 10  # after this time without a heartbeat a worker's partitions go to others
CALL_TIMEOUT_S = 30.0
SLOTS_MAX = 256
# Records, rows and events are many and without cycles: with Python's own thresholds a third of the time goes into
# looking for cycles among them.
GC_THRESHOLDS = (100_000, 50, 100)
HEAPS_MAX = 2  # of glibc's: see connectors/heaps.py
SWITCH_INTERVAL_S = 0.02  # threads hand over at transactions; more often costs more than it gains
log = structlog.get_logger()


class WrongCluster(RuntimeError):
    """The cluster's topics are not as this system needs them; the text says which and how."""


class SlotTaken(RuntimeError):
    """Every worker slot of this data folder is in use."""


def take_slot(folder: Path, system: str) -> tuple[str, Path, IO[str]]:
    """A free worker slot: its name (the group instance id), its folder, and the lock that holds it.

    Two members with one instance id would steal it from each other for ever, so the lock comes before joining.
    """
    for number in range(SLOTS_MAX):
        place = folder / system / f"worker-{number}"
        place.mkdir(parents=True, exist_ok=True)
        lock = (place / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        return f"{system}-{_identity(folder)}-{number}", place, lock
    raise SlotTaken(f"all {SLOTS_MAX} worker slots in {folder / system} are in use")


def _identity(folder: Path) -> str:
    """A name for this data folder that stays: two machines' slots must not share an instance id."""
    file = folder / "identity"
    if not file.exists():
        draft = folder / f"identity.{os.getpid()}"
        draft.write_text(os.urandom(4).hex())
        try:
            os.link(draft, file)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return file.read_text()


class Cluster(msgspec.Struct, frozen=True):
    """What a system finds on its brokers."""

    partitions_of: dict[str, int]  # of every topic
    topic_ids: dict[str, str]  # of the system's event topics
    input_ids: dict[str, str]  # of the topics that it reads or looks into


def cluster_of(config: dict[str, Any], system: System) -> Cluster:
    """The cluster as the system needs it.

    Raises WrongCluster: a topic is missing, or the system's own topics differ in their partition counts.
    KafkaUnreachable: no broker answers.
    """
    admin = AdminClient({"log_level": 2, **config})  # what goes wrong comes as an exception
    try:
        return _looked_at(admin, system)
    except KafkaException as error:
        raise unreachable(config["bootstrap.servers"], error) from error


def _looked_at(admin: AdminClient, system: System) -> Cluster:
    metadata = admin.list_topics(timeout=CALL_TIMEOUT_S).topics
    partitions_of = {name: len(topic.partitions) for name, topic in metadata.items()}
    views = (view.topic for view in system.views.values())
    needed = [*system.topics, *system.inputs, *system.event_topics, *system.looks_into, *views, DEAD_LETTERS]
    missing = sorted({topic for topic in needed if topic not in partitions_of})
    if missing:
        raise WrongCluster(f"topics are missing: {', '.join(missing)}. Create them with `neural-hive topics`")
    own = [*system.event_topics, *([system.repartition] if system.repartition else [])]
    counts = {topic: partitions_of[topic] for topic in own}
    if len(set(counts.values())) > 1:
        raise WrongCluster(f"all topics of {system.name} must have one partition count, found {counts}")
    inputs = {*system.topics, *system.inputs, *system.looks_into}
    return Cluster(partitions_of, _ids(admin, system.event_topics), _ids(admin, sorted(inputs)))


def _ids(admin: AdminClient, topics: list[str]) -> dict[str, str]:
    if not topics:
        return {}
    described = admin.describe_topics(TopicCollection(topics), request_timeout=CALL_TIMEOUT_S)
    return {name: str(found.result().topic_id) for name, found in described.items()}


def with_routers(system: System, cluster: Cluster) -> list[System]:
    """The system, and a router for each input whose partition count is not the system's.

    Raises WrongCluster: there is such an input, and the system has no repartition topic.
    """
    if not system.event_topics:
        return [system]
    count = cluster.partitions_of[system.event_topics[0]]
    other = frozenset(topic for topic in system.inputs if cluster.partitions_of[topic] != count)
    if other and system.repartition is None:
        raise WrongCluster(
            f"{', '.join(sorted(other))} must have {count} partitions, as {system.event_topics[0]} has"
        )
    routers = [router_of(system, topic) for topic in sorted(other)]
    return [msgspec.structs.replace(system, routed=other), *routers]


class Runner:
    """Systems and their routers, in one process, each in a free slot of a data folder."""

    def __init__(
        self,
        systems: Sequence[System],
        config: dict[str, Any],
        data: Path,
        on_ready: Callable[[bool], None] = lambda ready: None,
        extra_modules: tuple[str, ...] = (),
        session_s: int = SESSION_S,
        fetch_schema: Fetch | None = None,
        stuck_s: float = STUCK_S,
        open_archive: OpenArchive | None = None,
        on_stopped: Callable[[Mapping[str, str]], None] = lambda reasons: None,
        schemas_until: tuple[int, ...] = (),
    ) -> None:
        self._config, self._on_ready, self._open_archive = config, on_ready, open_archive
        self._on_stopped, self._schemas_until = on_stopped, schemas_until
        self._session_s, self._stuck_s = session_s, stuck_s
        self._read = MessageReader(fetch_schema)
        self._extra_modules = set(extra_modules)
        self._ready: dict[str, bool] = {}
        self._stopped: dict[str, Mapping[int, str]] = {}
        self._locks: list[IO[str]] = []  # held for as long as the process lives
        self.broadcasts: list[Broadcast[Any]] = []
        self.processors: list[Processor] = []
        for system in systems:
            self._add(system, data)

    def _add(self, system: System, data: Path) -> None:
        cluster = cluster_of(self._config, system)
        views = {
            name: Broadcast(self._config, view, cluster.partitions_of[view.topic], self._open_archive)
            for name, view in system.views.items()
        }
        self.broadcasts += views.values()
        self.processors += [
            self._processor(part, cluster, data, views) for part in with_routers(system, cluster)
        ]

    def _processor(
        self, system: System, cluster: Cluster, data: Path, views: Mapping[str, Broadcast[Any]]
    ) -> Processor:
        slot, folder, lock = take_slot(data, system.name)
        self._locks.append(lock)
        self._ready[system.name] = False
        states = state_version(system, self._extra_modules)
        logic = logic_version(system, self._extra_modules)

        def place_of(number: int) -> Place:
            return Place(
                self._config,
                folder / str(number),
                cluster.topic_ids if system.aggregates else {},
                cluster.partitions_of,
                logic,
                states,
                STALL_S,
                self._read,
                member=slot,
                open_archive=self._open_archive,
                input_ids=cluster.input_ids,
                schemas_until=self._schemas_until,
            )

        def look_at_cluster() -> None:
            nonlocal cluster
            cluster = cluster_of(self._config, system)

        def tell(ready: bool) -> None:
            self._ready[system.name] = ready
            self._on_ready(all(self._ready.values()))

        def tell_stopped(reasons: Mapping[int, str]) -> None:
            self._stopped[system.name] = reasons
            found = {f"{name}.{n}": why for name, of in self._stopped.items() for n, why in of.items()}
            self._on_stopped(found)

        log.info("starting", system=system.name, slot=slot, logic_version=logic)
        return Processor(
            system,
            self._config,
            folder,
            slot,
            place_of,
            views,
            tell,
            self._session_s,
            self._stuck_s,
            look_at_cluster,
            tell_stopped,
        )

    def run(self) -> None:
        """Works until SIGTERM or SIGINT; ends the process on its own when it may not go on."""
        faulthandler.register(signal.SIGUSR1, all_threads=True)
        for broadcast in self.broadcasts:
            broadcast.start()
        worker = _Worker(
            self._tell_stacks,
            *(processor.app for processor in self.processors),
            loglevel="warning",
            override_logging=False,
            redirect_stdouts=False,
            quiet=True,
        )
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        limit_heaps(HEAPS_MAX)
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        worker.execute_from_commandline()

    def _tell_stacks(self) -> None:
        for processor in self.processors:
            write_lines(processor.describe())
        write_tasks({loop for processor in self.processors for loop in processor.loops()})


class _Worker(faust.Worker):  # type: ignore[misc]
    """Faust's worker, but SIGUSR1 tells no local variables: there may be secrets in them."""

    def __init__(self, tell: Callable[[], None], *apps: Any, **options: Any) -> None:
        self._tell = tell
        super().__init__(*apps, **options)

    def install_signal_handlers(self) -> None:
        faulthandler.unregister(signal.SIGUSR1)  # or the next call would change nothing
        super().install_signal_handlers()
        # Threads first, and without Python's help: the event loop may be what hangs. It is asked next.
        faulthandler.register(signal.SIGUSR1, all_threads=True, chain=True)

    def _on_sigusr1(self) -> None:
        self._tell()


def run_systems(
    systems: Sequence[System],
    config: dict[str, Any],
    data: Path,
    on_ready: Callable[[bool], None] = lambda ready: None,
    **more: Any,
) -> None:
    """Runs systems in one process until it is told to stop. They share nothing but the process: if one may not go
    on, the process ends, and all begin anew.

    `more`: `fetch_schema` finds schemas that other producers registered; `open_archive` opens what keeps the log for
    longer than Kafka does; `schemas_until` are the newest schemas that events are written with; `session_s` is how long
    a silent worker keeps its partitions; `stuck_s` is how long something that must move may stand still before the
    process ends; `on_stopped` hears which partitions are stopped, such as orchestrator.2, and why; `extra_modules`
    count into the versions of state and logic although nothing imports them.
    """
    Runner(systems, config, data, on_ready, **more).run()


def run_system(
    system: System,
    config: dict[str, Any],
    data: Path,
    on_ready: Callable[[bool], None] = lambda ready: None,
    **more: Any,
) -> None:
    """Runs one system: see `run_systems`."""
    run_systems((system,), config, data, on_ready, **more)

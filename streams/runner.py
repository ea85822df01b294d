"""Starts one system as a process: looks at the cluster, takes a slot, runs the processor until it is told to stop."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Protocol

import faust
import structlog
from confluent_kafka import TopicCollection
from confluent_kafka.admin import AdminClient

from neural_hive.streams.kernel.partition import Place
from neural_hive.streams.kernel.processor import Processor
from neural_hive.streams.kernel.system import System
from neural_hive.streams.kernel.versions import code_hash

STALL_S = 30.0
SESSION_S = 10  # after this time without a heartbeat a worker's partitions go to others
CALL_TIMEOUT_S = 30.0
SLOTS_MAX = 256
log = structlog.get_logger()


class WrongCluster(RuntimeError):
    """The cluster's topics are not as this system needs them; the text says which and how."""


class SlotTaken(RuntimeError):
    """Every worker slot of this data folder is in use."""


class Connection(Protocol):
    """What the runner needs of the settings."""

    def kafka_config(self) -> dict[str, Any]:
        """librdkafka settings of the connection: bootstrap.servers and security."""
        ...


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


def cluster_view(config: dict[str, Any], system: System) -> tuple[dict[str, int], dict[str, str]]:
    """Partition counts of all topics, and the topic ids of the system's event topics.

    Raises WrongCluster: a topic is missing, or the system's topics differ in their partition counts.
    """
    admin = AdminClient(dict(config))
    metadata = admin.list_topics(timeout=CALL_TIMEOUT_S).topics
    partitions_of = {name: len(topic.partitions) for name, topic in metadata.items()}
    events = sorted({aggregate.topic for aggregate in system.aggregates})
    needed = [*system.topics, *events]
    missing = [topic for topic in (*needed, "dead.letters") if topic not in partitions_of]
    if missing:
        raise WrongCluster(f"topics are missing: {', '.join(missing)}. Create them with `neural-hive topics`")
    counts = {topic: partitions_of[topic] for topic in needed}
    if len(set(counts.values())) > 1:
        raise WrongCluster(f"all topics of {system.name} must have one partition count, found {counts}")
    described = admin.describe_topics(TopicCollection(events), request_timeout=CALL_TIMEOUT_S)
    return partitions_of, {name: str(future.result().topic_id) for name, future in described.items()}


def make_processor(
    system: System,
    config: dict[str, Any],
    data: Path,
    on_ready: Callable[[bool], None] = lambda ready: None,
    extra_modules: tuple[str, ...] = (),
    session_s: int = SESSION_S,
) -> tuple[Processor, IO[str]]:
    """The processor of a system in a free slot of a data folder, and the lock that holds the slot."""
    slot, folder, lock = take_slot(data, system.name)
    partitions_of, topic_ids = cluster_view(config, system)
    modules = {f.__module__ for a in system.aggregates for f in (a.decide, a.evolve)} | set(extra_modules)
    state_version, logic_version = code_hash(modules), code_hash({*modules, *system.decides})

    def place_of(number: int) -> Place:
        return Place(
            config,
            folder / str(number),
            topic_ids,
            partitions_of,
            logic_version,
            state_version,
            STALL_S,
        )

    log.info("starting", system=system.name, slot=slot, logic_version=logic_version)
    processor = Processor(
        system, config["bootstrap.servers"], folder, slot, place_of, {}, on_ready, session_s
    )
    return processor, lock


def run_system(
    system: System,
    config: dict[str, Any],
    data: Path,
    on_ready: Callable[[bool], None] = lambda ready: None,
    extra_modules: tuple[str, ...] = (),
    session_s: int = SESSION_S,
) -> None:
    """Runs a system until SIGTERM or SIGINT; ends the process on its own when it may not go on.

    `extra_modules` count into the versions of state and logic although nothing imports them. `session_s` is how
    long a silent worker keeps its partitions.
    """
    processor, _lock = make_processor(system, config, data, on_ready, extra_modules, session_s)
    worker = faust.Worker(
        processor.app,
        loglevel="warning",
        override_logging=False,
        redirect_stdouts=False,
        quiet=True,
    )
    worker.execute_from_commandline()

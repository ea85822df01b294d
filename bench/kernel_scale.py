"""One worker of the kernel and two: what does a second process bring?

Who joins a group while its first member works already makes a rebalance of it, and the time of that would be all that
is measured. So the workers wait for their records here: these are written into one transaction, whose commit shows
them all at once to workers that have their partitions.
"""

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Final

from confluent_kafka import ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient

from bench.figures import Figures, Goal, Series, in_turn, ratio
from bench.kernel_contenders import hive
from bench.kernel_worker import READY
from bench.topics import PARTITIONS, Topics, forget, new_topics, show, wait_for, written
from neural_hive.connectors.child import Child

ONE: Final = "one process"
TWO: Final = "two processes"
_PROCESSES: Final = {ONE: 1, TWO: 2}
_READY_MAX_S: Final = 120.0
_ASK_S: Final = 30.0
_LOOK_EVERY_S: Final = 0.5
_SETTLE_S: Final = 3.0  # a heartbeat: the members have heard of the last rebalance
Tell = Callable[[str], None]


class NotReady(RuntimeError):
    """The workers did not come to share the partitions."""


def measure(bootstrap: str, rounds: int, tell: Tell, records: int, keys: int, record_bytes: int) -> Figures:
    """Both, `rounds` times in alternating order, on a broker that is there."""
    found: dict[str, list[float]] = defaultdict(list)
    for number in range(rounds):
        for index in in_turn(len(_PROCESSES), number):
            name = list(_PROCESSES)[index]
            rate = _run(bootstrap, _PROCESSES[name], records, keys, record_bytes)
            found[name].append(rate)
            tell(f"{name}, waiting for the records: {rate:,.0f} events/s")
    series = [Series(name, found[name]) for name in _PROCESSES]
    goals = [Goal("two processes make 1.7 × one", 1.7, ratio(series, TWO, ONE))]
    return Figures("kernel-scale", "Kernel: a second process", "events/s", series, goals)


def _run(bootstrap: str, processes: int, records: int, keys: int, record_bytes: int) -> float:
    topics = new_topics(bootstrap)
    with tempfile.TemporaryDirectory(prefix="bench-run-") as folder:
        children: list[Child] = []
        try:
            for number in range(processes):
                own = Path(folder) / str(number)
                own.mkdir()
                children.append(hive(topics, own))
            _wait_ready(topics, [Path(folder) / str(number) / READY for number in range(processes)])
            show(topics, records, keys, record_bytes)
            wait_for(topics, records)
        finally:
            for child in children:
                child.kill()
    rate = written(topics).rate
    forget(topics)
    return rate


def _wait_ready(topics: Topics, files: list[Path]) -> None:
    """Waits until the workers have been ready, with the same share each, for the time of a heartbeat."""
    admin = AdminClient({"bootstrap.servers": topics.bootstrap, "log_level": 2})
    until, since = time.monotonic() + _READY_MAX_S, float("inf")
    while time.monotonic() - since < _SETTLE_S:
        if not _is_ready(admin, topics, files):
            since = float("inf")
        elif since == float("inf"):
            since = time.monotonic()
        if time.monotonic() > until:
            raise NotReady(f"{len(files)} workers have not shared {topics.source} in {_READY_MAX_S:g} s")
        time.sleep(_LOOK_EVERY_S)


def _is_ready(admin: AdminClient, topics: Topics, files: list[Path]) -> bool:
    """Whether the group has given each worker as many partitions, and all say that theirs are open."""
    try:
        group = admin.describe_consumer_groups([topics.name])[topics.name].result(_ASK_S)
    except (KafkaException, TimeoutError):  # there is no group yet, or the machine is busy with its start
        return False
    shares = [len(member.assignment.topic_partitions) for member in group.members]
    is_shared = shares == [PARTITIONS // len(files)] * len(files)
    return group.state == ConsumerGroupState.STABLE and is_shared and all(file.exists() for file in files)

"""How far each part of the system has come, and how long it takes to go on after it was killed."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Final

import msgspec
from confluent_kafka import Consumer, TopicPartition

from neural_hive.connectors.clickhouse import ClickHouse, ClickHouseError
from neural_hive.connectors.kafka_log import end_offsets
from neural_hive.settings import Settings
from neural_hive.streams.systems import SYSTEMS
from tests.chaos.cluster import AGENTS, REAL_WORKER

LOOK_EVERY_S: Final = 0.2
CALL_TIMEOUT_S: Final = 5.0


class Place(msgspec.Struct, frozen=True):
    """One partition of an input: how far it is done, and where it ends."""

    done: int
    end: int


Places = dict[tuple[str, str, int], Place]
Look = Callable[[], Places]


class Unknown(RuntimeError):
    """Who could say how far it is does not answer now."""


class Group:
    """A consumer group, looked at from outside."""

    def __init__(self, settings: Settings, group: str, topics: list[str]) -> None:
        self._group, self._kafka = group, {**settings.kafka_config(), "log_level": 2}
        self._places = [(topic, n) for topic in topics for n in range(settings.partitions)]
        # Uncommitted: else a transaction that is open would be waited for, instead of what it adds not being told of.
        asking = {"group.id": group, "enable.auto.commit": False, "isolation.level": "read_uncommitted"}
        self._consumer = Consumer({**self._kafka, **asking})

    def __call__(self) -> Places:
        """Raises Unknown."""
        try:
            wanted = [TopicPartition(topic, number) for topic, number in self._places]
            done = {
                (at.topic, at.partition): max(at.offset, 0)
                for at in self._consumer.committed(wanted, CALL_TIMEOUT_S)
            }
            ends = end_offsets(self._kafka, self._places)
        except Exception as error:
            raise Unknown(str(error)) from error
        return {(self._group, *place): Place(done[place], ends[place]) for place in self._places}

    def close(self) -> None:
        """Lets the brokers go."""
        self._consumer.close()


class Rows:
    """What has arrived in ClickHouse's archive; where it ends is not asked: something is always on its way."""

    def __init__(self, settings: Settings) -> None:
        password = settings.password_of(settings.clickhouse_user)
        self._clickhouse = ClickHouse.of(settings, password, timeout_s=CALL_TIMEOUT_S, retry_s=0)

    def __call__(self) -> Places:
        """Raises Unknown."""
        try:
            ((rows,),) = self._clickhouse.rows("SELECT count() FROM events")
        except ClickHouseError as error:
            raise Unknown(str(error)) from error
        return {("archive", "events", 0): Place(int(rows), int(rows) + 1)}

    def close(self) -> None:
        """Lets the server go."""
        self._clickhouse.close()


class Progress:
    """All parts of one system. Not for several threads: each takes one of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._groups: dict[str, Group] = {}
        self._rows: Rows | None = None

    def _group(self, name: str) -> Group:
        if name not in self._groups:
            inputs = list(SYSTEMS[name](self._settings).topics) if name in SYSTEMS else ["execution.tickets"]
            group = name if name in SYSTEMS else f"worker.{name}"
            self._groups[name] = Group(self._settings, group, inputs)
        return self._groups[name]

    def look(self, kind: str, name: str) -> Places:
        """What must go on when a process of a kind was killed. Raises Unknown."""
        if kind in SYSTEMS or name in (*AGENTS, REAL_WORKER):
            return self._group(kind if kind in SYSTEMS else name)()
        if kind in ("projector", "clickhouse"):
            self._rows = self._rows or Rows(self._settings)
            return self._rows()
        started = self._settings.systems  # what is not started commits nothing
        return {place: at for system in started for place, at in self._group(system)().items()}

    def inputs(self) -> int:
        """How many records (and transaction markers) stand in the inputs of all systems. Raises Unknown."""
        places = self.look("broker", "")
        return sum({place[1:]: at.end for place, at in places.items()}.values())

    def behind(self) -> int:
        """How many of them no processor has committed yet. Raises Unknown."""
        return sum(at.end - at.done for at in self.look("broker", "").values())

    def close(self) -> None:
        """Lets brokers and server go."""
        for group in self._groups.values():
            group.close()
        if self._rows is not None:
            self._rows.close()


class Recovered(msgspec.Struct, frozen=True):
    """How long it took until every partition had done something again, and those that had not in time."""

    took_s: float
    still: list[str]


def recovered(look: Look, since: float, before: Places, give_up_s: float) -> Recovered:
    """Waits until something was done, in every partition that has got something to do since, or until it is given up.

    The load goes on; a partition that nothing came to has nothing to recover from.
    """
    then = _done(before)
    still = _named(then)
    while time.monotonic() - since < give_up_s:
        try:
            found = look()
        except Unknown:
            found = before
        now = _done(found)
        came = {
            (group, number)
            for (group, topic, number), at in found.items()
            if at.end > before[group, topic, number].end
        }
        waiting = [place for place, done in then.items() if now[place] <= done]
        still = _named(place for place in waiting if place in came or len(waiting) == len(then))
        if not still:
            break
        time.sleep(LOOK_EVERY_S)
    return Recovered(round(time.monotonic() - since, 1), still)


def _named(places: Iterable[tuple[str, int]]) -> list[str]:
    return sorted(f"{group}:{number}" for group, number in places)


def _done(places: Places) -> dict[tuple[str, int], int]:
    """By group and partition, over its topics."""
    done: dict[tuple[str, int], int] = defaultdict(int)
    for (group, _, partition), place in places.items():
        done[group, partition] += place.done
    return done


def known(look: Look, give_up_s: float) -> Places | None:
    """How far everything is, as soon as somebody says; None: nobody does."""
    until = time.monotonic() + give_up_s
    while time.monotonic() < until:
        try:
            return look()
        except Unknown:
            time.sleep(LOOK_EVERY_S)
    return None

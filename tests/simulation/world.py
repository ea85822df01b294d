"""One run of the real kernel in a simulated world: a seed decides what is published, delivered, delayed and killed.

Everything happens in one thread, so a seed reproduces a run exactly. What is real: aggregates, handlers, the fold,
units of work, transactions as the partition uses them, recovery, timers, the inbox. What is not: Kafka (broker.py),
RocksDB (state.py), Faust and the network, whose faults the world makes itself: batches that come twice, late, or
after their partition has moved; processes that are killed between any two steps, or wake up after they were replaced.
"""

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from neural_hive.schemas.codec import decode, encode_message
from neural_hive.schemas.envelope import Header
from neural_hive.schemas.topics import partition_of
from neural_hive.streams.kernel.broadcast import Snapshot
from neural_hive.streams.kernel.inbox import DEAD_LETTERS
from neural_hive.streams.kernel.partition import Partition, Place
from neural_hive.streams.kernel.partition_log import Fenced, PartitionLog
from neural_hive.streams.kernel.system import System
from neural_hive.streams.kernel.transport import Batch
from tests.simulation.broker import Broker, SimulatedLog, Unanswered
from tests.simulation.state import Disk, MemoryStore
from tests.toy.system import build

PARTITIONS: Final = 2
KEYS: Final = 5
HOUR_US: Final = 3_600_000_000
FAULTS: Final = ("crash", "crash", "crash", "unanswered", "replaced", "time passes")
FIRST_FAULT_MAX: Final = 40  # steps until an armed fault happens
SETTLING_ROUNDS: Final = 400
COMMANDS, RESULTS = "toy.commands", "toy.results"


class Crash(BaseException):
    """The process was killed here."""


class Clock:
    """A process's clocks: the broker's, and what it is off by."""

    def __init__(self, broker: Broker) -> None:
        self._broker, self.off_us = broker, 0

    def now(self) -> int:
        """See kernel.clock.Clock."""
        return self._broker.now + self.off_us

    def elapsed_s(self) -> float:
        """See kernel.clock.Clock."""
        return self._broker.elapsed_us / 1e6

    def sleep(self, seconds: float) -> None:
        """See kernel.clock.Clock."""
        self._broker.pass_time(max(int(seconds * 1e3), 1) * 1_000)


class View:
    """A broadcast view that never changes."""

    def snapshot(self) -> Snapshot[frozenset[str]]:
        """See Broadcast.snapshot."""
        return Snapshot(frozenset(), {}, 0.0)


class Process:
    """A worker: its disk outlives it, its partitions and what it has fetched do not."""

    def __init__(self, name: str, broker: Broker) -> None:
        self.name, self.clock = name, Clock(broker)
        self.disk: Disk = {}
        self.partitions: dict[int, Partition] = {}
        self.opening: set[int] = set()
        self.fetched: dict[int, list[Batch]] = {}
        self.following: dict[tuple[str, int], int] = {}  # where the consumer reads next

    def die(self) -> None:
        """Killed: only the disk is left."""
        self.partitions.clear()
        self.opening.clear()
        self.fetched.clear()
        self.following.clear()


class World:
    """See above. `log_of` and `partition_class` let a test break the kernel on purpose."""

    def __init__(
        self,
        seed: int,
        log_of: type[SimulatedLog] = SimulatedLog,
        partition_class: type[Partition] = Partition,
    ) -> None:
        self.chance = random.Random(seed)
        self.broker = Broker()
        self.system: System = build()
        self.processes = [Process(f"process-{n}", self.broker) for n in range(3)]
        self.sent: dict[str, str] = {}  # message id → counter it raises, or ""
        self.clocks_agree = self.chance.random() < 0.5
        self._log_of, self._partition_class = log_of, partition_class
        self._armed: tuple[int, str] | None = None
        self._counts = dict.fromkeys((*self.system.topics, *self.system.event_topics), PARTITIONS)
        self._counts |= {DEAD_LETTERS: PARTITIONS}
        self._views: dict[str, Any] = {"blocks": View()}

    def run(self, steps: int) -> None:
        """Lets things happen, then lets everything come to rest."""
        for number in range(PARTITIONS):
            self._guarded(self.processes[0], partial(self._open, self.processes[0], number))
        acts: list[tuple[Callable[[], None], int]] = [
            (self._publish, 30),
            (self._work, 60),
            (self._arm, 8),
            (self._kill, 2),
            (self._move, 4),
            (self._deliver_again, 4),
            (self._pass_time, 6),
            (self._hang, 1),
            (self._lose_disk, 1),
        ]
        if not self.clocks_agree:
            acts.append((self._shift_clocks, 3))
        for act in self.chance.choices([a for a, _ in acts], [w for _, w in acts], k=steps):
            act()
        self._come_to_rest()

    # What may happen

    def _publish(self) -> None:
        for _ in range(self.chance.randint(1, 4)):
            topic = self.chance.choice((COMMANDS, RESULTS))
            match self.chance.choices(
                ("add", "twice", "astray", "count down", "bad", "refused"), (20, 3, 2, 2, 1, 1)
            )[0]:
                case "add":
                    self._send(topic, "AddToCounter", self._key(), amount=self.chance.randint(1, 2))
                case "twice":
                    key, amount = self._key(), self.chance.randint(1, 2)
                    message_id = self._send(topic, "AddToCounter", key, amount=amount)
                    self._send(topic, "AddToCounter", key, message_id, amount=amount)
                case "astray":
                    key = self._key()
                    self._send(topic, "AddToCounter", key, at=1 - partition_of(key.encode(), 2), amount=1)
                case "count down":
                    key, delay_ms = f"closing-{self.chance.randrange(3)}", self.chance.randint(0, 20_000)
                    self._send(COMMANDS, "StartCountdown", key, delay_ms=delay_ms)
                    self._send(topic, "AddToCounter", key, amount=1)
                case "bad":
                    place = (topic, self.chance.randrange(PARTITIONS))
                    self.broker.append(place, b"k", self.chance.randbytes(9))
                case _:
                    self._send(topic, "AddToCounter", self._key(), amount=self.chance.choice((-1, 666)))

    def _key(self) -> str:
        return f"counter-{self.chance.randrange(KEYS)}"

    def _send(
        self, topic: str, kind: str, key: str, message_id: str = "", at: int | None = None, **payload: int
    ) -> str:
        message_id = message_id or f"message-{len(self.sent)}"
        self.sent[message_id] = key
        header = Header(message_id, kind, self.broker.now, key, "", "", "", "", "test")
        value = encode_message(header, {"counter_id": key, **payload})
        number = partition_of(key.encode(), PARTITIONS) if at is None else at
        self.broker.append((topic, number), key.encode(), value)
        return message_id

    def _work(self) -> None:
        """A process fetches, or takes a step with what it has fetched."""
        owners = [process for process in self.processes if process.partitions]
        if not owners:
            self._move()
            return
        process = self.chance.choice(owners)
        number = self.chance.choice(list(process.partitions))
        if self.chance.random() < 0.5:
            self._fetch(process, number)
        else:
            count = self.chance.randint(0, 3)
            batches = process.fetched.get(number, [])[:count]
            process.fetched[number] = process.fetched.get(number, [])[count:]
            self._guarded(process, partial(process.partitions[number].step, batches))

    def _fetch(self, process: Process, number: int) -> None:
        for topic in self.system.topics:
            place = (topic, number)
            at = process.following.setdefault(place, process.partitions[number].next[topic])
            batch = self.broker.fetch(place, at, self.chance.randint(1, 10))
            if batch is not None:
                process.fetched.setdefault(number, []).append(batch)
                process.following[place] = batch.next

    def _arm(self) -> None:
        """Something will go wrong at one of the next steps of a call."""
        self._armed = (self.chance.randrange(FIRST_FAULT_MAX), self.chance.choice(FAULTS))

    def _kill(self) -> None:
        self.chance.choice(self.processes).die()

    def _move(self) -> None:
        """The group gives a partition to another process; its old owner may not hear of it."""
        self._replace(self.chance.randrange(PARTITIONS), self.chance.random() < 0.5)

    def _replace(self, number: int, told: bool) -> None:
        owners = [process for process in self.processes if number in process.partitions]
        others = [p for p in self.processes if p not in owners and number not in p.opening]
        if not others:
            return
        if told:
            for process in owners:
                process.partitions.pop(number).close()
                process.fetched.pop(number, None)
        process = self.chance.choice(others)
        self._guarded(process, partial(self._open, process, number))

    def _deliver_again(self) -> None:
        """After a rebalance the consumer stands at the committed offset again, and what was buffered comes too."""
        for process in self.processes:
            for number, partition in process.partitions.items():
                for topic in self.system.topics:
                    if self.chance.random() < 0.3:
                        process.following[topic, number] = self.chance.randint(0, partition.next[topic])

    def _pass_time(self) -> None:
        self.broker.pass_time(self.chance.choice((1, 50, 1_000, 5_000, 12_000)) * 1_000)

    def _hang(self) -> None:
        """A foreign transaction holds the end of a topic, until it is aborted."""
        foreign = f"foreign-{self.chance.randrange(1 << 30)}"
        topic = self.chance.choice((*self.system.event_topics, COMMANDS))
        place = (topic, self.chance.randrange(PARTITIONS))
        self.broker.append(place, b"k", b"aborted", transaction=self.broker.begin(foreign))

    def _lose_disk(self) -> None:
        process = self.chance.choice(self.processes)
        process.die()
        process.disk.clear()

    def _shift_clocks(self) -> None:
        match self.chance.randrange(3):
            case 0:
                self.chance.choice(self.processes).clock.off_us = self.chance.choice((-1, 0, 1)) * HOUR_US
            case 1:
                self.broker.pass_time(HOUR_US)
            case _:
                self.broker.now -= HOUR_US

    # How it is carried out

    def _open(self, process: Process, number: int) -> None:
        open_log: Any = partial(self._log, process)
        place = Place(
            {},
            Path("state") / str(number),
            {topic: f"id-{topic}" for topic in self.system.event_topics},
            self._counts,
            "logic",
            "state",
            30.0,
            partial(decode, kind="message"),
            process.clock,
            lambda folder: MemoryStore(process.disk, folder, partial(self._reached, process, "")),  # type: ignore[arg-type, return-value]
            open_log,
        )
        partition = self._partition_class(self.system, number, place, self._views)
        process.opening.add(number)
        partition.open()
        process.opening.discard(number)
        process.partitions[number] = partition
        for (
            topic
        ) in self.system.topics:  # Faust seeks to the committed offsets, and may have batches buffered
            process.following[topic, number] = partition.next[topic]

    def _log(self, process: Process, group: str, transactional_id: str, number: int) -> PartitionLog:
        reached = partial(self._reached, process, transactional_id)
        return self._log_of(self.broker, group, transactional_id, number, reached)

    def _reached(self, process: Process, transactional_id: str, step: str) -> None:
        if step == "markers" and self.chance.random() < 0.8:
            self.broker.settle(transactional_id)
        if self._armed is None:
            return
        left, fault = self._armed
        self._armed = (left - 1, fault) if left else None
        if left:
            return
        match fault:
            case "unanswered" if transactional_id:
                raise Unanswered(f"no answer at {step}")
            case "replaced" if transactional_id:
                self._replace(int(transactional_id.rpartition(".")[2]), told=False)
            case "time passes":
                self.broker.pass_time(12_000_000)
            case _:
                raise Crash(f"{process.name} at {step}")

    def _guarded(self, process: Process, act: Callable[[], None]) -> None:
        """Carries out what a process does; what would end the process ends it."""
        try:
            act()
        except (Crash, Fenced):
            process.die()

    def _come_to_rest(self) -> None:
        """No more faults: the zombies find out, every partition gets one owner, and all there is to do is done."""
        self._armed = None
        for process in self.processes:
            process.clock.off_us = 0
        for _ in range(20):
            self._work()
        for process in self.processes:
            process.die()
        for number in range(PARTITIONS):
            self._open(self.processes[number], number)
        for _ in range(SETTLING_ROUNDS):
            self.broker.pass_time(60_000_000)
            for number in range(PARTITIONS):
                process = self.processes[number]
                self._fetch(process, number)
                process.partitions[number].step(process.fetched.pop(number, []))
            if self._is_at_rest():
                return
        raise AssertionError("the world does not come to rest")

    def _is_at_rest(self) -> bool:
        for number in range(PARTITIONS):
            partition = self.processes[number].partitions[number]
            if partition.fold.next_due < self.broker.now + HOUR_US:
                return False
            for topic in self.system.topics:
                end = len(self.broker.logs.get((topic, number), []))
                if self.broker.groups.get((self.system.name, topic, number), 0) < end:
                    return False
        return not self.broker.open

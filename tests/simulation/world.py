"""One run of the real kernel in a simulated world: a seed decides what is published, delivered, delayed and killed.

Everything happens in one thread, so a seed reproduces a run exactly. What is real: aggregates, handlers, the fold,
units of work, transactions as the partition uses them, recovery, timers, the inbox. What is not: Kafka (broker.py),
RocksDB (state.py), Faust and the network, whose faults the world makes itself: batches that come twice, late, or
after their partition has moved; processes that are killed between any two steps, or wake up after they were replaced.

Which systems run, what is said to them and by whom, a scenario says (scenario.py).
"""

import random
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from neural_hive.schemas.codec import decode, encode_message
from neural_hive.schemas.envelope import Header
from neural_hive.schemas.topics import partition_of
from neural_hive.streams.kernel.inbox import DEAD_LETTERS
from neural_hive.streams.kernel.partition import Partition, Place
from neural_hive.streams.kernel.partition_log import Fenced, PartitionLog
from neural_hive.streams.kernel.system import System
from neural_hive.streams.kernel.transport import Batch
from tests.simulation.broker import Broker, SimulatedLog, Unanswered
from tests.simulation.scenario import Act, Scenario
from tests.simulation.state import Disk, MemoryStore
from tests.simulation.view import SimulatedView

PARTITIONS: Final = 2
HOUR_US: Final = 3_600_000_000
FAULTS: Final = ("crash", "crash", "crash", "unanswered", "replaced", "time passes")
FIRST_FAULT_MAX: Final = 40  # steps until an armed fault happens
SETTLING_ROUNDS: Final = 2_000
Seat = tuple[str, int]  # a system's name, and one of its partitions


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


class Process:
    """A worker: its disk outlives it, its partitions and what it has fetched do not."""

    def __init__(self, name: str, broker: Broker) -> None:
        self.name, self.clock = name, Clock(broker)
        self.disk: Disk = {}
        self.partitions: dict[Seat, Partition] = {}
        self.opening: set[Seat] = set()
        self.fetched: dict[Seat, list[Batch]] = {}
        self.following: dict[tuple[str, int], int] = {}  # where the consumer reads next
        self.views: dict[str, SimulatedView] = {}

    def die(self) -> None:
        """Killed: only the disk is left."""
        self.partitions.clear()
        self.opening.clear()
        self.fetched.clear()
        self.following.clear()
        for view in self.views.values():
            view.forget()


class World:
    """See above. `log_of` and `partition_class` let a test break the kernel on purpose."""

    def __init__(
        self,
        seed: int,
        scenario: type[Scenario],
        log_of: type[SimulatedLog] = SimulatedLog,
        partition_class: type[Partition] = Partition,
        logic: Mapping[str, str] | None = None,
    ) -> None:
        """`logic`: the versions that the systems' code calls itself, by name; else "logic"."""
        self.chance = random.Random(seed)
        self.broker = Broker()
        self.scenario = scenario(self)
        self.systems: dict[str, System] = {system.name: system for system in self.scenario.systems}
        self.seats: list[Seat] = [(name, n) for n in range(PARTITIONS) for name in self.systems]
        self.processes = [self._process(f"process-{n}") for n in range(3)]
        self.sent: dict[str, str] = {}  # message id → its routing id
        self.clocks_agree = self.chance.random() < 0.5
        self.broker_was_set_back = False
        self._log_of, self._partition_class, self._logic = log_of, partition_class, logic or {}
        self._armed: tuple[int, str] | None = None
        topics = (t for system in self.systems.values() for t in (*system.topics, *system.event_topics))
        self._counts = dict.fromkeys((*topics, *self.scenario.outputs, DEAD_LETTERS), PARTITIONS)

    def _process(self, name: str) -> Process:
        process = Process(name, self.broker)
        process.views = {
            of: SimulatedView(view, self.broker, PARTITIONS, self.chance)
            for system in self.systems.values()
            for of, view in system.views.items()
        }
        return process

    def run(self, steps: int) -> None:
        """Lets things happen, then lets everything come to rest."""
        for seat in self.seats:
            self._guarded(self.processes[0], partial(self._open, self.processes[0], seat))
        acts: list[tuple[Act, int]] = [
            *self.scenario.acts(),
            (self._work, 30 * (1 + len(self.systems))),
            (self._arm, 8),
            (self._kill, 2),
            (self._move, 4),
            (self._deliver_again, 4),
            (self._pass_time, 6),
            (self._hang, 1),
            (self._lose_disk, 1),
        ]
        if not self.clocks_agree:
            acts.append((self._shift_clocks, self.scenario.clock_shifts))
        for act in self.chance.choices([a for a, _ in acts], [w for _, w in acts], k=steps):
            act()
        self._come_to_rest()

    def send(
        self,
        topic: str,
        kind: str,
        key: str,
        payload: dict[str, Any],
        message_id: str = "",
        at: int | None = None,
    ) -> str:
        """Writes a message to an input, to its key's partition or another; gives its id."""
        message_id = message_id or f"message-{len(self.sent)}"
        self.sent[message_id] = key
        header = Header(message_id, kind, self.broker.now, key, "", "", "", "", "test")
        number = partition_of(key.encode(), PARTITIONS) if at is None else at
        self.broker.append((topic, number), key.encode(), encode_message(header, payload))
        return message_id

    # What may happen

    def _work(self) -> None:
        """A process fetches, or takes a step with what it has fetched."""
        owners = [process for process in self.processes if process.partitions]
        if not owners:
            self._move()
            return
        process = self.chance.choice(owners)
        seat = self.chance.choice(list(process.partitions))
        if self.chance.random() < 0.5:
            self._fetch(process, seat)
        else:
            count = self.chance.randint(0, 3)
            batches = process.fetched.get(seat, [])[:count]
            process.fetched[seat] = process.fetched.get(seat, [])[count:]
            self._guarded(process, partial(process.partitions[seat].step, batches))

    def _fetch(self, process: Process, seat: Seat) -> bool:
        found = False
        for topic in self.systems[seat[0]].topics:
            place = (topic, seat[1])
            at = process.following.setdefault(place, process.partitions[seat].next[topic])
            batch = self.broker.fetch(place, at, self.chance.randint(1, 10))
            if batch is not None:
                process.fetched.setdefault(seat, []).append(batch)
                process.following[place] = batch.next
                found = True
        return found

    def _arm(self) -> None:
        """Something will go wrong at one of the next steps of a call."""
        self._armed = (self.chance.randrange(FIRST_FAULT_MAX), self.chance.choice(FAULTS))

    def _kill(self) -> None:
        self.chance.choice(self.processes).die()

    def _move(self) -> None:
        """The group gives a partition to another process; its old owner may not hear of it."""
        self._replace(self.chance.choice(self.seats), self.chance.random() < 0.5)

    def _replace(self, seat: Seat, told: bool) -> None:
        owners = [process for process in self.processes if seat in process.partitions]
        others = [p for p in self.processes if p not in owners and seat not in p.opening]
        if not others:
            return
        if told:
            for process in owners:
                process.partitions.pop(seat).close()
                process.fetched.pop(seat, None)
        process = self.chance.choice(others)
        self._guarded(process, partial(self._open, process, seat))

    def _deliver_again(self) -> None:
        """After a rebalance the consumer stands at the committed offset again, and what was buffered comes too."""
        for process in self.processes:
            for (name, number), partition in process.partitions.items():
                for topic in self.systems[name].topics:
                    if self.chance.random() < 0.3:
                        process.following[topic, number] = self.chance.randint(0, partition.next[topic])

    def _pass_time(self) -> None:
        self.broker.pass_time(self.chance.choice((1, 50, 1_000, 5_000, 12_000)) * 1_000)

    def _hang(self) -> None:
        """A foreign transaction holds the end of a topic, until it is aborted."""
        foreign = f"foreign-{self.chance.randrange(1 << 30)}"
        system = self.chance.choice(list(self.systems.values()))
        topic = self.chance.choice((*system.event_topics, system.topics[0]))
        place = (topic, self.chance.randrange(PARTITIONS))
        self.broker.append(place, b"k", b"aborted", transaction=self.broker.begin(foreign))

    def _lose_disk(self) -> None:
        process = self.chance.choice(self.processes)
        process.die()
        process.disk.clear()

    def _shift_clocks(self) -> None:
        match self.chance.choices(("of a process", "all", "the broker's, back"), (6, 1, 1))[0]:
            case "of a process":
                self.chance.choice(self.processes).clock.off_us = self.chance.choice((-1, 0, 1, 1)) * HOUR_US
            case "all":
                self.broker.pass_time(HOUR_US)
            case _:
                self.broker.now -= HOUR_US
                self.broker_was_set_back = True

    # How it is carried out

    def _open(self, process: Process, seat: Seat) -> None:
        open_log: Any = partial(self._log, process)
        name, number = seat
        system = self.systems[name]
        place = Place(
            {},
            Path("state") / name / str(number),
            {topic: f"id-{topic}" for topic in system.event_topics},
            self._counts,
            self._logic.get(name, "logic"),
            "state",
            30.0,
            partial(decode, kind="message"),
            process.clock,
            lambda folder: MemoryStore(process.disk, folder, partial(self._reached, process, "")),  # type: ignore[arg-type, return-value]
            open_log,
        )
        views: Any = process.views
        partition = self._partition_class(system, number, place, views)
        process.opening.add(seat)
        partition.open()
        process.opening.discard(seat)
        process.partitions[seat] = partition
        for topic in system.topics:  # Faust seeks to the committed offsets, and may have batches buffered
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
                name, _, number = transactional_id.rpartition(".")
                self._replace((name, int(number)), told=False)
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
        for seat in self.seats:
            self._open(self.owner(seat), seat)
        for _ in range(SETTLING_ROUNDS):
            self.broker.pass_time(self.scenario.rest())
            for seat in self.seats:
                process = self.owner(seat)
                self._fetch(process, seat)
                process.partitions[seat].step(process.fetched.pop(seat, []))
            if self._is_at_rest():
                return
        raise AssertionError("the world does not come to rest")

    def owner(self, seat: Seat) -> Process:
        """Who has a partition at the end."""
        return self.processes[seat[1]]

    def _is_at_rest(self) -> bool:
        for seat in self.seats:
            (name, number), partition = seat, self.owner(seat).partitions[seat]
            if partition.fold.next_due < self.broker.now + HOUR_US:
                return False
            for topic in self.systems[name].topics:
                end = len(self.broker.logs.get((topic, number), []))
                if self.broker.groups.get((name, topic, number), 0) < end:
                    return False
        return not self.broker.open and self.scenario.is_over()

"""Runs a system as a Faust app: Faust keeps the membership and brings batches, one task per partition works on them.

An agent of Faust only puts batches into a queue: Faust restarts a failed agent with the *next* batch and may cancel
it in a rebalance, so a transaction must not live there.
"""

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import faust
import structlog
import yarl
from confluent_kafka import KafkaException
from faust.types import TP

from neural_hive.connectors.disk import says_full
from neural_hive.connectors.kafka_log import UnreadableLog, end_offsets
from neural_hive.streams.kernel.broadcast import Broadcast
from neural_hive.streams.kernel.credentials import faust_credentials
from neural_hive.streams.kernel.no_tables import NoTables
from neural_hive.streams.kernel.partition import Fenced, Partition, Place
from neural_hive.streams.kernel.rocks import DiskFull
from neural_hive.streams.kernel.stable_ends import StableEnds
from neural_hive.streams.kernel.stacks import write_lines, write_tasks, write_threads
from neural_hive.streams.kernel.state_folders import state_bytes
from neural_hive.streams.kernel.stopped import CONTAINED, StoppedPartitions
from neural_hive.streams.kernel.system import System
from neural_hive.streams.kernel.transport import Batch, BatchTransport
from neural_hive.streams.kernel.watchdog import Marks, Watchdog

QUEUED_RECORDS_MAX = 20_000  # per partition; above it the partition is not fetched
QUEUED_BYTES_MAX = 16 << 20
FETCH_RECORDS_MAX = 5_000
WATCH_EVERY_S = 1.0
STILL_MAX_S = 120.0
GATHER_RATE = (
    1_000.0  # records/s of a partition from which on inputs come together for as long as the system allows
)
GATHER_LEAST_S = 0.1  # in which what came says how much comes
AGAIN_FIRST_S = 0.1  # after which a partition that waits for the schema registry tries again
AGAIN_MAX_S = 5.0
STUCK_S = 90.0  # longer than any single wait for the broker
BEHIND_PART = 0.5  # of that time, for a partition with nothing in hand: it waits for no single answer
EXIT_FENCED = 13  # another process has the partition: start anew
EXIT_STUCK = 15  # something that must move stood still, and the stacks say where: start anew
EXIT_DISK_FULL = 16  # no room for the state: start anew until there is
log = structlog.get_logger()


class Slot:
    """The task of one partition, with the batches that wait for it."""

    def __init__(self, partition: Partition, hold: Callable[[int, bool], None]) -> None:
        self.partition = partition
        self._hold = hold
        self._queue: deque[Batch] = deque()
        self._queued_records = 0
        self._queued_bytes = 0
        self._arrived = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._waiting = False
        self._lacking = False  # waits for the schema registry
        self._steps = 0
        self._rate = 0.0  # records/s, of late
        self._taken_at = time.monotonic()

    def mark(self) -> Hashable | None:
        """Changes with each piece of work. None: no step need end now, for nothing runs or the state is recovered."""
        if self._task is None or self._task.done() or self.partition.opening:
            return None
        return (self._steps, self.partition.commits)

    def waits(self) -> bool:
        """True while all that was handed over is done."""
        return self._waiting and not self._queue

    def describe(self) -> str:
        """Where the partition stands, for people."""
        doing = "is at work" if self._task is not None else "is stopped"
        if self.waits() or self._lacking:
            doing = "waits for the schema registry" if self._lacking else "waits for inputs"
        return (
            f"{self.partition.name} {doing}: {self._steps} steps, {self._queued_records} records queued, "
            f"next offsets {self.partition.next}"
        )

    def offer(self, batch: Batch) -> None:
        """Takes a batch without waiting; holds the partition when enough waits already."""
        self._queue.append(batch)
        self._queued_records += len(batch.records)
        self._queued_bytes += batch.size_bytes
        self.partition.messages.queued.set(self._queued_records)
        if self._is_full():
            self._hold(self.partition.number, True)
        self._arrived.set()

    def _is_full(self) -> bool:
        return self._queued_records > QUEUED_RECORDS_MAX or self._queued_bytes > QUEUED_BYTES_MAX

    def start(self, pool: ThreadPoolExecutor, fail: Callable[[BaseException], None]) -> None:
        """Begins to work."""
        self._stopping.clear()
        self._task = asyncio.get_running_loop().create_task(self._run(pool, fail))

    async def stop(self) -> None:
        """Finishes the batch in flight and forgets the rest: it will be fetched again."""
        self._stopping.set()
        self._arrived.set()
        if self._task is not None:
            await self._task
            self._task = None
        self._forget()

    async def _run(self, pool: ThreadPoolExecutor, fail: Callable[[BaseException], None]) -> None:
        loop = asyncio.get_running_loop()
        try:
            while not self._stopping.is_set():
                batches, again_s = await self._next(), AGAIN_FIRST_S
                while not self._stopping.is_set():
                    self._lacking = not await loop.run_in_executor(pool, self.partition.step, batches)
                    self._steps += 1
                    if not self._lacking:
                        break
                    await self._rest(again_s)
                    again_s = min(2 * again_s, AGAIN_MAX_S)
        except asyncio.CancelledError:
            return  # Faust is stopping; a transaction in flight ends in its thread
        except BaseException as error:
            self._forget()
            fail(error)

    async def _rest(self, seconds: float) -> None:
        """Waits, unless the partition is to stop: what it could not do will be fetched again."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    async def _next(self) -> list[Batch]:
        if not self._queue:
            self._arrived.clear()
            self._waiting = True
            try:
                await asyncio.wait_for(self._arrived.wait(), self.partition.wait_s())
            except TimeoutError:
                return []
            finally:
                self._waiting = False
        await self._gather()
        taken = merged(self._queue)
        self._forget()
        self._hold(self.partition.number, False)
        return taken

    async def _gather(self) -> None:
        """Lets more come, if many do: what a system sums up in a transaction costs less in a large one."""
        gather_s = self.partition.system.gather_s * min(self._rate / GATHER_RATE, 1.0)
        until = time.monotonic() + gather_s
        while (left_s := until - time.monotonic()) > 0 and not (self._is_full() or self._stopping.is_set()):
            self._arrived.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), left_s)
        now = time.monotonic()
        self._rate, self._taken_at = self._queued_records / max(now - self._taken_at, GATHER_LEAST_S), now

    def _forget(self) -> None:
        self._queue.clear()
        self._queued_records = self._queued_bytes = 0
        self.partition.messages.queued.set(0)


def merged(batches: deque[Batch]) -> list[Batch]:
    """Neighbouring batches of one topic as one: fewer transactions when much waits."""
    found: dict[str, list[Batch]] = {}
    for batch in batches:
        runs = found.setdefault(batch.topic, [])
        if runs and runs[-1].next == batch.first:
            last = runs.pop()
            batch = Batch(
                batch.topic,
                batch.partition,
                last.first,
                batch.next,
                last.records + batch.records,
                last.size_bytes + batch.size_bytes,
            )
        runs.append(batch)
    return [batch for runs in found.values() for batch in runs]


class Processor:
    """A system at work: partitions come and go with the group's assignment."""

    def __init__(
        self,
        system: System,
        config: Mapping[str, Any],
        folder: Path,
        slot: str,
        place_of: Callable[[int], Place],
        views: Mapping[str, Broadcast[Any]],
        on_ready: Callable[[bool], None] = lambda ready: None,
        session_s: int = 10,
        stuck_s: float = STUCK_S,
        look_at_cluster: Callable[[], None] = lambda: None,
        on_stopped: Callable[[Mapping[int, str]], None] = lambda reasons: None,
    ) -> None:
        """`look_at_cluster`: what `place_of` says of topics shall be as it is now. `on_stopped` hears which partitions
        are stopped, and why."""
        self.system = system
        self.beats = 0  # of the event loop
        self._config, self._stuck_s = config, stuck_s
        self.slots: dict[int, Slot] = {}
        self._place_of, self._views, self._on_ready = place_of, views, on_ready
        self._pool = ThreadPoolExecutor(max_workers=64, thread_name_prefix=system.name)
        self._opening = asyncio.Lock()
        self._is_outdated = False  # the assignment: the next one has not come yet
        self._look_at_cluster = look_at_cluster
        self.stopped = StoppedPartitions(config, self._pool, self._go_on, on_stopped)
        self.app = self._new_app(config, folder, slot, session_s)

    def _new_app(self, config: Mapping[str, Any], folder: Path, slot: str, session_s: int) -> faust.App:
        brokers = [yarl.URL(f"kafka://{address}") for address in config["bootstrap.servers"].split(",")]
        app = faust.App(
            self.system.name,
            broker=brokers,
            broker_credentials=faust_credentials(config),
            store="memory://",
            datadir=str(folder / "faust"),
            value_serializer="raw",
            key_serializer="raw",
            web_enabled=False,
            topic_disable_leader=True,
            topic_allow_declare=False,
            consumer_group_instance_id=slot,
            broker_session_timeout=session_s,
            broker_heartbeat_interval=session_s / 3.3,
            broker_request_timeout=max(30, session_s + 5),  # Faust wants it to be longer than the session
            broker_max_poll_interval=3600,
            broker_max_poll_records=FETCH_RECORDS_MAX,
            consumer_max_fetch_size=4 << 20,
            consumer_metadata_max_age_ms=30_000,
            stream_buffer_maxsize=1_000,
            stream_wait_empty=False,
            stream_recovery_delay=0,
            TableManager=NoTables,
        )
        app.transport = BatchTransport(brokers, app, loop=app.loop)
        app.transport.on_expelled = lambda why: self._fail(Fenced(why))
        app.on_partitions_revoked.connect(self._revoked)
        app.on_rebalance_complete.connect(self._assigned)
        app.on_before_shutdown.connect(self._shut_down)
        # acks=False: Faust commits nothing, offsets are committed in the transactions.
        topic = app.topic(*self.system.topics, key_type=bytes, value_type=bytes, acks=False)
        app.agent(topic, name=f"{self.system.name}.batches")(self._take)
        app.task(self._watch)
        return app

    async def _take(self, stream: Any) -> None:
        async for batch in stream:
            slot = self.slots.get(batch.partition)
            if slot is not None:  # else: fetched before a rebalance took the partition away
                slot.offer(batch)

    async def _watch(self) -> None:
        """Ends the process when nothing flows any more: Faust's recovery can end in silence, for instance when a
        seek times out, and would leave its partitions assigned and still."""
        name, stuck_s = self.system.name, self._stuck_s
        watchers: list[Watchdog | StableEnds] = [
            self._watchdog("work", stuck_s, self._work_marks),
            self._watchdog("inputs", stuck_s * BEHIND_PART, self._input_marks),
            StableEnds(name, self._config, self._event_places, self._input_positions, self._weigh_states),
        ]
        for watcher in watchers:
            watcher.start()
        still_since: float | None = None
        try:
            while not self.app.should_stop:
                await asyncio.sleep(WATCH_EVERY_S)
                self.beats += 1
                if self.app.consumer.flow_active and not self._is_outdated:
                    still_since = None
                    continue
                still_since = still_since or time.monotonic()
                if self.slots and time.monotonic() - still_since > STILL_MAX_S:
                    self._fail(Fenced(f"nothing was fetched for {STILL_MAX_S:g} s after a rebalance"))
        finally:
            for watcher in watchers:
                watcher.stop()

    def _watchdog(self, what: str, stuck_s: float, marks: Marks) -> Watchdog:
        return Watchdog(f"{self.system.name}-{what}", stuck_s, marks, partial(self._stuck, stuck_s))

    def _work_marks(self) -> dict[str, Hashable | None]:
        """What moves all the time: an idle partition takes a step without inputs every second."""
        slots = list(self.slots.values())
        return {"the event loop": self.beats, **{slot.partition.name: slot.mark() for slot in slots}}

    def _input_marks(self) -> dict[str, Hashable | None]:
        """Positions that are behind the log although nothing is in hand: they must move soon."""
        waiting = [slot.partition for slot in list(self.slots.values()) if slot.waits()]
        try:
            places = [(topic, partition.number) for partition in waiting for topic in partition.next]
            ends = end_offsets(self._config, places, "read_committed") if places else {}
        except (KafkaException, UnreadableLog):
            return {}  # who cannot ask cannot fetch either
        return {
            f"{topic}:{partition.number} at offset {at}": at
            for partition in waiting
            for topic, at in list(partition.next.items())
            if at < ends[topic, partition.number]
        }

    def _event_places(self) -> list[tuple[str, int]]:
        return [
            (topic, number) for topic in self.system.event_topics for number in [*self.slots, *self.stopped]
        ]

    def _input_positions(self) -> dict[tuple[str, int], int]:
        """A stopped partition's too: its lag grows, and should be seen to."""
        partitions = [*(slot.partition for slot in list(self.slots.values())), *self.stopped.partitions()]
        return {(topic, p.number): at for p in partitions for topic, at in list(p.next.items())}

    def _weigh_states(self) -> None:
        for slot in list(self.slots.values()):
            partition = slot.partition
            partition.messages.state_bytes.set(
                state_bytes(partition.place.folder / partition.place.state_version)
            )

    def _stuck(self, for_s: float, what: str) -> None:
        """Ends the process, with the stacks that say why. The log has all that counts, so nothing is lost."""
        try:
            write_threads()
            write_lines(self.describe())
            write_tasks(self.loops())
            log.critical("stuck", system=self.system.name, what=what, for_s=for_s)
        finally:
            os._exit(EXIT_STUCK)

    def describe(self) -> Iterator[str]:
        """Where the processor and each of its partitions stand, for people."""
        consumer = self.app.consumer
        flow = "flows" if consumer.flow_active else "is suspended"
        held = sorted({tp.partition for tp in consumer.held})
        yield f"{self.system.name} {flow}; partitions held back: {held}"
        yield from (slot.describe() for slot in list(self.slots.values()))
        for number, why in self.stopped.reasons().items():
            yield f"{self.system.name}.{number} is stopped: {why}"

    def loops(self) -> list[asyncio.AbstractEventLoop]:
        """The event loops that its tasks are in."""
        thread = getattr(self.app.consumer, "_thread", None)  # Kafka's membership and fetches have their own
        return [loop for loop in (self.app.loop, getattr(thread, "thread_loop", None)) if loop is not None]

    def _hold(self, partition: int, hold: bool) -> None:
        tps = {TP(topic, partition) for topic in self.system.topics}
        held = self.app.consumer.held
        held.update(tps) if hold else held.difference_update(tps)

    async def _revoked(self, app: Any, revoked: set[TP], **_: Any) -> None:
        """In every rebalance, for kept partitions too: finish what is in flight before Faust seeks."""
        self._on_ready(False)
        await asyncio.gather(*(slot.stop() for slot in self.slots.values()))

    async def _shut_down(self, app: Any, **_: Any) -> None:
        self._on_ready(False)
        await asyncio.gather(*(slot.stop() for slot in self.slots.values()))
        for slot in self.slots.values():
            slot.partition.close()
        self.slots.clear()
        for number in self.stopped:
            self.stopped.forget(number)

    async def _assigned(self, app: Any, **_: Any) -> None:
        """Opens what is new, closes what is gone, before Faust seeks to the committed offsets and goes on."""
        await asyncio.shield(asyncio.ensure_future(self._reassign()))

    async def _reassign(self) -> None:
        async with self._opening:
            self._is_outdated = False
            rebalance = self.app.rebalancing_count
            assigned = {
                tp.partition for tp in self.app.consumer.assignment() if tp.topic in self.system.topics
            }
            await asyncio.gather(*(slot.stop() for slot in self.slots.values()))
            for gone in set(self.slots) - assigned:
                self.slots.pop(gone).partition.close()
            for gone in set(self.stopped) - assigned:
                self.stopped.forget(gone)
            missing = assigned - set(self.slots) - set(self.stopped)
            try:
                new = await asyncio.gather(*(self._open(number, rebalance) for number in sorted(missing)))
            except BaseException as error:
                self._fail(error)
                return
            for partition in new:
                if partition is not None:
                    self.slots[partition.number] = Slot(partition, self._hold)
            self._is_outdated = self.app.rebalancing_count != rebalance
            if self._is_outdated:
                # The next assignment is on its way: it starts what stays, and closes what goes. Faust goes on with
                # this one until then, and must not bring what nobody takes.
                for number in assigned:
                    self._hold(number, True)
                return
            for slot in self.slots.values():
                self._start(slot)
            self.app.consumer.held.clear()
            for number in self.stopped:
                self._hold(number, True)
            stopped = {"stopped": sorted(self.stopped)} if set(self.stopped) else {}
            log.info("assigned", system=self.system.name, partitions=sorted(self.slots), **stopped)
            self._on_ready(True)

    async def _open(self, number: int, rebalance: int) -> Partition | None:
        """None: it may not go on, or the group took it away while it opened, and its next owner was faster."""
        await self.stopped.settled(number)
        partition = self._new_partition(number)
        try:
            await asyncio.get_running_loop().run_in_executor(self._pool, partition.open)
        except CONTAINED as error:
            self.stopped.add(partition, error)
            return None
        except Fenced as error:
            if self.app.rebalancing_count == rebalance:
                raise
            partition.close()
            log.info("given up while it opened", partition=partition.name, why=str(error))
            return None
        return partition

    def _new_partition(self, number: int) -> Partition:
        return Partition(self.system, number, self._place_of(number), self._views)

    def _start(self, slot: Slot) -> None:
        slot.start(self._pool, partial(self._failed, slot))

    def _failed(self, slot: Slot, error: BaseException) -> None:
        if not isinstance(error, CONTAINED):
            self._fail(error)
        number = slot.partition.number
        self._hold(number, True)
        if self.slots.get(number) is slot:
            del self.slots[number]
            self.stopped.add(slot.partition, error)

    async def _go_on(self, partition: Partition) -> None:
        """Opens a stopped partition again, if it may go on. Raises what stops it still."""
        loop, rebalance = asyncio.get_running_loop(), self.app.rebalancing_count
        number = partition.number
        try:
            await loop.run_in_executor(self._pool, self._open_again, partition)
            # Not to be waited for: whoever has the lock may wait until nothing is done about this partition.
            if not self._opening.locked():
                async with self._opening:
                    await self._seek(partition)
                    if self._is_still_ours(number, rebalance):
                        self.stopped.forget(number)
                        self.slots[number] = Slot(partition, self._hold)
                        self._start(self.slots[number])
                        self._hold(number, False)
                        log.info("partition goes on", partition=partition.name)
                        return
        except Fenced as error:
            if self._is_still_ours(number, rebalance):
                self._fail(error)
        except BaseException:
            await loop.run_in_executor(self._pool, partition.close)
            raise
        await loop.run_in_executor(self._pool, partition.close)

    def _is_still_ours(self, number: int, rebalance: int) -> bool:
        """Whether the group has not shared its partitions out anew since a rebalance."""
        same = self.app.rebalancing_count == rebalance and not self.app.rebalancing
        return same and number in self.stopped

    def _open_again(self, partition: Partition) -> None:
        self._look_at_cluster()  # its topics may have been made anew
        partition.place = self._place_of(partition.number)
        partition.open()

    async def _seek(self, partition: Partition) -> None:
        """What was fetched before it stopped was thrown away."""
        places = {TP(topic, partition.number): offset for topic, offset in partition.next.items()}
        await self.app.consumer.seek_wait(places)

    def _fail(self, error: BaseException) -> NoReturn:
        """Nothing is skipped: the process ends, and what it did not commit is done again from the log."""
        full = isinstance(error, DiskFull) or says_full(error)
        try:
            log.critical(
                "stopped",
                system=self.system.name,
                why=f"{type(error).__name__}: {error}",
                exc_info=None if full or isinstance(error, Fenced) else error,
            )
        finally:  # where what is logged goes to the full disk too
            os._exit(EXIT_DISK_FULL if full else EXIT_FENCED)

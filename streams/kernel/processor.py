"""Runs a system as a Faust app: Faust keeps the membership and brings batches, one task per partition works on them.

An agent of Faust only puts batches into a queue: Faust restarts a failed agent with the *next* batch and may cancel
it in a rebalance, so a transaction must not live there.
"""

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import faust
import structlog
import yarl
from faust.types import TP

from neural_hive.connectors.kafka_log import StalledLog
from neural_hive.streams.kernel.broadcast import Broadcast
from neural_hive.streams.kernel.credentials import faust_credentials
from neural_hive.streams.kernel.partition import Fenced, Partition, Place
from neural_hive.streams.kernel.recovery import BrokenLog
from neural_hive.streams.kernel.system import System
from neural_hive.streams.kernel.transport import Batch, BatchTransport

QUEUED_RECORDS_MAX = 20_000  # per partition; above it the partition is not fetched
QUEUED_BYTES_MAX = 64 << 20
FETCH_RECORDS_MAX = 5_000
WATCH_EVERY_S = 5.0
STILL_MAX_S = 120.0
EXIT_FENCED = 13  # another process has the partition: start anew
EXIT_BROKEN = 14  # the log is not what it should be: look before you start again
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
        self._stopping = False

    def offer(self, batch: Batch) -> None:
        """Takes a batch without waiting; holds the partition when enough waits already."""
        self._queue.append(batch)
        self._queued_records += len(batch.records)
        self._queued_bytes += batch.size_bytes
        if self._queued_records > QUEUED_RECORDS_MAX or self._queued_bytes > QUEUED_BYTES_MAX:
            self._hold(self.partition.number, True)
        self._arrived.set()

    def start(self, pool: ThreadPoolExecutor, fail: Callable[[BaseException], None]) -> None:
        """Begins to work."""
        self._stopping = False
        self._task = asyncio.get_running_loop().create_task(self._run(pool, fail))

    async def stop(self) -> None:
        """Finishes the batch in flight and forgets the rest: it will be fetched again."""
        self._stopping = True
        self._arrived.set()
        if self._task is not None:
            await self._task
            self._task = None
        self._forget()

    async def _run(self, pool: ThreadPoolExecutor, fail: Callable[[BaseException], None]) -> None:
        loop = asyncio.get_running_loop()
        try:
            while not self._stopping:
                batches = await self._next()
                if not self._stopping:
                    await loop.run_in_executor(pool, self.partition.step, batches)
        except asyncio.CancelledError:
            return  # Faust is stopping; a transaction in flight ends in its thread
        except BaseException as error:
            fail(error)

    async def _next(self) -> list[Batch]:
        if not self._queue:
            self._arrived.clear()
            try:
                await asyncio.wait_for(self._arrived.wait(), self.partition.wait_s())
            except TimeoutError:
                return []
        taken = merged(self._queue)
        self._forget()
        self._hold(self.partition.number, False)
        return taken

    def _forget(self) -> None:
        self._queue.clear()
        self._queued_records = self._queued_bytes = 0


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
    ) -> None:
        self.system = system
        self.slots: dict[int, Slot] = {}
        self._place_of, self._views, self._on_ready = place_of, views, on_ready
        self._pool = ThreadPoolExecutor(max_workers=64, thread_name_prefix=system.name)
        self._opening = asyncio.Lock()
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
            broker_request_timeout=30,
            broker_max_poll_interval=3600,
            broker_max_poll_records=FETCH_RECORDS_MAX,
            consumer_max_fetch_size=4 << 20,
            consumer_metadata_max_age_ms=30_000,
            stream_buffer_maxsize=1_000,
            stream_wait_empty=False,
            stream_recovery_delay=0,
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
        still_since: float | None = None
        while not self.app.should_stop:
            await asyncio.sleep(WATCH_EVERY_S)
            if self.app.consumer.flow_active:
                still_since = None
                continue
            still_since = still_since or time.monotonic()
            if self.slots and time.monotonic() - still_since > STILL_MAX_S:
                self._fail(Fenced(f"nothing was fetched for {STILL_MAX_S:g} s after a rebalance"))

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

    async def _assigned(self, app: Any, **_: Any) -> None:
        """Opens what is new, closes what is gone, before Faust seeks to the committed offsets and goes on."""
        await asyncio.shield(asyncio.ensure_future(self._reassign()))

    async def _reassign(self) -> None:
        async with self._opening:
            assigned = {
                tp.partition for tp in self.app.consumer.assignment() if tp.topic in self.system.topics
            }
            await asyncio.gather(*(slot.stop() for slot in self.slots.values()))
            for gone in set(self.slots) - assigned:
                self.slots.pop(gone).partition.close()
            loop = asyncio.get_running_loop()
            try:
                new = [self._new_partition(number) for number in sorted(assigned - set(self.slots))]
                await asyncio.gather(*(loop.run_in_executor(self._pool, partition.open) for partition in new))
            except BaseException as error:
                self._fail(error)
                return
            for partition in new:
                self.slots[partition.number] = Slot(partition, self._hold)
            for slot in self.slots.values():
                slot.start(self._pool, self._fail)
            self.app.consumer.held.clear()
            log.info("assigned", system=self.system.name, partitions=sorted(self.slots))
            self._on_ready(True)

    def _new_partition(self, number: int) -> Partition:
        return Partition(self.system, number, self._place_of(number), self._views)

    def _fail(self, error: BaseException) -> None:
        """Nothing is skipped: the process ends, and what it did not commit is done again from the log."""
        broken = isinstance(error, (BrokenLog, StalledLog))
        log.critical(
            "stopped",
            system=self.system.name,
            why=f"{type(error).__name__}: {error}",
            exc_info=None if broken or isinstance(error, Fenced) else error,
        )
        os._exit(EXIT_BROKEN if broken else EXIT_FENCED)

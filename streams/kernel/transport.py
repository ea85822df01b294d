"""A Faust transport that hands an agent whole partition batches, and nothing that is not committed.

Faust's own path costs 50 µs a record (four tasks and eleven callbacks each). Here one Faust message is one fetched
batch of one partition: [first, next), with the records in it. A batch without records says that the position passed
transaction markers or aborted records only: timers and lag need to know.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import aiokafka
import aiokafka.consumer.subscription_state as subscription_state
import faust.transport.drivers.aiokafka as driver
import msgspec
from faust.types import TP, ConsumerMessage

from neural_hive.connectors.kafka_log import Record
from neural_hive.streams.kernel.unpacking import Fetched

FETCH_WAIT_MS = 500  # how long the broker may hold an empty fetch
MARKER_WAIT_S = 0.2  # how late a position that passed only transaction markers is told
HELD_WAIT_S = 0.005
BATCH_RECORDS = 5_000  # of what did not come by a fetch
BATCH_BYTES = 8 << 20


class Batch(msgspec.Struct, frozen=True):
    """What one fetch brought of one partition: all committed records with first ≤ offset < next.

    Where Kafka has deleted what follows the batch before, `first` is where it goes on: there may be no record at all.
    """

    topic: str
    partition: int
    first: int
    next: int
    records: list[Fetched]
    size_bytes: int


def batches_of(
    records: Iterable[Record], topic: str, partition: int, first: int, end: int
) -> Iterator[Batch]:
    """All records of [first, end), read elsewhere, as batches that follow each other."""
    at, taken, size_bytes = first, list[Fetched](), 0
    for r in records:
        taken.append(Fetched(topic, partition, r.offset, r.timestamp_ms, r.key, r.value, r.headers))
        size_bytes += len(r.value or b"")
        if len(taken) >= BATCH_RECORDS or size_bytes >= BATCH_BYTES:
            yield Batch(topic, partition, at, r.offset + 1, taken, size_bytes)
            at, taken, size_bytes = r.offset + 1, [], 0
    if at < end:
        yield Batch(topic, partition, at, end, taken, size_bytes)


class _Place(subscription_state.TopicPartitionState):  # type: ignore[misc]
    """aiokafka's place in a partition; remembers that it was moved on since what stood there is gone."""

    was_moved = False

    def await_reset(self, strategy: Any) -> None:
        self.was_moved = True
        super().await_reset(strategy)

    def seek(self, position: int) -> None:
        self.was_moved = False
        super().seek(position)


subscription_state.TopicPartitionState = _Place


class BatchThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """Faust's consumer thread, reading committed records only, and ending the process when it is thrown out."""

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        # Faust reads uncommitted unless it runs the transactions itself, and waits 1.5 s for a fetch.
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        return consumer

    async def on_start(self) -> None:
        await super().on_start()
        # A member that the group no longer knows has lost its partitions: what it still holds is stale, and joining
        # again under the same name would fight with its successor. The process ends; its supervisor starts it anew.
        self._consumer._coordinator.reset_generation = self._lost_membership

    def _lost_membership(self) -> None:
        if not (self.should_stop or self.app.should_stop):
            self.app.transport.on_expelled(
                "the group no longer knows this member (stopped past the session time-out?)"
            )

    async def on_thread_stop(self) -> None:
        if self._consumer is not None and self._consumer._coordinator is not None:
            vars(self._consumer._coordinator).pop("reset_generation", None)
        await super().on_thread_stop()

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: set[TP],
        timeout: float | None = None,
        max_records: int | None = None,
    ) -> dict[TP, Batch]:
        before = {tp: place.position for tp, place in self._places(consumer)}
        fetched = await super()._fetch_records(
            consumer, active_partitions, timeout=timeout, max_records=max_records
        )
        _to_the_end(consumer._fetcher._records, fetched)
        batches = {}
        for tp, place in self._places(consumer):
            records, after = fetched.get(tp, []), place.position
            first = before.get(tp)
            if first is None or after <= first or place.was_moved:
                first = records[0].offset if records else after
            if after > first or place.was_moved:
                place.was_moved = False
                size_bytes = sum([record.size_bytes for record in records])
                batches[tp] = Batch(tp.topic, tp.partition, first, after, records, size_bytes)
        return batches

    @staticmethod
    def _places(consumer: Any) -> list[tuple[Any, _Place]]:
        subscription = consumer._subscription.subscription
        if subscription is None or subscription.assignment is None:
            return []
        states = subscription.assignment._tp_state
        return [(tp, state) for tp, state in states.items() if state.has_valid_position]


def _to_the_end(waiting: dict[TP, Any], taken: Iterable[TP]) -> None:
    """Partitions that gave records just now come last the next time.

    aiokafka takes from the first that has any, up to the limit of one call: all of a long fetch, before the next
    partition has its first record.
    """
    for tp in taken:
        if tp in waiting:
            waiting[tp] = waiting.pop(tp)


class BatchConsumer(driver.Consumer):  # type: ignore[misc]
    """Faust's consumer, with one message a batch."""

    def _new_consumer_thread(self) -> BatchThread:
        return BatchThread(self, loop=self.loop, beacon=self.beacon)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.held: set[TP] = set()
        """Partitions that are not fetched now, because what was fetched of them still waits.

        Faust's own pause_partitions would drop a batch that is on its way, and with it the records.
        """

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> dict[TP, list[Batch]]:
        wanted = (active_partitions or set()) - self.held
        if not wanted:
            await asyncio.sleep(HELD_WAIT_S)
            return {}
        batches = await self._thread.getmany(active_partitions=wanted, timeout=min(timeout, MARKER_WAIT_S))
        return {tp: [batch] for tp, batch in batches.items()}

    def _to_message(self, tp: TP, batch: Batch) -> ConsumerMessage:
        # Faust drops a message whose offset is below what it has read: a batch stands at its last offset.
        return ConsumerMessage(
            batch.topic,
            batch.partition,
            batch.next - 1,
            0.0,
            0,
            (),
            None,
            batch,
            None,
            0,
            0,
            tp,
            generation_id=self.app.consumer_generation_id,
        )


class BatchTransport(driver.Transport):  # type: ignore[misc]
    """The transport of every system's Faust app."""

    Consumer = BatchConsumer
    on_expelled: Callable[[str], None]


__all__ = ["Batch", "BatchConsumer", "BatchTransport", "Fetched", "batches_of"]

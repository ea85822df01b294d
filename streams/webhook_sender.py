"""The sender of webhooks: takes what is due from the log, posts it, reports what became of it.

    webhooks.deliveries  → DeliveryScheduled, DeliveryDue   → post it to its receiver
                         → DeliverySucceeded, …             → that attempt is over
    webhooks.results     ← ReportDelivery

As a worker, it commits no offset behind an attempt whose report is not delivered, and reads the log to its end before
it posts anything: so after a crash an attempt may be made twice, with the same webhook-id, and none is lost. Several
senders share the partitions. What cannot be posted now is put off by a report: it waits in the log, not in memory.
"""

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import structlog
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from neural_hive.aggregates.delivery import DELIVERY, Outcome
from neural_hive.aggregates.identity import derived_id
from neural_hive.connectors.kafka_places import Places
from neural_hive.connectors.publisher import KAFKA_LOG, Publisher
from neural_hive.connectors.webhook_address import Endpoint, RefusedAddress, Rules, endpoint_of, rules_of
from neural_hive.connectors.webhook_post import Answer, Poster
from neural_hive.schemas.codec import BadRecord
from neural_hive.streams import webhooks_metrics as metrics
from neural_hive.streams.webhook_attempt import Attempts, report_of
from neural_hive.streams.webhook_lanes import LEFT_ALONE_S, Lanes, PutOff
from neural_hive.streams.webhook_orders import Newer, Order, Over, order_of
from neural_hive.streams.webhooks_messages import RESULTS, ReportDelivery
from neural_hive.streams.worker_ledger import Key, Ledger

GROUP: Final = "webhook-sender"
UNFINISHED_MAX: Final = 10_000  # at this many attempts it stops reading; at half, it reads on
_COMMIT_EVERY_S: Final = 1.0
_GRACE_S: Final = 10.0  # how long requests may go on when the sender is told to stop

log = structlog.get_logger()


class SenderStopped(Exception):
    """The sender cannot go on; the text says why and what to do."""


class SenderSettings(Protocol):
    """What the sender needs of the settings."""

    @property
    def webhook_timeout_s(self) -> float:
        """How long one request may take."""
        ...

    @property
    def webhook_per_endpoint(self) -> int:
        """Requests at once to one host and port; the next: to all."""
        ...

    @property
    def webhook_at_once(self) -> int: ...

    @property
    def webhook_bytes_max(self) -> int:
        """Of a body: larger events are told without their content."""
        ...

    @property
    def webhook_networks(self) -> tuple[str, ...]:
        """Where it may go: private networks; ports; without TLS; who vouches for receivers."""
        ...

    @property
    def webhook_ports(self) -> tuple[str, ...]: ...

    @property
    def webhook_http(self) -> bool: ...

    @property
    def webhook_ca(self) -> Path | None: ...

    @property
    def webhook_folder(self) -> Path:
        """Where the secrets are."""
        ...

    def kafka_config(self) -> dict[str, Any]:
        """librdkafka's settings of the connection."""
        ...


def run(settings: SenderSettings, stopping: threading.Event, ready: Callable[[], None]) -> None:
    """Works until told to stop. Raises SenderStopped, BadRule: it cannot go on."""
    Sender(settings).run(stopping, ready)


class Sender:
    """One sender; `run` is its life, and it has only one."""

    def __init__(self, settings: SenderSettings, left_alone_s: float = LEFT_ALONE_S) -> None:
        self._rules: Rules = rules_of(
            settings.webhook_networks, settings.webhook_ports, settings.webhook_http
        )
        kafka = settings.kafka_config()
        self._publisher = Publisher(kafka, "webhook-sender")
        self._consumer = Consumer(_consumer_config(kafka), logger=KAFKA_LOG)
        self._settings, self._left_alone_s = settings, left_alone_s
        self._ledger = Ledger[Order]()
        self._committed: dict[int, int] = {}
        self._over: queue.SimpleQueue[Key] = queue.SimpleQueue()
        self._failure: BaseException | None = None
        self._paused = self._assigned = False
        self._loop = asyncio.new_event_loop()
        self._posting = threading.Thread(target=self._loop.run_forever, name="posting", daemon=True)
        self._poster = self._made_poster()
        self._attempts = Attempts(
            Places(kafka), self._poster, settings.webhook_folder, settings.webhook_bytes_max
        )
        self._lanes: Lanes[tuple[Endpoint, Order]] = Lanes(
            self._make,
            self._put_off,
            settings.webhook_per_endpoint,
            settings.webhook_at_once,
            left_alone_s=left_alone_s,
        )

    def _made_poster(self) -> Poster:
        try:
            return Poster(self._rules, self._settings.webhook_timeout_s, self._settings.webhook_ca)
        except OSError as error:  # ssl.SSLError too
            raise SenderStopped(f"webhook_ca cannot be used: {error}") from error

    def run(self, stopping: threading.Event, ready: Callable[[], None]) -> None:
        """Works until told to stop. Raises SenderStopped: it cannot go on."""
        told, commit_at = False, 0.0
        self._posting.start()
        self._consumer.subscribe(
            [DELIVERY.topic], on_assign=self._assign, on_revoke=self._revoke, on_lost=self._lose
        )
        try:
            while not stopping.is_set():
                for message in self._consumer.consume(500, 0.05):
                    self._take(message)
                self._settle()
                if time.monotonic() >= commit_at:
                    self._commit(asynchronous=True)
                    commit_at = time.monotonic() + _COMMIT_EVERY_S
                if self._assigned and not told:
                    ready()
                    told = True
        finally:
            self._stop()

    def _take(self, message: Message) -> None:
        """One record, or what Kafka says instead of one."""
        error, number, offset = message.error(), message.partition(), message.offset()
        if error and error.code() != KafkaError._PARTITION_EOF:
            self._weigh(error)
        elif not self._ledger.has(number):
            return  # revoked meanwhile
        elif error:
            self._ledger.read_to(number, offset)
            self._ledger.caught_up(number)
            self._start(number)
        else:
            self._ledger.read_to(number, offset + 1)
            self._read(number, offset, message.value() or b"")

    def _weigh(self, error: KafkaError) -> None:
        if error.fatal() or error.code() == KafkaError._FATAL:
            raise SenderStopped(f"Kafka refuses to go on: {error.str()}")
        log.warning("kafka_error", error=error.str())  # passing: the client tries again by itself

    def _read(self, number: int, offset: int, value: bytes) -> None:
        place = f"{DELIVERY.topic}, partition {number}, offset {offset}"
        try:
            found = order_of(value)
        except BadRecord as error:
            log.error("bad_event", place=place, error=str(error))
            return
        except Newer as error:
            raise SenderStopped(f"{place}: {error}") from error
        if isinstance(found, Over):
            self._ledger.finish(found.key)
        elif found is not None:
            self._ledger.take(number, offset, found)
            self._start(number)
            if len(self._ledger) >= UNFINISHED_MAX:
                self._pause()

    def _start(self, number: int) -> None:
        for order in self._ledger.to_start(number):
            self._loop.call_soon_threadsafe(self._submit, order)

    def _submit(self, order: Order) -> None:
        """In the loop."""
        try:
            endpoint = endpoint_of(order.target.url, self._rules)
        except RefusedAddress as error:
            metrics.FAILED.labels("not sent").inc()
            self._report(order, report_of(order, Answer(0, str(error), 0), Outcome.FAILED))
            return
        self._lanes.add(endpoint, (endpoint, order))

    async def _make(self, work: tuple[Endpoint, Order]) -> bool:
        endpoint, order = work
        report, is_well = await self._attempts.make(endpoint, order)
        self._report(order, report)
        return is_well

    def _put_off(self, work: tuple[Endpoint, Order], why: PutOff) -> None:
        _, order = work
        metrics.POSTPONED.labels("receiver").inc()
        answer = Answer(0, why.reason, 0, why.wait_ms)
        self._report(order, report_of(order, answer, Outcome.POSTPONED))

    def _report(self, order: Order, report: ReportDelivery) -> None:
        """Tells the processor; the same attempt has the same message id, so that a repeat counts once.

        It never raises: in the loop nobody would hear of it, and the attempt would never end.
        """
        try:
            self._publish(order, report)
        except Exception as error:
            self._failure = error

    def _publish(self, order: Order, report: ReportDelivery) -> None:

        def delivered(undelivered: str) -> None:
            if undelivered:
                self._failure = SenderStopped(f"a report could not be delivered: {undelivered}")
            else:
                self._over.put(order.key)

        message_id = derived_id(order.target.delivery_id, str(order.attempt), "report")
        header = self._publisher.header(
            "ReportDelivery",
            message_id,
            report.routing_id,
            correlation_id=order.correlation_id,
            causation_id=order.event_id,
            trace_id=order.trace_id,
        )
        self._publisher.publish(RESULTS, header, msgspec.to_builtins(report), delivered)

    def _pause(self) -> None:
        if not self._paused:
            self._ledger.all_caught_up()
            for place in self._consumer.assignment():
                self._start(place.partition)
            self._consumer.pause(self._consumer.assignment())
            self._paused = True

    def _settle(self) -> None:
        """Takes note of what is over, and reads on when there is room."""
        self._publisher.poll(0)
        if self._failure:
            raise self._failure
        with contextlib.suppress(queue.Empty):
            while True:
                self._ledger.finish(self._over.get_nowait())
        metrics.QUEUE.set(len(self._ledger))
        metrics.OPEN.set(self._lanes.open_count)
        if self._paused and len(self._ledger) <= UNFINISHED_MAX // 2:
            self._consumer.resume(self._consumer.assignment())
            self._paused = False

    def _commit(self, asynchronous: bool) -> None:
        moved = {n: o for n, o in self._ledger.committable().items() if self._committed.get(n) != o}
        if moved:
            wanted = [TopicPartition(DELIVERY.topic, number, offset) for number, offset in moved.items()]
            self._consumer.commit(offsets=wanted, asynchronous=asynchronous)
            self._committed.update(moved)

    def _assign(self, _: Consumer, places: list[TopicPartition]) -> None:
        log.info("partitions_assigned", partitions=[place.partition for place in places])
        self._ledger.assign(place.partition for place in places)
        self._committed.clear()
        self._paused, self._assigned = False, True

    def _revoke(self, _: Consumer, __: list[TopicPartition]) -> None:
        with contextlib.suppress(Exception):  # whoever has them next starts at an older offset: no harm
            self._commit(asynchronous=False)
        self._ledger.assign(())

    def _lose(self, _: Consumer, __: list[TopicPartition]) -> None:
        self._ledger.assign(())

    def _stop(self) -> None:
        """Lets requests end for a while; what is not reported is done again after the next start."""
        ending = asyncio.run_coroutine_threadsafe(self._end(), self._loop)
        with contextlib.suppress(TimeoutError):
            ending.result(_GRACE_S)
        self._publisher.flush(5.0)
        with contextlib.suppress(queue.Empty):
            while True:
                self._ledger.finish(self._over.get_nowait())
        with contextlib.suppress(Exception):  # Kafka may be gone: then more is posted again
            self._commit(asynchronous=False)
        self._consumer.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._posting.join(_GRACE_S)

    async def _end(self) -> None:
        await self._lanes.drain()
        await self._attempts.close()


def _consumer_config(kafka: dict[str, Any]) -> dict[str, Any]:
    return {
        **kafka,
        "group.id": GROUP,
        "isolation.level": "read_committed",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "session.timeout.ms": 10_000,
        "heartbeat.interval.ms": 3_000,
    }

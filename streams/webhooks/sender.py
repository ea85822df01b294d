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
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import structlog
from confluent_kafka import KafkaError

from neural_hive.aggregates.delivery import DELIVERY, Outcome
from neural_hive.aggregates.identity import derived_id
from neural_hive.connectors.kafka_places import Places
from neural_hive.connectors.publisher import Publisher
from neural_hive.connectors.webhook_address import Endpoint, RefusedAddress, Rules, endpoint_of, rules_of
from neural_hive.connectors.webhook_post import Answer, Poster
from neural_hive.schemas.codec import BadRecord
from neural_hive.streams.webhooks import metrics
from neural_hive.streams.webhooks.attempt import Attempts, report_of
from neural_hive.streams.webhooks.lanes import LEFT_ALONE_S, Lanes, PutOff
from neural_hive.streams.webhooks.messages import RESULTS, ReportDelivery
from neural_hive.streams.webhooks.orders import Newer, Order, Over, order_of
from neural_hive.streams.work_reading import Reads, WorkReading, is_fatal

GROUP: Final = "webhook-sender"
UNFINISHED_MAX: Final = 10_000  # at this many attempts it stops reading; at half, it reads on
_AT_ONCE: Final = 500  # records that are read at once
_POLL_S: Final = 0.05
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
        reads = Reads(DELIVERY.topic, GROUP, UNFINISHED_MAX, at_once=_AT_ONCE, poll_s=_POLL_S)
        self._reading = WorkReading(reads, kafka, self)
        self._settings, self._left_alone_s = settings, left_alone_s
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
        self._posting.start()
        try:
            self._reading.run(stopping, ready)
        finally:
            self._stop()

    def refused(self, error: KafkaError) -> Exception | None:
        """See Doer."""
        return SenderStopped(f"Kafka refuses to go on: {error.str()}") if is_fatal(error) else None

    def read(self, partition: int, offset: int, value: bytes) -> Order | None:
        """See Doer. Raises SenderStopped."""
        place = f"{DELIVERY.topic}, partition {partition}, offset {offset}"
        try:
            found = order_of(value)
        except BadRecord as error:
            log.error("bad_event", place=place, error=str(error))
            return None
        except Newer as error:
            raise SenderStopped(f"{place}: {error}") from error
        if isinstance(found, Over):
            self._reading.ledger.finish(found.key)
            return None
        return found

    def start(self, work: Order) -> None:
        """See Doer."""
        self._loop.call_soon_threadsafe(self._submit, work)

    def settle(self) -> None:
        """See Doer."""
        self._publisher.poll(0)
        metrics.QUEUE.set(len(self._reading.ledger))
        metrics.OPEN.set(self._lanes.open_count)

    def committed(self, partition: int, offset: int) -> None:
        """See Doer: nothing is kept beside the log."""

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
            self._reading.fail(error)

    def _publish(self, order: Order, report: ReportDelivery) -> None:

        def delivered(undelivered: str) -> None:
            if undelivered:
                self._reading.fail(SenderStopped(f"a report could not be delivered: {undelivered}"))
            else:
                self._reading.finish(order.key)

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

    def _stop(self) -> None:
        """Lets requests end for a while; what is not reported is done again after the next start."""
        ending = asyncio.run_coroutine_threadsafe(self._end(), self._loop)
        with contextlib.suppress(TimeoutError):
            ending.result(_GRACE_S)
        self._publisher.flush(5.0)
        self._reading.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._posting.join(_GRACE_S)

    async def _end(self) -> None:
        await self._lanes.drain()
        await self._attempts.close()

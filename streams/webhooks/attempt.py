"""One attempt at a webhook: what is told is read from the log, signed and posted; and what became of it."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import structlog

from neural_hive.aggregates.delivery import EXPIRED, Outcome
from neural_hive.connectors.kafka_log import LostLog, UnreadableLog
from neural_hive.connectors.kafka_places import Places
from neural_hive.connectors.webhook_address import Endpoint, RefusedAddress
from neural_hive.connectors.webhook_post import Answer, Poster
from neural_hive.connectors.webhook_signing import BadSecret, keys_of, signed
from neural_hive.streams.webhooks import metrics
from neural_hive.streams.webhooks.body import NoEvent, told
from neural_hive.streams.webhooks.messages import ReportDelivery
from neural_hive.streams.webhooks.orders import Order

_GONE: Final = 410
_ASKS_TO_WAIT: Final = frozenset({429, 503})
_CLIENT_ERRORS: Final = range(400, 500)

log = structlog.get_logger()


class Attempts:
    """Makes attempts, in one event loop."""

    def __init__(self, places: Places, poster: Poster, secrets: Path, bytes_max: int) -> None:
        self._places, self._poster, self._secrets, self._bytes_max = places, poster, secrets, bytes_max
        # The log is read by one thread, which is not the loop's.
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="webhook-source")

    async def make(self, endpoint: Endpoint, order: Order) -> tuple[ReportDelivery, bool]:
        """What became of an attempt, and whether its receiver works. It never raises: the others go on."""
        try:
            return await self._made(endpoint, order)
        except Exception as error:
            log.error("webhook_unforeseen", delivery_id=order.target.delivery_id, exc_info=error)
            why = f"this was not foreseen: {type(error).__name__}: {error}"
            return self._unmade(order, Outcome.FAILED, why[:500]), True

    async def _made(self, endpoint: Endpoint, order: Order) -> tuple[ReportDelivery, bool]:
        target = order.target
        if time.time_ns() // 1_000 > target.expires_at:
            return self._unmade(order, Outcome.UNFIT, EXPIRED), True
        try:
            keys = keys_of(self._secrets, target.subscription_id, endpoint.host, endpoint.port)
            loop = asyncio.get_running_loop()
            place = (target.topic, target.partition, target.offset)
            record = await loop.run_in_executor(self._reader, self._places.record, *place)
            what = told(record, self._bytes_max)
        except BadSecret as error:
            return self._unmade(order, Outcome.FAILED, str(error)), True
        except (LostLog, NoEvent) as error:
            return self._unmade(order, Outcome.UNFIT, str(error)), True
        except UnreadableLog as error:
            return self._unmade(order, Outcome.POSTPONED, f"its event cannot be read now: {error}"), True
        headers = {
            "content-type": "application/json",
            "traceparent": what.traceparent,
            **signed(keys, target.delivery_id, int(time.time()), what.body),
        }
        return await self._post(order, headers, what.body)

    async def _post(self, order: Order, headers: dict[str, str], body: bytes) -> tuple[ReportDelivery, bool]:
        try:
            with metrics.RUNNING.track_inprogress():
                answer = await self._poster.post(order.target.url, headers, body)
        except RefusedAddress as error:
            return self._unmade(order, Outcome.FAILED, str(error)), False
        report = report_of(order, answer)
        metrics.SECONDS.labels(report.outcome.value).observe(answer.duration_ms / 1_000)
        if report.outcome is Outcome.DELIVERED:
            metrics.SENT.labels(str(answer.status_code)).inc()
        else:
            metrics.FAILED.labels(_why(answer)).inc()
        return report, _works(answer)

    def _unmade(self, order: Order, outcome: Outcome, reason: str) -> ReportDelivery:
        log.warning("webhook_not_sent", delivery_id=order.target.delivery_id, why=reason)
        if outcome is Outcome.POSTPONED:
            metrics.POSTPONED.labels("log").inc()
        else:
            metrics.FAILED.labels("not sent").inc()
        return report_of(order, Answer(0, reason, 0), outcome)

    async def close(self) -> None:
        """Ends what is open."""
        await self._poster.close()
        self._reader.submit(self._places.close)
        self._reader.shutdown(wait=False)


def report_of(order: Order, answer: Answer, outcome: Outcome | None = None) -> ReportDelivery:
    """What the processor is told of an attempt; without an outcome, the answer says it."""
    target = order.target
    wait_ms = answer.retry_after_ms if outcome or answer.status_code in _ASKS_TO_WAIT else 0
    return ReportDelivery(
        target.delivery_id,
        target.routing_id,
        order.attempt,
        outcome or _outcome(answer),
        answer.status_code,
        answer.reason,
        answer.duration_ms,
        wait_ms,
    )


def _outcome(answer: Answer) -> Outcome:
    if answer.is_taken:
        return Outcome.DELIVERED
    return Outcome.GONE if answer.status_code == _GONE else Outcome.FAILED


def _works(answer: Answer) -> bool:
    """Whether the receiver is there, though it may not take this: it is not left alone for that."""
    refuses = answer.status_code in _CLIENT_ERRORS and answer.status_code not in _ASKS_TO_WAIT
    return answer.is_taken or refuses


def _why(answer: Answer) -> str:
    return f"{answer.status_code // 100}xx" if answer.status_code else "no answer"

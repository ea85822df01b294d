"""Publishes measurements in the background: whoever measures never waits, and never fails.

put → a buffer of bounded size and age → a thread → Kafka. The thread lets some come together before it works: that
takes less from those who decide, and the broker gets fewer and fuller requests. While Kafka is away the buffer fills;
what is too old, or too much, is dropped and counted, the oldest first. What is delivered arrives in the order of
`put`, and once; what was on its way when its time was over may arrive twice, under one message id.
"""

import threading
import time
from collections import Counter as Counts
from collections import deque
from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import Any, Final, Protocol

import msgspec
import structlog
from confluent_kafka import KafkaException
from prometheus_client import Counter, Gauge

from neural_hive.aggregates.identity import derived_id
from neural_hive.connectors.published_spans import Delivered
from neural_hive.schemas.envelope import Header

BUFFER_MAX: Final = 10_000
AGE_MAX_S: Final = 3600.0
CLOSE_S: Final = 5.0  # what the buffer is given to empty itself at the end
LINGER_S: Final = 0.5  # what is put in this time is published together
MANY: Final = 2_000  # so much is published at once
_IN_FLIGHT_MAX: Final = 5_000
_PAUSE_S: Final = 0.1
_TELL_EVERY_S: Final = 60.0

_SIZE: Final = Gauge("neural_hive_flow_c_telemetry_buffer_size", "Measurements that wait for Kafka now")
_LIMIT: Final = Gauge(
    "neural_hive_flow_c_telemetry_buffer_limit",
    "How many measurements may wait; further ones push out the oldest",
)
_PUBLISHED: Final = Counter(
    "neural_hive_flow_c_telemetry_published", "Measurements that Kafka has taken", ["topic"]
)
_DROPPED: Final = Counter(
    "neural_hive_flow_c_telemetry_dropped",
    "Measurements that were given up: too_old, full (the buffer), refused (by Kafka or the schema), shutdown",
    ["reason"],
)
for _reason in ("too_old", "full", "refused", "shutdown"):
    _DROPPED.labels(_reason)  # or the first one could not be seen to be one more
_published: Final = cache(_PUBLISHED.labels)
log = structlog.get_logger()


class Measurement(msgspec.Struct, frozen=True):
    """One message to be published."""

    topic: str
    message_type: str
    seed: tuple[str, ...]  # of its message id: the same for the same measurement
    routing_id: str
    payload: msgspec.Struct  # with the fields of the message's schema


class Publishes(Protocol):
    """What this needs of a Publisher (see connectors/publisher.py). It must try for ever: its age is ours to limit."""

    def header(
        self, message_type: str, message_id: str, routing_id: str, *, trace_id: str, span_id: str
    ) -> Header: ...
    def publish(self, topic: str, header: Header, payload: dict[str, Any], delivered: Delivered) -> None: ...
    def flush(self, timeout_s: float) -> int: ...
    def take_back(self, timeout_s: float) -> None: ...


class _Kept(msgspec.Struct, frozen=True):
    """A measurement, and when it was put here."""

    measurement: Measurement
    put_at: float  # s, by the clock


class Buffer:
    """What waits, in order. `put` may be called from many threads, all else from one."""

    def __init__(
        self,
        connect: Callable[[], Publishes],
        size_max: int = BUFFER_MAX,
        age_max_s: float = AGE_MAX_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect, self._publisher = connect, connect()
        self.size_max, self._age_max_s, self._clock = size_max, age_max_s, clock
        self._lock = threading.Lock()
        self._waiting: deque[_Kept] = deque()
        self._in_flight: dict[int, _Kept] = {}  # in order
        self._number = 0
        self._delivered: Counts[str] = Counts()  # by topic, and not counted yet
        self._told_at = -_TELL_EVERY_S

    def __len__(self) -> int:
        return len(self._waiting) + len(self._in_flight)

    def put(self, measurements: Iterable[Measurement]) -> None:
        """Takes measurements; if there is no room the oldest that wait make it."""
        now, dropped = self._clock(), 0
        with self._lock:
            self._waiting.extend(_Kept(measurement, now) for measurement in measurements)
            while len(self) > self.size_max and self._waiting:
                self._waiting.popleft()
                dropped += 1
        self._drop("full", dropped)

    def step(self, wait_s: float) -> None:
        """Publishes what there is room for, and waits so long for deliveries."""
        self._drop_old()
        try:
            for number, kept in self._taken():
                self._publish(number, kept.measurement)
            self._publisher.flush(wait_s)
        finally:
            for topic, count in self._delivered.items():
                _published(topic).inc(count)
            self._delivered.clear()

    def _taken(self) -> list[tuple[int, _Kept]]:
        """What waits, as far as there is room for it, is in flight from now on."""
        with self._lock:
            room = min(_IN_FLIGHT_MAX, self.size_max) - len(self._in_flight)
            taken = [self._waiting.popleft() for _ in range(min(room, len(self._waiting)))]
            numbered = list(enumerate(taken, self._number + 1))
            self._number += len(taken)
            self._in_flight.update(numbered)
        return numbered

    def give_up(self, reason: str) -> None:
        """Drops all that is left."""
        with self._lock:
            dropped = len(self)
            self._waiting.clear()
            self._in_flight.clear()
        self._drop(reason, dropped)

    def _publish(self, number: int, found: Measurement) -> None:
        publisher = self._publisher
        try:
            message_id, payload = derived_id(*found.seed), msgspec.to_builtins(found.payload)
            trace_id = message_id.replace("-", "")  # its own, with one span
            about = (found.message_type, message_id, found.routing_id)
            header = publisher.header(*about, trace_id=trace_id, span_id=trace_id[:16])
            publisher.publish(found.topic, header, payload, partial(self._ended, number))
        except KafkaException:  # this connection will never publish anything again
            self._take_back()
            self._publisher = self._connect()
            raise
        except Exception as error:  # it does not fit its schema, or its topic
            self._ended(number, str(error))

    def _ended(self, number: int, error: str) -> None:
        kept = self._in_flight.pop(number, None)
        if kept is None:
            return  # it was given up before
        if error:
            self._drop("refused", 1, error)
        else:
            self._delivered[kept.measurement.topic] += 1

    def _drop_old(self) -> None:
        oldest_at = self._clock() - self._age_max_s
        if self._in_flight and next(iter(self._in_flight.values())).put_at < oldest_at:
            self._take_back()
        dropped = 0
        with self._lock:
            while self._waiting and self._waiting[0].put_at < oldest_at:
                self._waiting.popleft()
                dropped += 1
        self._drop("too_old", dropped)

    def _take_back(self) -> None:
        """What is in flight waits again, before all else, so that what is too old of it can be dropped."""
        with self._lock:
            self._waiting.extendleft(reversed(self._in_flight.values()))
            self._in_flight.clear()
        self._publisher.take_back(_PAUSE_S)

    def _drop(self, reason: str, count: int, why: str = "") -> None:
        if not count:
            return
        _DROPPED.labels(reason).inc(count)
        now = self._clock()
        if now - self._told_at >= _TELL_EVERY_S:
            self._told_at = now
            log.warning("telemetry_dropped", reason=reason, count=count, why=why)


class Telemetry:
    """A buffer that a thread empties, until it is closed."""

    def __init__(self, buffer: Buffer) -> None:
        self._buffer = buffer
        self._arrived, self._stopping = threading.Event(), threading.Event()
        _SIZE.set_function(lambda: len(buffer))
        _LIMIT.set(buffer.size_max)
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
        self._thread.start()

    def put(self, measurements: Iterable[Measurement]) -> None:
        """Takes measurements to publish them; returns at once."""
        self._buffer.put(measurements)
        self._arrived.set()

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Publishes what is left, as far as that is done in time. Call it when nobody measures any more."""
        self._until = time.monotonic() + timeout_s
        self._stopping.set()
        self._arrived.set()
        self._thread.join(timeout_s + 2 * _PAUSE_S)
        self._buffer.give_up("shutdown")

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._arrived.wait()
            until = time.monotonic() + LINGER_S
            while len(self._buffer) < MANY and (left_s := until - time.monotonic()) > 0:
                if self._stopping.wait(min(left_s, _PAUSE_S)):
                    break
            self._arrived.clear()
            while len(self._buffer) and not self._stopping.is_set():
                self._step()
        while len(self._buffer) and time.monotonic() < self._until:
            self._step()

    def _step(self) -> None:
        try:
            self._buffer.step(_PAUSE_S)
        except Exception as error:  # telemetry may be lost, and nothing else
            log.error("telemetry failed", exc_info=error)
            self._stopping.wait(_PAUSE_S)

"""Publishes messages: plans, commands, reports. Each arrives once, on the partition of what it belongs to."""

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from neural_hive.aggregates.identity import derived_id
from neural_hive.connectors.personal import Personal
from neural_hive.connectors.published_spans import Delivered, traced
from neural_hive.connectors.sparse_log import Sparse
from neural_hive.connectors.tracing import asked_trace, tracer
from neural_hive.schemas.codec import encode_message
from neural_hive.schemas.envelope import Header
from neural_hive.schemas.personal import check_encrypted
from neural_hive.schemas.topics import MESSAGE_BYTES_MAX, partition_of

KAFKA_LOG: Final = logging.getLogger("neural_hive.kafka")  # where the client says what it thinks
KAFKA_LOG.addHandler(logging.NullHandler())  # a command without a log stays quiet
KAFKA_LOG.addFilter(Sparse())
_FRAME_ROOM_BYTES: Final = 64 * 1024  # what Kafka adds around the largest message


class Place(msgspec.Struct, frozen=True):
    """Where a message stands in the log."""

    topic: str
    partition: int
    offset: int
    appended_at: int  # by the broker's clock, µs since 1970 UTC


Placed = Callable[[Place], None]  # called with where it stands, if it was delivered


class TooLarge(ValueError):
    """A message that is larger than its topic takes; the text names both sizes."""


class Publisher:
    """An idempotent producer of messages; may be used from many threads.

    `give_up_ms` is how long an undelivered message is tried; 0 means for ever. `personal` encrypts what is marked as
    personal data; without it no message with such data is sent.
    """

    def __init__(
        self,
        kafka: Mapping[str, Any],
        name: str,
        give_up_ms: int = 0,
        personal: Personal | None = None,
        is_traced: bool = True,
        linger_ms: int = 2,
    ) -> None:
        """`is_traced`: whether its messages are spans of a trace, where there is a tracer. `linger_ms`: how long a
        message waits for others, to be sent with them, unless `flush` is called."""
        self._name, self._personal, self._is_traced = name, personal, is_traced
        self._producer = Producer(
            {
                **kafka,
                "client.id": name,
                "enable.idempotence": True,
                "acks": "all",
                "partitioner": "murmur2_random",  # as Java's and aiokafka's: librdkafka's default differs
                "compression.type": "lz4",
                "linger.ms": linger_ms,
                "message.max.bytes": MESSAGE_BYTES_MAX + _FRAME_ROOM_BYTES,
                "message.timeout.ms": give_up_ms,
            },
            logger=KAFKA_LOG,
        )

    def header(
        self,
        message_type: str,
        message_id: str,
        routing_id: str,
        *,
        correlation_id: str = "",
        causation_id: str = "",
        trace_id: str = "",
        span_id: str = "",
    ) -> Header:
        """The header of one message. What is left empty follows from the message's id; the trace is that of the request
        that is answered meanwhile, if it has one."""
        trace_id = trace_id or asked_trace() or derived_id(message_id, "trace").replace("-", "")
        return Header(
            message_id=message_id,
            message_type=message_type,
            occurred_at=time.time_ns() // 1_000,
            routing_id=routing_id,
            correlation_id=correlation_id or routing_id,
            causation_id=causation_id,
            trace_id=trace_id,
            span_id=span_id or derived_id(message_id, "span").replace("-", "")[-16:],
            producer=self._name,
        )

    def publish(
        self,
        topic: str,
        header: Header,
        payload: dict[str, Any],
        delivered: Delivered,
        placed: Placed | None = None,
    ) -> None:
        """Sends one message; `delivered`, and before it `placed` if all is well, is called from `poll` or `flush`.

        Raises BadRecord: the payload does not fit its schema, or its personal data cannot be encrypted.
        SubjectKeysUnusable: the keys for that cannot be read. TooLarge: the topic does not take it.
        """
        if self._personal is not None:
            payload = self._personal.hidden(header.message_type, payload)
        check_encrypted(header.message_type, payload)
        value = encode_message(header, payload)
        if len(value) > MESSAGE_BYTES_MAX:
            raise TooLarge(
                f"{header.message_type} has {len(value):,} bytes; {topic} takes {MESSAGE_BYTES_MAX:,}"
            )
        found = tracer() if self._is_traced else None
        told = (
            traced(found, topic, header, delivered) if found and found.keeps(header.trace_id) else delivered
        )
        self._producer.produce(
            topic,
            value=value,
            key=header.routing_id.encode(),
            headers=[
                ("traceparent", f"00-{header.trace_id}-{header.span_id}-01".encode()),
                ("message_type", header.message_type.encode()),
            ],
            on_delivery=partial(_tell, told, placed),
        )

    def partition(self, topic: str, routing_id: str, timeout_s: float) -> int:
        """Where messages with a routing id go. Raises KafkaException: unreachable, or no such topic."""
        found = self._producer.list_topics(topic, timeout=timeout_s).topics[topic]
        if found.error or not found.partitions:
            raise KafkaException(found.error or KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
        return partition_of(routing_id.encode(), len(found.partitions))

    def poll(self, timeout_s: float = 0.0) -> None:
        """Calls what waits for deliveries, and waits for the next ones for a while."""
        self._producer.poll(timeout_s)

    def flush(self, timeout_s: float) -> int:
        """Waits until all is delivered; the number of messages that are not yet."""
        return int(self._producer.flush(timeout_s))

    def take_back(self, timeout_s: float) -> None:
        """Gives up all that is not delivered: its `delivered` hears so. What is on its way may arrive all the same."""
        self._producer.purge()
        self._producer.flush(timeout_s)


def _tell(
    delivered: Delivered,
    placed: Placed | None,
    error: KafkaError | None,
    message: Message,
) -> None:
    if placed and not error:
        placed(Place(message.topic(), message.partition(), message.offset(), message.timestamp()[1] * 1_000))
    delivered(str(error.str()) if error else "")

"""The limit: confluent-kafka in and out, one transaction for each fetched batch, state in a dict, no framework.

python plain_loop.py BOOTSTRAP SOURCE EVENTS GROUP FOLDER
"""

import sys
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from record import NEW, State, next_event

FETCHED_MAX = 20_000


def main(bootstrap: str, source: str, events: str, group: str, folder: str) -> None:
    """Runs until it is killed. State is lost with the process, and the folder stays empty."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
        }
    )
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "transactional.id": group,
            "compression.type": "lz4",
            "linger.ms": 5,
            "queue.buffering.max.messages": 1_000_000,
            "batch.num.messages": 100_000,
            "retry.backoff.ms": 1,
            "retry.backoff.max.ms": 5,
        }
    )
    producer.init_transactions()
    consumer.subscribe([source])
    states: dict[bytes, State] = {}
    while True:
        records = consumer.consume(FETCHED_MAX, 0.2)
        if records:
            process(producer, consumer, records, events, states)


def process(
    producer: Producer, consumer: Consumer, records: list[Any], events: str, states: dict[bytes, State]
) -> None:
    """One transaction: an event for each record, and the input offsets."""
    producer.begin_transaction()
    offsets: dict[tuple[str, int], int] = {}
    for record in records:
        key, topic, partition, offset = record.key(), record.topic(), record.partition(), record.offset()
        states[key], value = next_event(states.get(key, NEW), key.decode(), topic, partition, offset)
        producer.produce(events, value, key, partition)
        offsets[topic, partition] = offset + 1
    done = [TopicPartition(topic, partition, offset) for (topic, partition), offset in offsets.items()]
    producer.send_offsets_to_transaction(done, consumer.consumer_group_metadata())
    producer.commit_transaction()


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Bytewax: source, key, stateful map, sink. Run by `python -m bytewax.run`, with or without recovery.

BENCH_BOOTSTRAP, BENCH_SOURCE and BENCH_EVENTS name the broker and the topics.
"""

import os

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource
from bytewax.dataflow import Dataflow
from record import NEW, State, next_event

BATCH_SIZE = (
    1_000  # records a poll of the source: more made no difference, the default of 1,000 is Bytewax's own
)
_BROKERS = [os.environ["BENCH_BOOTSTRAP"]]


def count(state: State | None, record: object) -> tuple[State, KafkaSinkMessage]:
    """The next event of a record's key."""
    state, value = next_event(
        state or NEW, record.key.decode(), record.topic, record.partition, record.offset
    )
    return state, KafkaSinkMessage(record.key, value)


flow = Dataflow("bench")
_source = op.input(
    "in", flow, KafkaSource(_BROKERS, [os.environ["BENCH_SOURCE"]], tail=True, batch_size=BATCH_SIZE)
)
_keyed = op.key_on("key", _source, lambda record: record.key.decode())
_counted = op.stateful_map("count", _keyed, count)
_values = op.map("value", _counted, lambda keyed: keyed[1])
op.output("out", _values, KafkaSink(_BROKERS, os.environ["BENCH_EVENTS"]))

"""Quix Streams: a stateful apply on a dataframe, at least once or exactly once.

python quix_app.py BOOTSTRAP SOURCE EVENTS GROUP FOLDER GUARANTEE
"""

import sys
from typing import Any

from quixstreams import Application
from quixstreams.models import TopicConfig
from record import NO_HASH, next_event

PARTITIONS = 4


def main(bootstrap: str, source: str, events: str, group: str, folder: str, guarantee: str) -> None:
    """Runs until it is killed."""
    app = Application(
        broker_address=bootstrap,
        consumer_group=group,
        auto_offset_reset="earliest",
        state_dir=folder,
        processing_guarantee=guarantee,
        commit_interval=1.0,
        loglevel="WARNING",
    )
    config = TopicConfig(num_partitions=PARTITIONS, replication_factor=1)
    inputs = app.topic(source, value_deserializer="bytes", key_deserializer="bytes", config=config)
    outputs = app.topic(events, value_serializer="bytes", key_serializer="bytes", config=config)

    def count(value: bytes, key: bytes, timestamp: int, headers: Any, state: Any) -> bytes:
        found = state.get("last", [0, NO_HASH.hex()])  # states are JSON
        offset = place()
        (version, digest), event = next_event(
            (found[0], bytes.fromhex(found[1])), key.decode(), offset[0], offset[1], offset[2]
        )
        state.set("last", [version, digest.hex()])
        return event

    def place() -> tuple[str, int, int]:
        from quixstreams.context import message_context

        context = message_context()
        return context.topic, context.partition, context.offset

    app.dataframe(inputs).apply(count, stateful=True, metadata=True).to_topic(outputs)
    app.run()


if __name__ == "__main__":
    main(*sys.argv[1:])

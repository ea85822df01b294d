"""Faust as it comes: an agent, and a table in RocksDB. Run in Neural Hive's own environment, which has Faust.

python faust_agent.py BOOTSTRAP SOURCE EVENTS GROUP FOLDER
"""

import sys

import faust
from record import NEW, next_event

PARTITIONS = 4


def main(bootstrap: str, source: str, events: str, group: str, folder: str) -> None:
    """Runs until it is killed."""
    app = faust.App(
        group,
        broker=f"kafka://{bootstrap}",
        store="rocksdb://?driver=rocksdict",
        datadir=folder,
        value_serializer="raw",
        key_serializer="raw",
        topic_partitions=PARTITIONS,
        topic_disable_leader=True,
        web_enabled=False,
    )
    inputs = app.topic(source, key_type=bytes, value_type=bytes)
    outputs = app.topic(events, key_type=bytes, value_type=bytes)
    states = app.Table("states", partitions=PARTITIONS, key_type=str)

    @app.agent(inputs)
    async def count(stream: faust.Stream) -> None:
        async for event in stream.events():
            message = event.message
            key = message.key.decode()
            found = states.get(key)
            state = (found[0], bytes.fromhex(found[1])) if found else NEW
            (version, digest), value = next_event(
                state, key, message.topic, message.partition, message.offset
            )
            states[key] = [version, digest.hex()]
            await outputs.send(key=message.key, value=value, partition=message.partition)

    worker = faust.Worker(app, loglevel="WARN")
    worker.execute_from_commandline()


if __name__ == "__main__":
    main(*sys.argv[1:])

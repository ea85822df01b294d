"""The work that every contender of the kernel benchmark does for each record, in the peers' environment.

The same event as Neural Hive writes, of 18 envelope fields and a payload, with the version and the SHA-256 of the
key's event before it. What a peer need not do for it, because Neural Hive alone promises it: a gapless sequence over
all keys, trace headers, repeats known by their message id, and dead letters.
"""

import hashlib
import io
import os
import time
import uuid
from pathlib import Path
from typing import Any

import fastavro

SCHEMA_VARIABLE = "BENCH_SCHEMA"  # the file of the event's Avro schema
NO_HASH = bytes(32)
State = tuple[int, bytes]  # version and hash of the key's last event
NEW: State = (0, NO_HASH)


def _schema() -> Any:
    return fastavro.parse_schema(fastavro.schema.load_schema(Path(os.environ[SCHEMA_VARIABLE])))


_SCHEMA = _schema() if SCHEMA_VARIABLE in os.environ else None
_FRAME = b"\0" + (100002).to_bytes(4, "big")


def next_event(state: State, key: str, topic: str, partition: int, offset: int) -> tuple[State, bytes]:
    """The key's next event in the Confluent wire format, and the state behind it."""
    version, previous = state
    message_id = f"{topic}:{partition}:{offset}"
    event_id = str(uuid.UUID(bytes=hashlib.sha1(f"{message_id}\0{key}".encode()).digest()[:16], version=5))
    event = {
        "envelope": {
            "event_type": "CounterRaised",
            "aggregate_type": "counter",
            "schema_version": 1,
            "logic_version": "0" * 16,
            "producer": "bench",
            "event_id": event_id,
            "aggregate_id": key,
            "version": version + 1,
            "occurred_at": time.time_ns() // 1000,
            "correlation_id": key,
            "causation_id": message_id,
            "trace_id": "0" * 32,
            "span_id": event_id[:8] + event_id[9:13] + event_id[14:18],
            "sequence": offset + 1,
            "source_topic": topic,
            "source_partition": partition,
            "source_offset": offset,
            "prev_hash": previous,
        },
        "payload": {"amount": 1, "note": ""},
    }
    out = io.BytesIO()
    out.write(_FRAME)
    fastavro.schemaless_writer(out, _SCHEMA, event)
    value = out.getvalue()
    return (version + 1, hashlib.sha256(value).digest()), value

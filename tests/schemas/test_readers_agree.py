"""Bytes that are let in are bytes that the SQL engine reads: one that it refused would stop every projection."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

from neural_hive.schemas import catalogue, codec
from neural_hive.schemas.codec import FRAME_BYTES, avro_bytes
from neural_hive.schemas.varint import avro_long
from tests.schemas.test_hostile_bytes import ROWS, good_bytes

CHANGES_PER_SCHEMA = 500
# A process of its own: there is one engine in a process, and hostile bytes may take it down.
COUNT = """
import sys
import chdb
for path in sys.argv[1:]:
    # The hash makes the engine read every column.
    answer = chdb.query(f"SELECT count(), sum(cityHash64(*)) FROM file('{path}', Avro)", "CSV").bytes()
    print(answer.split(b",")[0].decode())
"""


def changed(value: bytes, chance: random.Random) -> bytes:
    data = bytearray(value)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(FRAME_BYTES, len(data))
        match chance.randrange(3):
            case 0:
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                data[at] = chance.choice([0, 1, 2, 3, 4, 0x7F, 0x80, 0xFF])
            case _:
                data[at:at] = bytes(chance.choices([0, 1, 2, 0x80, 0xFF], k=chance.randint(1, 4)))
    return bytes(data)


def accepted(row: catalogue.Registered, chance: random.Random) -> list[bytes]:
    good, found = good_bytes(row), []
    for _ in range(CHANGES_PER_SCHEMA):
        value = changed(good, chance)
        try:
            codec.decode(value, row.kind)
        except codec.BadRecord:
            continue
        found.append(value[FRAME_BYTES:])
    return found


def container(schema: object, datums: list[bytes]) -> bytes:
    """An Avro file of one block, from datums as they are."""
    sync, body = bytes(16), b"".join(datums)
    entries = [("avro.schema", json.dumps(schema)), ("avro.codec", "null")]
    meta = b"".join(avro_bytes(key.encode()) + avro_bytes(text.encode()) for key, text in entries)
    block = avro_long(len(datums)) + avro_long(len(body)) + body
    return b"Obj\x01" + avro_long(len(entries)) + meta + b"\0" + sync + block + sync


def test_the_engine_reads_all_that_is_accepted(tmp_path: Path) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}")
    chance = random.Random(seed)
    counts = []
    for row in ROWS:
        datums = accepted(row, chance)
        (tmp_path / f"{row.id}.avro").write_bytes(container(catalogue.schema_of(row.id), datums))
        counts.append(len(datums))
    assert min(counts) > CHANGES_PER_SCHEMA // 10
    paths = [str(tmp_path / f"{row.id}.avro") for row in ROWS]
    done = subprocess.run(
        [sys.executable, "-c", COUNT, *paths], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert [int(line) for line in done.stdout.split()] == counts

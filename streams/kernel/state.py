"""The state of one partition in RocksDB: rows of aggregates, counters, timers, queues, and the position they stand for.

The log is the truth and this folder can be deleted at any time. Rows are written in one batch with the position,
after the transaction that holds their events was committed.
"""

import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec
from rocksdict import BlockBasedOptions, Cache, Options

from neural_hive.streams.kernel.rocks import OWN, Database

S = TypeVar("S")

POSITION_KEY = OWN + b"position"
_BEHIND_OWN = bytes([OWN[0] + 1])
ROW, COUNTER, TIMER, QUEUE = b"a", b"c", b"t", b"q"
CACHE_BYTES = 64 << 20  # of all stores of a process: blocks, and what finds and filters them
WRITE_BUFFER_BYTES = 8 << 20  # of one store: what was written and is in no table yet; there may be two
LOG_BYTES = 1 << 20  # RocksDB's own log of a store; one more is kept
RECENT_CAUSES = 16  # how many causing messages an aggregate remembers, to know a repeat
CAUSE_BYTES = 16


class Row(msgspec.Struct, Generic[S], frozen=True, array_like=True):
    """What the processor keeps of one aggregate."""

    version: int
    occurred_at: int  # of its last event, µs
    hash: bytes  # SHA-256 of its last event
    recent: bytes  # digests of the last RECENT_CAUSES messages that caused events here, CAUSE_BYTES each
    state: S


class TopicPosition(msgspec.Struct, frozen=True, array_like=True):
    """The last event of one event topic that the state contains."""

    topic_id: str
    offset: int  # -1: none yet
    hash: bytes


class Position(msgspec.Struct, frozen=True, array_like=True):
    """Which part of the log the state is the fold of."""

    state_version: str
    sequence: int
    topics: dict[str, TopicPosition]


class Timer(msgspec.Struct, frozen=True, array_like=True):
    """A deadline of an aggregate, with what its event will need."""

    aggregate: str
    aggregate_id: str
    name: str
    due: int  # µs
    routing_id: str
    correlation_id: str
    trace_id: str


def row_key(aggregate: str, aggregate_id: str) -> bytes:
    """Where the row of an aggregate stands."""
    return f"a{aggregate}\0{aggregate_id}".encode()


def counter_key(key: str) -> bytes:
    """Where a counter stands."""
    return COUNTER + key.encode()


def timer_key(timer: Timer) -> bytes:
    """Where a timer stands: ordered by its due time."""
    name = f"{timer.aggregate}\0{timer.aggregate_id}\0{timer.name}".encode()
    return TIMER + struct.pack(">Q", max(timer.due, 0)) + name


def queue_prefix(queue: str) -> bytes:
    """What the keys of all that stands in a queue begin with."""
    return QUEUE + queue.encode() + b"\0"


def queue_key(queue: str, place: str, aggregate_id: str) -> bytes:
    """Where an aggregate stands in a queue: ordered by its place, then by its id."""
    return queue_prefix(queue) + f"{place}\0{aggregate_id}".encode()


@cache
def _blocks(cache_bytes: int) -> Cache:
    """One cache for all stores of a process, however many partitions it has. rocksdict's own is 2 GiB for each."""
    return Cache(cache_bytes)


def options(cache_bytes: int = CACHE_BYTES, write_buffer_bytes: int = 0) -> Options:
    """RocksDB's for a store: little memory, however many of them a process has. All with one size share a cache.

    `write_buffer_bytes` 0: WRITE_BUFFER_BYTES.
    """
    chosen = Options(raw_mode=True)
    chosen.create_if_missing(True)
    chosen.set_write_buffer_size(write_buffer_bytes or WRITE_BUFFER_BYTES)
    chosen.set_max_write_buffer_number(2)
    table = BlockBasedOptions()
    table.set_block_cache(_blocks(cache_bytes))
    table.set_cache_index_and_filter_blocks(True)  # or they take memory beside the cache, with every key
    table.set_pin_l0_filter_and_index_blocks_in_cache(True)
    table.set_bloom_filter(10, False)
    chosen.set_block_based_table_factory(table)
    chosen.set_max_open_files(64)
    chosen.set_keep_log_file_num(2)
    chosen.set_max_log_file_size(LOG_BYTES)
    chosen.set_stats_persist_period_sec(0)  # else a megabyte of history in memory
    return chosen


class Store:
    """One RocksDB database, read and written by one partition's task only.

    Every call raises DamagedState, DiskFull: see rocks.py.
    """

    def __init__(self, folder: Path, read_only: bool = False, chosen: Options | None = None) -> None:
        """`chosen`: see `options`."""
        folder.mkdir(parents=True, exist_ok=True)
        self._db = Database(folder, chosen or options(), read_only)
        self.get = self._db.get

    def position(self) -> Position | None:
        """The position that the state stands for; None for a new folder."""
        raw = self._db.get(POSITION_KEY)
        return msgspec.msgpack.decode(raw, type=Position) if raw else None

    def write(self, puts: dict[bytes, bytes | None], position: Position) -> None:
        """All or nothing: rows (None deletes) and the position."""
        self._db.write({**puts, POSITION_KEY: msgspec.msgpack.encode(position)})

    def timers(self) -> Iterator[tuple[bytes, Timer]]:
        """All timers, the earliest first."""
        for key, value in self._scan(TIMER):
            yield key, msgspec.msgpack.decode(value, type=Timer)

    def queue(self, queue: str) -> Iterator[tuple[bytes, str]]:
        """The ids of all that stands in a queue, the first first."""
        for key, value in self._scan(queue_prefix(queue)):
            yield key, msgspec.msgpack.decode(value, type=str)

    def ids(self, aggregate: str) -> Iterator[str]:
        """The ids of all aggregates of one kind, in order."""
        prefix = row_key(aggregate, "")
        for key, _ in self._scan(prefix):
            yield key[len(prefix) :].decode()

    def rows(self) -> Iterator[tuple[bytes, bytes]]:
        """Every row, counter, timer and place in a queue as it stands, for comparison with the log."""
        return self._db.scan(_BEHIND_OWN)

    def _scan(self, prefix: bytes) -> Iterator[tuple[bytes, Any]]:
        for key, value in self._db.scan(prefix):
            if not key.startswith(prefix):
                return
            yield key, value

    def close(self) -> None:
        """Releases the folder."""
        self._db.close()

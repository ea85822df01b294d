"""RocksDB while a log is verified: what is read is read once, so it gets little memory."""

from typing import Final

from rocksdict import Options

from neural_hive.streams.kernel.state import options

CACHE_BYTES: Final = 4 << 20
WRITE_BUFFER_BYTES: Final = 2 << 20


def little() -> Options:
    """For every database of a verification."""
    return options(CACHE_BYTES, WRITE_BUFFER_BYTES)

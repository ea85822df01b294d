"""What glibc's allocator keeps for itself. On other systems nothing of this is done.

By default it makes a heap for each of many threads, and keeps what was freed in them. A verification has new threads of
Kafka's client and of RocksDB with every step, so what each step had freed added up: a process that looked at a
million events in four partitions rose to 0.8 GB, and to half of that with one heap that is given back.
"""

import ctypes
from functools import cache
from typing import Any, Final

_M_ARENA_MAX: Final = -8  # of malloc.h


@cache
def _libc() -> Any:
    """The C library, if it is glibc; else None."""
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None


def use_one_heap() -> None:
    """All threads from now on share one heap."""
    if (libc := _libc()) is not None:
        libc.mallopt(_M_ARENA_MAX, 1)


def give_back() -> None:
    """Gives what was freed back to the system."""
    if (libc := _libc()) is not None:
        libc.malloc_trim(ctypes.c_size_t(0))

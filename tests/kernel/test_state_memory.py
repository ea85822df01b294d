"""What the states of many partitions take in memory has a limit for all of them together."""

import random
import subprocess
import sys
import tempfile
from pathlib import Path

from neural_hive.streams.kernel.state import Position, Store
from tests.hostile.memory_use import own_mb

STORES, ROWS, ROW_BYTES = 8, 40_000, 1_000  # 320 MB in all
AT_ONCE = 1_000
GROWN_MB_MAX = 200  # a cache for all, and two buffers for each


def fill_and_read() -> int:
    """How much memory a process has more when it has written all of it and looked at much of it, MB."""
    chance, position = random.Random(1), Position("v", 0, {})
    before = own_mb()
    with tempfile.TemporaryDirectory() as folder:
        stores = [Store(Path(folder) / str(number)) for number in range(STORES)]
        for first in range(0, ROWS, AT_ONCE):
            for store in stores:
                rows = {_key(n): chance.randbytes(ROW_BYTES) for n in range(first, first + AT_ONCE)}
                store.write({**rows}, position)
        for store in stores:
            for _ in range(ROWS // 4):
                assert store.get(_key(chance.randrange(ROWS))) is not None
        return own_mb() - before


def _key(number: int) -> bytes:
    return f"a{number:020}".encode()


def test_many_states_share_their_memory() -> None:
    line = [sys.executable, "-c", f"from {__name__} import fill_and_read; print(fill_and_read())"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=280, check=True)
    assert int(done.stdout) < GROWN_MB_MAX

"""The toy system in a process whose wall clock is off.

The file TOY_CLOCK says by how many seconds, and is read whenever the process asks for the time: the clock can jump.
This is what Python code sees, Faust's included; the clocks of librdkafka and RocksDB stay right.
"""

import os
import sys
import time
from pathlib import Path


def _believe(file: Path) -> None:
    """This process's wall clock is off by what the file says. To be called before anybody has taken hold of it."""
    right, right_ns = time.time, time.time_ns
    time.time = lambda: right() + int(file.read_text())
    time.time_ns = lambda: right_ns() + int(file.read_text()) * 1_000_000_000


if __name__ == "__main__":
    _believe(Path(os.environ["TOY_CLOCK"]))

    from tests.toy import system

    system.main(*sys.argv[1:])

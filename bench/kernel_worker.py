"""One worker of Neural Hive for the kernel benchmark: it raises a counter for each record of a foreign topic.

python -m bench.kernel_worker BOOTSTRAP SOURCE EVENTS GROUP FOLDER
"""

import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from neural_hive.aggregates.aggregate import Aggregate
from neural_hive.streams.kernel.system import System
from neural_hive.streams.runner import run_system
from tests.toy.counter import COUNTER, Counter, Raise

READY: Final = "ready"


def build(source: str, events: str, name: str) -> System:
    """The system, as any other: what it reads, and what it decides."""
    counters: Aggregate[Counter] = msgspec.structs.replace(COUNTER, topic=events)
    system = System(name, (counters,), (__name__,))

    @system.on_raw(source)
    def count(unit: Any, record: Any) -> None:
        unit.execute(counters, record.key.decode(), Raise(1))

    return system


def main(bootstrap: str, source: str, events: str, group: str, folder: str) -> None:
    """Works until it is told to stop. While its partitions are open, the folder holds a file that says so."""
    file = Path(folder) / READY

    def tell(ready: bool) -> None:
        file.touch() if ready else file.unlink(missing_ok=True)

    run_system(build(source, events, group), {"bootstrap.servers": bootstrap}, Path(folder), tell)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The kernel benchmark's worker, which notes in a file when each partition has opened.

python -m bench.recovery_worker BOOTSTRAP SOURCE EVENTS GROUP FOLDER
"""

import os
import sys
from pathlib import Path

from bench.kernel_worker import build
from neural_hive.streams.runner import run_system


def opened_file(folder: Path, pid: int) -> Path:
    """Where a worker notes what it has opened: a partition's number in each line."""
    return folder / f"opened-{pid}"


def main(bootstrap: str, source: str, events: str, group: str, folder: str) -> None:
    """Works until it is told to stop."""
    system, file = build(source, events, group), opened_file(Path(folder), os.getpid())

    def note(partition: int, _: object) -> None:
        with file.open("a") as lines:
            lines.write(f"{partition}\n")

    system.opened.append(note)
    run_system(system, {"bootstrap.servers": bootstrap}, Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])

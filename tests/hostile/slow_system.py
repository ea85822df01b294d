"""The toy system, which takes its time for each message while the file SLOW is there: a flood is more than it can do.

python -m tests.hostile.slow_system BOOTSTRAP DATA SUFFIX
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from neural_hive.streams.runner import run_system
from tests.toy.system import build

SLOW: Final = "TOY_SLOW"  # the variable that names the file
EACH_S: Final = 0.05  # no more than 20 messages a second in each partition


def slowed(handle: Callable[[Any, Any], None], file: Path) -> Callable[[Any, Any], None]:
    """The handler, and some time."""

    def slow(unit: Any, message: Any) -> None:
        if file.exists():
            time.sleep(EACH_S)
        handle(unit, message)

    return slow


def main(bootstrap: str, data: str, suffix: str, _: str = "") -> None:
    """Runs it."""
    system, file = build(suffix), Path(os.environ[SLOW])
    for source in system.inputs.values():
        for name, known in source.handlers.items():
            source.handlers[name] = msgspec.structs.replace(known, handle=slowed(known.handle, file))
    run_system(system, {"bootstrap.servers": bootstrap}, Path(data))


if __name__ == "__main__":
    main(*sys.argv[1:])

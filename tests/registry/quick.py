"""The registry's processor with silences of seconds: `python -m tests.registry.quick BOOTSTRAP DATA`."""

import sys
from pathlib import Path
from typing import Final

from neural_hive.aggregates import agent
from neural_hive.streams.registry import build
from neural_hive.streams.runner import run_system

TIMES_MS: Final = {
    "NOTED_EVERY_MS": 600,
    "TOLD_EVERY_MS": 200,
    "DEGRADED_AFTER_MS": 8_000,
    "UNHEALTHY_AFTER_MS": 12_000,
    "REMOVED_AFTER_MS": 16_000,
}


def hurry() -> None:
    """Shortens the times of this process."""
    for name, value in TIMES_MS.items():
        setattr(agent, name, value)


if __name__ == "__main__":
    hurry()
    run_system(build(), {"bootstrap.servers": sys.argv[1]}, Path(sys.argv[2]), session_s=6)

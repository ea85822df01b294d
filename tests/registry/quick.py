"""The registry's processor with silences of seconds: `python -m tests.registry.quick BOOTSTRAP DATA`."""

import sys
from pathlib import Path
from typing import Final

from neural_hive.aggregates.agent import Silence
from neural_hive.streams.registry import metrics as registry_metrics
from neural_hive.streams.registry.system import build
from neural_hive.streams.runner import run_system

QUICK: Final = Silence(600, 8_000, 12_000, 16_000)

if __name__ == "__main__":
    system = build(QUICK)
    registry_metrics.watch(system)
    run_system(system, {"bootstrap.servers": sys.argv[1]}, Path(sys.argv[2]), session_s=6)

"""What a worker tells of itself is what its metrics counted."""

import subprocess
import sys

STORY = """
from neural_hive.connectors.process_executor import Report
from neural_hive.streams.worker import metrics as worker_metrics
from neural_hive.streams.worker.metrics import Standing, ended, running, standing

assert standing() == Standing(1.0, 0, 0)
ended("BUILD", worker_metrics.REFUSED, Report("FAILED", 0, 0, error="nobody can run it"))
assert standing() == Standing(1.0, 0, 0), "what was never tried says nothing of this worker"
ended("TEST", "process", Report("COMPLETED", 0, 200_000))
ended("BUILD", "wheel", Report("FAILED", 0, 400_000))
with running("TEST", "process"), running("BUILD", "wheel"):
    assert standing() == Standing(0.5, 2, 300)
assert standing() == Standing(0.5, 0, 300)
"""


def test_standing_is_what_was_counted() -> None:
    """In a process of its own: the metrics are a process's, and other tests count too."""
    done = subprocess.run(
        [sys.executable, "-c", STORY], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr

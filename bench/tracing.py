"""What traces cost the kernel for each record: without a tracer, with one that keeps few traces, and with all kept.

python -m bench.tracing [ROUNDS]. One partition in memory, no broker: nothing hides the cost.
"""

import gc
import os
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Final

from neural_hive.connectors.tracing import Span, Tracer, installed
from neural_hive.schemas.codec import encode_message
from neural_hive.schemas.envelope import Header
from neural_hive.streams.kernel.transport import Batch, Fetched
from neural_hive.streams.runner import GC_THRESHOLDS

RECORDS: Final = 10_000
BATCH: Final = 1_000
RATIOS: Final = (None, 0.01, 1.0)
NOW: Final = 1_700_000_000_000_000


class Nowhere:
    """Takes all spans and keeps none."""

    def export(self, spans: Sequence[Span]) -> bool:
        """See Exporter."""
        return True

    def close(self) -> None:
        """See Exporter."""


def run(ratio: float | None) -> float:
    """µs of processor time for each record, of the thread that exports too."""
    from tests.hostile.memory_kernel import MemoryKernel
    from tests.toy.system import build

    kernel, topic = MemoryKernel(build(".bench"), {"blocks": frozenset}, 1), "toy.commands.bench"
    records = [Fetched(topic, 0, n, 1, b"k", message(n), ()) for n in range(RECORDS)]
    batches = [
        Batch(topic, 0, at, at + BATCH, records[at : at + BATCH], 1) for at in range(0, RECORDS, BATCH)
    ]
    found = None if ratio is None else Tracer(Nowhere(), ratio, 10 * RECORDS)
    with installed(found):
        gc.collect()
        gc.set_threshold(*GC_THRESHOLDS)  # as processors have them
        began = time.process_time()
        for batch in batches:
            kernel.partition.step([batch])
        return (time.process_time() - began) / RECORDS * 1e6


def message(number: int) -> bytes:
    """A message with a trace of its own."""
    key, trace_id = f"counter-{number % 500}", f"{number * 2654435761 % (1 << 56):032x}"
    header = Header(f"m{number}", "AddToCounter", NOW, key, "", "", trace_id, f"{number + 1:016x}", "bench")
    return encode_message(header, {"counter_id": key, "amount": 1})


def main(rounds: int) -> None:
    """In turn, so that a busy machine is so for all."""
    from neural_hive.quiet import logs_to_stderr
    from tests.toy.harness import SCHEMAS

    logs_to_stderr()

    os.environ["NEURAL_HIVE_SCHEMAS"] = str(SCHEMAS)
    found: dict[float | None, list[float]] = {ratio: [] for ratio in RATIOS}
    for _ in range(rounds):
        for ratio in RATIOS:
            found[ratio].append(run(ratio))
    for ratio, times in found.items():
        name = "no tracer" if ratio is None else f"{ratio:.0%} of traces kept"
        print(f"{name}: {statistics.median(times):.2f} µs a record, best {min(times):.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)

"""The page of all metrics."""

from itertools import groupby
from typing import Final

from neural_hive.monitoring.metrics import Metric, known_metrics

_HEAD: Final = """# Metrics

Made by `neural-hive monitoring write deploy --page docs/metrics.md`: every metric that our processes tell, by the
module that counts it. How to reach them is in [operating](operating.md#metrics). Prometheus adds `process`, the name of
the process, to each. Of every process there are also `process_…` and `python_…`: memory, CPU, open files,
garbage collection.
"""


def metrics_page() -> str:
    """The page, with a table for each module."""
    parts = [_HEAD]
    for (module, about), metrics in groupby(known_metrics(), lambda m: (m.module, m.about)):
        parts.append(f"## {module}\n\n{about}\n\n| metric | type | labels | |\n|---|---|---|---|")
        parts.append("\n".join(_line(metric) for metric in metrics) + "\n")
    return "\n".join(parts)


def _line(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help.replace('|', '/')} |"

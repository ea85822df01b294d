"""All metrics that our processes tell, found where the code makes them."""

import importlib
import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import msgspec
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

import neural_hive

_MAKES: Final = "prometheus_client"
_SELF: Final = Path(__file__).parent.name  # this folder counts nothing


class Metric(msgspec.Struct, frozen=True, order=True):
    """One metric: its name as Prometheus asks for it, and what it is."""

    module: str  # as a file of the repository
    about: str  # the first line of the module's text
    name: str
    kind: str
    labels: tuple[str, ...]
    help: str


def known_metrics() -> list[Metric]:
    """The metrics of every module that makes some, in the order of modules and names."""
    modules = [importlib.import_module(name) for name in _modules()]
    found = {metric.name: metric for module in modules for metric in _of_module(module)}
    found |= {metric.name: metric for metric in (*_of_flow_c(), *_of_sla(), *_of_supervisor())}
    return sorted(found.values())


def library_metrics() -> set[str]:
    """What the Prometheus client itself tells of each process."""
    return {
        *(
            "process_cpu_seconds_total",
            "process_open_fds",
            "process_max_fds",
            "process_resident_memory_bytes",
        ),
        *("process_start_time_seconds", "process_virtual_memory_bytes", "python_gc_collections_total"),
        *("python_gc_objects_collected_total", "python_gc_objects_uncollectable_total", "python_info"),
    }


def series_names() -> frozenset[str]:
    """All names that an expression may ask for, but the parts of histograms."""
    return frozenset({metric.name for metric in known_metrics()} | library_metrics() | {"up"})


def _modules() -> Iterator[str]:
    root = Path(neural_hive.__file__).parent
    for file in sorted(_python_files(root)):
        if file.parent.name != _SELF and f"from {_MAKES}" in file.read_text():
            yield ".".join(("neural_hive", *file.relative_to(root).with_suffix("").parts))


def _python_files(folder: Path) -> Iterator[Path]:
    for entry in folder.iterdir():  # rglob does not follow the links to the other folders
        if entry.is_dir() and entry.name != "__pycache__":
            yield from _python_files(entry)
        elif entry.suffix == ".py":
            yield entry


def _of_module(module: ModuleType) -> Iterator[Metric]:
    for _, value in inspect.getmembers(module):
        if isinstance(value, MetricWrapperBase) and value in _registered():
            yield _described(value, module)


def _registered() -> set[Any]:
    return set(REGISTRY._collector_to_names)


def _described(metric: MetricWrapperBase, module: ModuleType) -> Metric:
    [family] = metric.describe()
    return _metric(module, family, metric._labelnames)


def _metric(module: ModuleType, family: Any, labels: tuple[str, ...]) -> Metric:
    name = f"{family.name}_total" if family.type == "counter" else family.name
    about = (module.__doc__ or "").strip().splitlines()[0]
    file = module.__name__.removeprefix("neural_hive.").replace(".", "/") + ".py"
    folder = Path(neural_hive.__file__).parent
    place = file if (folder / file.split("/")[0]).is_symlink() else f"neural_hive/{file}"
    return Metric(place, about, name, family.type, tuple(labels), family.documentation)


def _of_flow_c() -> list[Metric]:
    """Made for one registry each time: there may be several orchestrators in a test."""
    from neural_hive.streams.flow_c import metrics as flow_c_metrics
    from neural_hive.streams.flow_c.active import Active

    registry = CollectorRegistry()
    flow_c_metrics.FlowCMetrics(Active(), registry)
    made = [m for m in registry._collector_to_names if isinstance(m, MetricWrapperBase)]
    return [_described(metric, flow_c_metrics) for metric in made]


def _of_sla() -> list[Metric]:
    from neural_hive.streams.sla import metrics as sla_metrics
    from neural_hive.streams.sla import system as sla
    from neural_hive.streams.sla.figures import Figures

    registry = CollectorRegistry()
    sla_metrics.SlaMetrics(sla.build(), registry)
    made = [m for m in registry._collector_to_names if isinstance(m, MetricWrapperBase)]
    families: Iterable[Any] = sla_metrics.SlaGauges(Figures(), 0).collect()
    return [
        *(_described(metric, sla_metrics) for metric in made),
        *(_metric(sla_metrics, family, family._labelnames) for family in families),
    ]


def _of_supervisor() -> list[Metric]:
    from neural_hive import supervisor_metrics

    families: Iterable[Any] = supervisor_metrics.SupervisorMetrics(Path(), list).collect()
    return [_metric(supervisor_metrics, family, family._labelnames) for family in families]

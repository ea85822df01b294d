"""Which traces a process tells, and to whom, by the settings."""

from collections.abc import Iterator
from contextlib import contextmanager

from neural_hive.settings import Settings


@contextmanager
def traced(settings: Settings, name: str) -> Iterator[None]:
    """Tells traces to the collector of the settings, if there is one, for as long as this lasts."""
    if not settings.otlp_endpoint or not settings.trace_ratio:
        yield
        return
    from neural_hive.connectors.otlp import OtlpExporter  # a tenth of a second, for those who want it
    from neural_hive.connectors.tracing import Tracer, installed

    with installed(Tracer(OtlpExporter(settings.otlp_endpoint, name), settings.trace_ratio)):
        yield

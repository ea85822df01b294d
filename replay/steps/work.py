"""Does one step, and notes what became of it: its findings, or what stood in its way."""

import time
from collections.abc import Callable

from neural_hive.connectors.clickhouse import ClickHouseError
from neural_hive.connectors.kafka_log import LostLog, StalledLog, UnreadableLog
from neural_hive.projections.store import StoreRefused, StoreUnavailable
from neural_hive.replay.checks.committed import NotVerified
from neural_hive.replay.reader import LogSource, NotedSource
from neural_hive.replay.report import Findings
from neural_hive.replay.steps.step import Done, Step, now
from neural_hive.replay.steps.writer import Found
from neural_hive.streams.kernel.reading import RegistryAway

UNDONE = (StalledLog, LostLog, UnreadableLog, NotVerified, ClickHouseError, StoreUnavailable, StoreRefused)


def do_step(step: Step, look: Callable[[Findings, NotedSource], Found], source: LogSource) -> Done:
    """What it has found, and where it was read; with the reason if it could not be done to its end."""
    findings, noted = Findings(), NotedSource(source)
    began_at, started_at = now(), time.monotonic()
    found: Found = {}
    problem = ""
    try:
        found = look(findings, noted)
    except UNDONE as error:
        problem = str(error)
    except RegistryAway as error:
        problem = f"{error}. Start the schema registry, or name it in the setting schema_registry_url"
    report = findings.report(noted.parts, time.monotonic() - started_at, problem)
    return Done(step, report, began_at, now(), **found)

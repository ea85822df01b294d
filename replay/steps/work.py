"""Does one step, and notes what became of it: its findings, or what stood in its way."""

import time
from collections.abc import Callable

from neural_hive.connectors.clickhouse import ClickHouseError
from neural_hive.connectors.kafka_log import LostLog, StalledLog, UnreadableLog
from neural_hive.projections.store import StoreRefused, StoreUnavailable
from neural_hive.replay.checks.committed import NotVerified
from neural_hive.replay.reader import LogSource, NotedSource
from neural_hive.replay.report import Findings
from neural_hive.replay.steps.events import check_events
from neural_hive.replay.steps.inputs import check_inputs
from neural_hive.replay.steps.step import Done, Kind, Step, now
from neural_hive.replay.steps.writer import Found, Writer
from neural_hive.streams.kernel.reading import RegistryAway

UNDONE = (StalledLog, LostLog, UnreadableLog, NotVerified, ClickHouseError, StoreUnavailable, StoreRefused)


def do_step(step: Step, looked: Callable[[Findings, NotedSource], Found], source: LogSource) -> Done:
    """What it has found, and where it was read; with the reason if it could not be done to its end."""
    findings, noted = Findings(), NotedSource(source)
    began_at, started_at = now(), time.monotonic()
    found: Found = {}
    problem = ""
    try:
        found = looked(findings, noted)
    except UNDONE as error:
        problem = str(error)
    except RegistryAway as error:
        problem = f"{error}. Start the schema registry, or name it in the setting schema_registry_url"
    report = findings.report(noted.parts, time.monotonic() - started_at, problem)
    return Done(step, report, began_at, now(), **found)


def look(writer: Writer, step: Step, needed: list[Done], findings: Findings, noted: NotedSource) -> Found:
    """One of the steps over a writer's log; `needed`: what the steps have left behind that it needs."""
    if step.kind is Kind.EVENTS:
        return check_events(writer, step.file, step.partition, findings, noted)
    if step.kind is Kind.LETTERS:
        return writer.letters(findings, noted)
    if step.kind is Kind.INPUTS:
        return check_inputs(writer, step.file, needed, findings, noted)
    events = next(done for done in needed if done.step.kind is Kind.EVENTS)
    inputs = next(done for done in needed if done.step.kind is Kind.INPUTS)
    return {} if events.is_folded else writer.state(step.partition, inputs.silent, findings)

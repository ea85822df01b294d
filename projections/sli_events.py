"""What ended in a time, as expressions of SLIs see it: the same fields, so that an SLO's events can be counted in SQL.

    SELECT count() FROM sli_tickets(since = '2026-05-04', until = '2026-05-05') WHERE task_type = 'DEPLOY'

A row of `sli_tickets` is an attempt at a ticket that has ended, a row of `sli_workflows` a workflow that has ended or a
plan that was refused. `streams/sli/facts.py` says the same of each event as it comes, and the tests compare the two.
"""

from collections.abc import Mapping
from typing import Final

from neural_hive.aggregates.sli_expression import FieldType
from neural_hive.aggregates.sli_source import FIELDS, Source
from neural_hive.projections.avro_types import quoted
from neural_hive.projections.projection import TIME

TICKET_ENDS: Final = ("TicketCompleted", "TicketFailed", "TicketTimedOut")
WORKFLOW_ENDS: Final = ("WorkflowCompleted", "WorkflowFailed", "WorkflowCancelled", "PlanRejected")
_TYPES: Final = {
    FieldType.TEXT: "Nullable(String)",
    FieldType.NUMBER: "Nullable(Float64)",
    FieldType.BOOL: "Nullable(Bool)",
}


def _us(column: str) -> str:
    """A time in µs; NULL, if it is not known: the log says 0 then."""
    return f"nullIf(toUnixTimestamp64Micro({column}), 0)"


def _ended(table: str, ends: tuple[str, ...]) -> str:
    """The rows that end something in the time that is asked for."""
    return (
        f"(SELECT * FROM {table} WHERE event_type IN ({', '.join(map(quoted, ends))}) "
        f"AND finished_at >= {{since:{TIME}}} AND finished_at < {{until:{TIME}}}) AS e"
    )


def _view(
    source: Source, table: str, key: str, begins: str, ends: tuple[str, ...], made: Mapping[str, str]
) -> str:
    """All that has ended, beside what began it. `made`: what a field is, if it is no column of the end's row."""
    ended = _ended(table, ends)
    fields = ", ".join(
        f"CAST({made.get(name, f'e.{name}')}, {quoted(_TYPES[kind])}) AS `{name}`"
        for name, kind in FIELDS[source].items()
    )
    asked = f"{key} IN (SELECT e.{key} FROM {ended})"
    began = f"(SELECT * FROM {table} WHERE event_type = {quoted(begins)} AND {asked}) AS b"
    place = "e.topic AS topic, e.partition AS partition, e.offset AS offset"
    return (
        f"SELECT e.{key} AS {key}, assumeNotNull(e.finished_at) AS at, {fields}, {place} "
        f"FROM {ended} LEFT JOIN {began} ON e.{key} = b.{key}"
    )


_OF_TICKET: Final = ("task_type", "task_id", "plan_id", "priority", "risk_band", "service", "namespace")
SLI_TICKETS: Final = _view(
    Source.TICKETS,
    "tickets_versions",
    "ticket_id",
    "TicketCreated",
    TICKET_ENDS,
    {
        **{name: f"b.{name}" for name in _OF_TICKET},
        "duration_ms": f"({_us('e.finished_at')} - {_us('e.started_at')}) / 1000",
        "wait_ms": f"({_us('e.started_at')} - {_us('b.created_at')}) / 1000",
    },
)
_OF_WORKFLOW: Final = ("priority", "risk_band", "sla_class", "task_count")
SLI_WORKFLOWS: Final = _view(
    Source.WORKFLOWS,
    "workflows_versions",
    "workflow_id",
    "WorkflowStarted",
    WORKFLOW_ENDS,
    {
        **{name: f"b.{name}" for name in _OF_WORKFLOW},
        "plan_id": "coalesce(e.plan_id, b.plan_id)",  # of a plan that was refused nothing began
        "is_late": f"{_us('e.finished_at')} > {_us('b.deadline_at')}",
    },
)
VIEW_OF: Final = {
    Source.TICKETS: "sli_tickets",
    Source.WORKFLOWS: "sli_workflows",
    Source.TELEMETRY: "sli_windows",  # of metric_windows: a row is `events` that are alike
}

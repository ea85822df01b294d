"""Where SLIs are counted, and what expressions may ask of an event of each source."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from neural_hive.aggregates.sli_expression import FieldType

_TEXT, _NUMBER = FieldType.TEXT, FieldType.NUMBER


class Source(StrEnum):
    """What an indicator counts."""

    UNKNOWN = "UNKNOWN"
    TICKETS = "TICKETS"  # attempts at tickets that have ended
    WORKFLOWS = "WORKFLOWS"  # workflows that have ended, and plans that were refused
    TELEMETRY = "TELEMETRY"  # metric windows from outside: telemetry.aggregated
    PROMQL = "PROMQL"  # a Prometheus server
    COMPOSITE = "COMPOSITE"  # other SLOs


FIELDS: Final[Mapping[Source, Mapping[str, FieldType]]] = {
    Source.TICKETS: {
        "status": _TEXT,  # COMPLETED, FAILED or TIMED_OUT
        "task_type": _TEXT,
        "task_id": _TEXT,
        "plan_id": _TEXT,
        "priority": _TEXT,
        "risk_band": _TEXT,
        "agent_id": _TEXT,
        "service": _TEXT,  # the task's parameter `service`
        "namespace": _TEXT,  # the task's parameter `namespace`
        "attempt": _NUMBER,
        "exit_code": _NUMBER,
        "duration_ms": _NUMBER,  # of the attempt
        "wait_ms": _NUMBER,  # from its creation to the start of the attempt
    },
    Source.WORKFLOWS: {
        "status": _TEXT,  # COMPLETED, FAILED, CANCELLED or REJECTED
        "plan_id": _TEXT,
        "priority": _TEXT,
        "risk_band": _TEXT,
        "sla_class": _TEXT,
        "task_count": _NUMBER,
        "duration_ms": _NUMBER,
        "is_late": FieldType.BOOL,  # it ended after its deadline
    },
    Source.TELEMETRY: {
        "service": _TEXT,
        "layer": _TEXT,
        "metric": _TEXT,
        "outcome": _TEXT,
        "endpoint": _TEXT,
        "region": _TEXT,
        "value": _NUMBER,  # of each of the window's events, as its bucket has it
    },
}

"""What can be read back, typed: tickets, workflows and agents as the read models hold them."""

import base64
import binascii
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Generic, TypeVar

import msgspec

from neural_hive.aggregates.vocabulary import Artifact

PAGE_MAX: Final = 1_000
STEPS_MAX: Final = 50_000  # of one workflow: more than a plan of the largest size makes without retries
ENDED: Final = ("COMPLETED", "FAILED", "CANCELLED", "REJECTED")
TICKET_ENDED: Final = ("COMPLETED", "FAILED", "TIMED_OUT", "CANCELLED", "COMPENSATED")
T = TypeVar("T", bound=msgspec.Struct)


class TicketInfo(msgspec.Struct, frozen=True):
    """A ticket as it stands; times are of UTC."""

    ticket_id: str
    workflow_id: str
    plan_id: str = ""
    task_id: str = ""
    task_type: str = ""
    status: str = ""
    priority: str = ""
    risk_band: str = ""
    priority_score: float = 0.0
    dependencies: tuple[str, ...] = ()
    attempt: int = 0
    agent_id: str = ""
    created_at: datetime | None = None
    ready_at: datetime | None = None
    dispatched_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    deadline_at: datetime | None = None
    exit_code: int | None = None
    outputs: dict[str, str] = {}
    artifacts: tuple[Artifact, ...] = ()
    error: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether no agent works on it any more."""
        return self.status in TICKET_ENDED


class WorkflowInfo(msgspec.Struct, frozen=True):
    """A workflow as it stands, or a plan that was refused (REJECTED), with its reasons."""

    workflow_id: str
    plan_id: str = ""
    intent_id: str = ""
    status: str = ""
    risk_band: str = ""
    priority: str = ""
    confidence: float = 0.0
    requested_by: str = ""
    task_count: int = 0
    completed_count: int = 0
    failed_count: int = 0
    cancelled_count: int = 0
    compensated_count: int = 0
    started_at: datetime | None = None
    deadline_at: datetime | None = None
    finished_at: datetime | None = None
    duration_ms: int = 0
    reason: str = ""
    reasons: tuple[str, ...] = ()

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it can change any more."""
        return self.status in ENDED


class FlowContext(msgspec.Struct, frozen=True):
    """What a plan's way through the hive begins with."""

    workflow_id: str
    plan_id: str
    intent_id: str
    risk_band: str
    priority: str
    confidence: float
    requested_by: str
    started_at: datetime | None
    deadline_at: datetime | None


class FlowStep(msgspec.Struct, frozen=True):
    """One step that was measured: C1 validate, C2 generate tickets, C3 allocate, C4 dispatch, C5 execute,
    C6 consolidate, WORKFLOW all of it.

    `ticket_id` is empty for steps of the whole workflow. `at`: when it ended.
    """

    step: str
    status: str = ""
    duration_ms: float = 0.0
    at: datetime | None = None
    ticket_id: str = ""
    task_type: str = ""
    attempt: int = 0


class FlowResult(msgspec.Struct, frozen=True):
    """How a plan ended."""

    status: str
    task_count: int
    completed_count: int
    failed_count: int
    cancelled_count: int
    compensated_count: int
    finished_at: datetime | None
    duration_ms: int
    reason: str
    reasons: tuple[str, ...]


class Flow(msgspec.Struct, frozen=True):
    """A plan's way through the hive. Measurements follow a moment later than the result, and few may be missing."""

    context: FlowContext
    steps: tuple[FlowStep, ...]  # at most STEPS_MAX
    result: FlowResult | None  # None: it goes on


class AgentInfo(msgspec.Struct, frozen=True):
    """An agent, what it can do, and how it said that it was doing when it was seen last."""

    agent_id: str
    status: str = ""
    agent_type: str = ""
    capabilities: tuple[str, ...] = ()
    task_types: tuple[str, ...] = ()
    capacity: int = 0
    success_rate: float = 0.0
    load: float = 0.0
    latency_ms: int = 0
    seen_at: datetime | None = None
    registered_at: datetime | None = None
    reason: str = ""


class BadCursor(ValueError):
    """A text that no page was given with."""


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Some of what was asked for. `next` asks for what follows; empty: that was all."""

    items: tuple[T, ...]
    next: str = ""


def select(kind: type[msgspec.Struct], table: str, rest: str) -> str:
    """The SELECT whose rows `rows_as` reads."""
    return f"SELECT {', '.join(f'`{name}`' for name in kind.__struct_fields__)} FROM {table} {rest}"


def rows_as(kind: type[T], rows: list[tuple[Any, ...]]) -> tuple[T, ...]:
    """Rows of `select`; what the tables do not know is at its default."""
    names = kind.__struct_fields__
    return tuple(
        msgspec.convert(
            {n: _plain(value) for n, value in zip(names, row, strict=True) if value is not None}, kind
        )
        for row in rows
    )


def flow_of(workflow: WorkflowInfo, steps: tuple[FlowStep, ...]) -> Flow:
    """A workflow and its steps, as one."""
    result = msgspec.convert(workflow, FlowResult, from_attributes=True) if workflow.has_ended else None
    return Flow(msgspec.convert(workflow, FlowContext, from_attributes=True), steps, result)


def cursor(at: datetime, ticket_id: str) -> str:
    """The text that stands for a place in a list of tickets."""
    return base64.urlsafe_b64encode(f"{at.timestamp():.6f} {ticket_id}".encode()).decode()


def place_of(text: str) -> tuple[str, str]:
    """Seconds since 1970 and ticket id of a cursor. Raises BadCursor."""
    try:
        at, found, ticket_id = base64.urlsafe_b64decode(text.encode()).decode().partition(" ")
        if not found or float(at) < 0:
            raise ValueError(at)
    except (ValueError, binascii.Error) as error:
        raise BadCursor(f"{text[:80]!r} is no place in a list: take `next` of the page before") from error
    return at, ticket_id


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC)
    if isinstance(value, list):
        return [_artifact(item) if isinstance(item, tuple | Mapping) else item for item in value]
    return value


def _artifact(item: Any) -> Any:
    return item if isinstance(item, Mapping) else dict(zip(Artifact.__struct_fields__, item, strict=True))

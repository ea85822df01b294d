"""A workflow as its events tell it: for the terminal, live, and as one JSON document."""

from collections import Counter
from typing import Any, Final

import msgspec
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from neural_hive.aggregates import graph
from neural_hive.aggregates.decision import DecisionConsolidated, dependency_graph
from neural_hive.aggregates.workflow import ticket_id_of
from neural_hive.schemas.codec import Decoded

STATUS_OF: Final = {
    "TicketCreated": "PENDING",
    "TicketReady": "READY",
    "TicketDispatched": "ASSIGNED",
    "TicketStarted": "RUNNING",
    "TicketCompleted": "COMPLETED",
    "TicketFailed": "FAILED",
    "TicketTimedOut": "TIMED_OUT",
    "TicketRetryScheduled": "PENDING",
    "TicketCancelled": "CANCELLED",
    "TicketCompensated": "COMPENSATED",
    "TicketCompensationFailed": "COMPLETED",
}
_HOLDING: Final = ("TicketHeld", "TicketReleased")
ENDINGS: Final = {
    "WorkflowCompleted": "COMPLETED",
    "WorkflowFailed": "FAILED",
    "WorkflowCancelled": "CANCELLED",
    "PlanRejected": "REJECTED",
    "DeadLetter": "REJECTED",
}
_OPEN: Final = {
    "WorkflowStarted": "RUNNING",
    "WorkflowQueued": "QUEUED",
    "WorkflowAdmitted": "RUNNING",
    "WorkflowPaused": "PAUSED",
    "WorkflowResumed": "RUNNING",
    "WorkflowCompensating": "COMPENSATING",
}
SIGNS: Final = {
    "PENDING": ("·", "dim"),
    "READY": ("○", "blue"),
    "ASSIGNED": ("◔", "blue"),
    "RUNNING": ("▶", "bold yellow"),
    "COMPLETED": ("✔", "green"),
    "FAILED": ("✘", "bold red"),
    "TIMED_OUT": ("⏱", "bold red"),
    "CANCELLED": ("⊘", "magenta"),
    "COMPENSATED": ("↩", "magenta"),
}
_TASK_ENDINGS: Final = ("COMPLETED", "FAILED", "TIMED_OUT", "CANCELLED", "COMPENSATED")
ROWS_MAX: Final = 30
_SHOWN_FIRST: Final = (
    "FAILED",
    "TIMED_OUT",
    "RUNNING",
    "ASSIGNED",
    "READY",
    "CANCELLED",
    "COMPENSATED",
    "COMPLETED",
    "PENDING",
)


class TaskView(msgspec.Struct):
    """One task and what has become of it; times in µs since 1970 UTC."""

    task_id: str
    ticket_id: str
    dependencies: tuple[str, ...]
    level: int
    status: str = "PENDING"
    started_at: int = 0
    completed_at: int = 0
    error: str = ""
    outputs: dict[str, str] = {}
    held_by: tuple[str, ...] = ()  # policies whose freezes hold it back now

    @property
    def duration_ms(self) -> int:
        """How long the last attempt ran; 0 before it ended."""
        return max(0, self.completed_at - self.started_at) // 1_000


class WorkflowView:
    """Fed with the events of one workflow; says how it stands."""

    def __init__(self, decision: DecisionConsolidated) -> None:
        self.workflow_id = decision.decision_id
        self.plan_id = decision.plan_id
        self.status = "PUBLISHED"
        self.reasons: list[str] = []
        self.duration_ms = 0
        self.tasks = _tasks(decision)
        self._by_ticket = {task.ticket_id: task for task in self.tasks}

    @property
    def is_over(self) -> bool:
        """Whether the workflow has ended or was refused."""
        return self.status in ENDINGS.values()

    @property
    def is_told(self) -> bool:
        """Whether it is over and every task's end was seen: the topics do not arrive in step."""
        return self.is_over and (
            self.status == "REJECTED" or all(task.status in _TASK_ENDINGS for task in self.tasks)
        )

    def apply(self, record: Decoded) -> None:
        """Takes note of one event, or of the dead letter that the plan became."""
        name, payload = record.schema.name, record.payload
        if name in STATUS_OF and payload["ticket_id"] in self._by_ticket:
            _apply_to_task(self._by_ticket[payload["ticket_id"]], name, payload)
        elif name in _HOLDING and payload["ticket_id"] in self._by_ticket:
            policies = (freeze["policy_id"] for freeze in payload.get("freezes", ()))
            self._by_ticket[payload["ticket_id"]].held_by = tuple(dict.fromkeys(policies))
        elif name in _OPEN:
            self.status = _OPEN[name]
        elif name == "DeadLetter" and payload["source_topic"] != "plans.consensus":
            self.reasons.append(f"a dead letter from {payload['source_topic']}: {payload['reason']}")
        elif name in ENDINGS:
            self.status = ENDINGS[name]
            self.duration_ms = payload.get("duration_ms", 0)
            self.reasons += payload.get("reasons") or [r for r in (payload.get("reason"),) if r]

    def counts(self) -> dict[str, int]:
        """Status → tasks."""
        return dict(Counter(task.status for task in self.tasks))

    def document(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {
            "workflow_id": self.workflow_id,
            "plan_id": self.plan_id,
            "status": self.status,
            "reasons": self.reasons,
            "duration_ms": self.duration_ms,
            "counts": self.counts(),
            "tasks": [
                {**msgspec.structs.asdict(task), "duration_ms": task.duration_ms} for task in self.tasks
            ],
        }

    def __rich__(self) -> RenderableType:
        counts = self.counts()
        ended = sum(counts.get(status, 0) for status in _TASK_ENDINGS)
        head = Text.assemble((self.plan_id, "bold"), "  ", self.workflow_id, "  ", (self.status, "bold"))
        told = Text("  ".join(f"{SIGNS[s][0]} {counts[s]} {s.lower()}" for s in SIGNS if s in counts))
        bar = ProgressBar(total=len(self.tasks), completed=ended, width=60)
        ended_bar = Padding(bar, 0)  # a bar alone does not end its line
        return Group(head, self._table(), ended_bar, told, *(Text(reason, "red") for reason in self.reasons))

    def _table(self) -> Table:
        table = Table(box=None, header_style="dim", pad_edge=False)
        table.add_column("task", no_wrap=True, overflow="ellipsis", max_width=44)
        table.add_column("status", no_wrap=True)
        table.add_column("took", justify="right", no_wrap=True)
        table.add_column("after", no_wrap=True, overflow="ellipsis", max_width=40, style="dim")
        for task in self._shown():
            sign, style = SIGNS[task.status]
            took = f"{task.duration_ms / 1_000:.2f} s" if task.completed_at else ""
            name = Text("  " * min(task.level, 8) + f"{sign} {task.task_id}", style)
            held = f", frozen by {', '.join(task.held_by)}" if task.held_by else ""
            table.add_row(name, Text(task.status + held, style), took, Text(", ".join(task.dependencies[:4])))
        if len(self.tasks) > ROWS_MAX:
            table.add_row(Text(f"… of {len(self.tasks):,} tasks", "dim"))
        return table

    def _shown(self) -> list[TaskView]:
        if len(self.tasks) <= ROWS_MAX:
            return self.tasks
        return sorted(self.tasks, key=lambda task: _SHOWN_FIRST.index(task.status))[:ROWS_MAX]


def _tasks(decision: DecisionConsolidated) -> list[TaskView]:
    """In the order in which they can run. A plan that the orchestrator must refuse may not have one."""
    known = {task.task_id for task in decision.tasks}
    needs = {
        task: tuple(needed for needed in dependencies if needed in known)
        for task, dependencies in dependency_graph(decision.tasks).items()
    }
    levels: dict[str, int] = {}
    for task_id in graph.topological_order(needs):
        levels[task_id] = 1 + max((levels[needed] for needed in needs[task_id]), default=-1)
    return [
        TaskView(task_id, ticket_id_of(decision.decision_id, task_id), needs[task_id], levels.get(task_id, 0))
        for task_id in [*levels, *(task for task in needs if task not in levels)]
    ]


def _apply_to_task(task: TaskView, name: str, payload: dict[str, Any]) -> None:
    task.status, task.held_by = STATUS_OF[name], ()
    task.started_at = payload.get("started_at", task.started_at)
    task.completed_at = payload.get("completed_at", task.completed_at)
    task.error = payload.get("error") or payload.get("reason") or ""
    task.outputs = payload.get("outputs") or {}

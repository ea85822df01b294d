"""Decisions, tasks and reports for tests, valid unless told otherwise."""

from typing import Any

from neural_hive.aggregates.decision import DecisionConsolidated
from neural_hive.aggregates.vocabulary import (
    Artifact,
    Consistency,
    DeliveryMode,
    Durability,
    Priority,
    RiskBand,
    SecurityLevel,
    Task,
    TaskType,
)

NOW = 1_700_000_000_000_000
AGENT = "agent-1"


def task(task_id: str, *dependencies: str, **changes: Any) -> Task:
    """A task that executes `true`."""
    fields: dict[str, Any] = {
        "task_type": TaskType.EXECUTE,
        "timeout_ms": 1_000,
        "security_level": SecurityLevel.INTERNAL,
        "command": ("true",),
    }
    return Task(task_id=task_id, dependencies=dependencies, **{**fields, **changes})


def decision(*tasks: Task, **changes: Any) -> DecisionConsolidated:
    """A decision with the id d-1."""
    fields: dict[str, Any] = {
        "decision_id": "d-1",
        "plan_id": "p-1",
        "intent_id": "i-1",
        "risk_band": RiskBand.LOW,
        "priority": Priority.NORMAL,
        "confidence": 0.9,
        "delivery_mode": DeliveryMode.AT_LEAST_ONCE,
        "consistency": Consistency.EVENTUAL,
        "durability": Durability.PERSISTENT,
    }
    return DecisionConsolidated(tasks=tasks, **{**fields, **changes})


def artifact(name: str, content: str = "0") -> Artifact:
    """An artifact whose hash is told by a digit."""
    return Artifact(name, f"sha256:{content * 64}", content * 64, 10)

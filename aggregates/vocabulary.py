"""The words that plans, tickets and workflows share. UNKNOWN stands for a value of a newer build: refused in input.

DERIVED stands in a plan for what it leaves to its risk and priority (`risk.py`); a ticket never has it.
"""

from enum import StrEnum

import msgspec


class TaskType(StrEnum):
    """What a task does."""

    UNKNOWN = "UNKNOWN"
    BUILD = "BUILD"
    TEST = "TEST"
    VALIDATE = "VALIDATE"
    DEPLOY = "DEPLOY"
    EXECUTE = "EXECUTE"


class RiskBand(StrEnum):
    """How much harm a decision may do, as the consensus judged it."""

    UNKNOWN = "UNKNOWN"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Priority(StrEnum):
    """How urgent a decision is to those who asked for it."""

    UNKNOWN = "UNKNOWN"
    LOW = "LOW"
    NORMAL = "NORMAL"
    HIGH = "HIGH"
    CRITICAL = "CRITICAL"


class SecurityLevel(StrEnum):
    """Who may see what a task handles."""

    UNKNOWN = "UNKNOWN"
    PUBLIC = "PUBLIC"
    INTERNAL = "INTERNAL"
    CONFIDENTIAL = "CONFIDENTIAL"
    RESTRICTED = "RESTRICTED"


class DeliveryMode(StrEnum):
    """How often a task may be delivered to an agent."""

    UNKNOWN = "UNKNOWN"
    DERIVED = "DERIVED"
    AT_MOST_ONCE = "AT_MOST_ONCE"
    AT_LEAST_ONCE = "AT_LEAST_ONCE"
    EXACTLY_ONCE = "EXACTLY_ONCE"


class Consistency(StrEnum):
    """How soon others must see a task's effect."""

    UNKNOWN = "UNKNOWN"
    DERIVED = "DERIVED"
    EVENTUAL = "EVENTUAL"
    STRONG = "STRONG"


class Durability(StrEnum):
    """Whether a task's effect must survive a restart."""

    UNKNOWN = "UNKNOWN"
    DERIVED = "DERIVED"
    TRANSIENT = "TRANSIENT"
    PERSISTENT = "PERSISTENT"


class Outcome(StrEnum):
    """How an attempt at a ticket ended."""

    UNKNOWN = "UNKNOWN"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    CANCELLED = "CANCELLED"


class Artifact(msgspec.Struct, frozen=True):
    """A file that a task made, known by its content."""

    name: str
    uri: str
    sha256: str  # 64 hex digits
    size_bytes: int


class Vote(msgspec.Struct, frozen=True):
    """What one specialist thought of a plan."""

    specialist: str
    weight: float
    confidence: float
    approve: bool
    divergence: float = 0.0
    convergence_time_ms: int = 0


class Task(msgspec.Struct, frozen=True):
    """One step of a plan: what is to be done, after what, and within which limits."""

    task_id: str
    task_type: TaskType
    timeout_ms: int
    security_level: SecurityLevel
    description: str = ""
    dependencies: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    parameters: dict[str, str] = {}
    environment: dict[str, str] = {}
    template_id: str = ""
    required_capabilities: tuple[str, ...] = ()
    estimated_duration_ms: int = 0
    max_retries: int = 0
    compensation: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()

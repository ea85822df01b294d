"""The one place where risk and priority become something else: scores, shares, severities, what a plan leaves open.

    what a plan leaves open   low            medium         high           critical
    delivery mode             AT_LEAST_ONCE  AT_LEAST_ONCE  AT_LEAST_ONCE  EXACTLY_ONCE
    consistency               EVENTUAL       STRONG         STRONG         STRONG
    retries                   2              0              0              0

Low risk with priority HIGH is tried once more, with CRITICAL twice. With EXACTLY_ONCE it is 2, whatever the risk, since
only what never began is repeated then; with AT_MOST_ONCE it is 0. An SLA class says more: see SLA_CLASSES.
"""

import math
from typing import Final

import msgspec

from neural_hive.aggregates.incident import Severity
from neural_hive.aggregates.vocabulary import (
    Consistency,
    DeliveryMode,
    Durability,
    Priority,
    RiskBand,
    Task,
)

RISK: Final = {RiskBand.LOW: 0.25, RiskBand.MEDIUM: 0.5, RiskBand.HIGH: 0.75, RiskBand.CRITICAL: 1.0}
URGENCY: Final = {Priority.LOW: 0.25, Priority.NORMAL: 0.5, Priority.HIGH: 0.75, Priority.CRITICAL: 1.0}
URGENCY_WEIGHT: Final = 0.5
RISK_WEIGHT: Final = 0.3
PATH_WEIGHT: Final = 0.2
SHARE_DOUBLES_EVERY: Final = 0.125  # of the score: what a step of the priority adds

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DEADLINE_MS: Final = 4 * HOUR_MS
TIMEOUT_MS: Final = 10 * MINUTE_MS
TIMEOUT_MS_MAX: Final = 7 * 24 * HOUR_MS
ESTIMATES: Final = 3  # how often its estimated duration a task may take
LEFT_OPEN: Final = -1  # stands for a number that a plan leaves open
_NEVER_BEGUN_RETRIES: Final = 2
_RETRIES: Final = {RiskBand.LOW: 2}
_MORE_RETRIES: Final = {Priority.HIGH: 1, Priority.CRITICAL: 2}


class SlaClass(msgspec.Struct, frozen=True):
    """What a class promises, where the plan does not say otherwise."""

    deadline_ms: int
    timeout_ms: int  # of each attempt
    max_retries: int


SLA_CLASSES: Final = {
    "interactive": SlaClass(15 * MINUTE_MS, 2 * MINUTE_MS, 1),
    "standard": SlaClass(DEADLINE_MS, TIMEOUT_MS, 2),
    "batch": SlaClass(24 * HOUR_MS, HOUR_MS, 3),
    "long": SlaClass(7 * 24 * HOUR_MS, 12 * HOUR_MS, 3),
}


class Service(msgspec.Struct, frozen=True):
    """How a workflow's tickets are served."""

    deadline_ms: int  # from acceptance
    timeout_ms: int  # of an attempt, where the task does not say
    max_retries: int  # the same
    delivery_mode: DeliveryMode
    consistency: Consistency
    durability: Durability


def service_of(
    risk_band: RiskBand,
    priority: Priority,
    sla_class: str = "",
    deadline_ms: int = 0,
    delivery_mode: DeliveryMode = DeliveryMode.DERIVED,
    consistency: Consistency = Consistency.DERIVED,
    durability: Durability = Durability.DERIVED,
) -> Service:
    """What a plan asks for, with all that it leaves open: from its SLA class, else from risk and priority.

    A class that is not known promises nothing; `validate` refuses it.
    """
    known = SLA_CLASSES.get(sla_class)
    if delivery_mode is DeliveryMode.DERIVED:
        is_critical = risk_band is RiskBand.CRITICAL
        delivery_mode = DeliveryMode.EXACTLY_ONCE if is_critical else DeliveryMode.AT_LEAST_ONCE
    if consistency is Consistency.DERIVED:
        consistency = Consistency.EVENTUAL if risk_band is RiskBand.LOW else Consistency.STRONG
    if durability is Durability.DERIVED:
        durability = Durability.PERSISTENT
    return Service(
        deadline_ms or (known.deadline_ms if known else DEADLINE_MS),
        known.timeout_ms if known else TIMEOUT_MS,
        known.max_retries if known else _retries(risk_band, priority, delivery_mode),
        delivery_mode,
        consistency,
        durability,
    )


def _retries(risk_band: RiskBand, priority: Priority, delivery_mode: DeliveryMode) -> int:
    if delivery_mode is DeliveryMode.AT_MOST_ONCE:
        return 0
    if delivery_mode is DeliveryMode.EXACTLY_ONCE:
        return _NEVER_BEGUN_RETRIES
    few = _RETRIES.get(risk_band, 0)
    return few + _MORE_RETRIES.get(priority, 0) if few else 0


def served(task: Task, service: Service) -> Task:
    """The task with all that it leaves open. Its time limit is three times its estimated duration, if that is more."""
    timeout_ms, max_retries = task.timeout_ms, task.max_retries
    if timeout_ms == LEFT_OPEN:
        timeout_ms = min(max(service.timeout_ms, ESTIMATES * task.estimated_duration_ms), TIMEOUT_MS_MAX)
    if max_retries == LEFT_OPEN:
        max_retries = service.max_retries
    return msgspec.structs.replace(task, timeout_ms=timeout_ms, max_retries=max_retries)


def priority_score(risk_band: RiskBand, priority: Priority, critical_path_share: float) -> float:
    """How soon a ticket should be taken, 0 to 1; the higher, the sooner.

        score = 0.5 * urgency + 0.3 * risk + 0.2 * critical path share

    `urgency` is 0.25, 0.5, 0.75, 1 for LOW, NORMAL, HIGH, CRITICAL; `risk` is the same for low, medium, high,
    critical (risky work goes first, so that its failure is known while there is time to react). The share is the
    duration of the longest path through the task over that of the longest path of the plan: 1 on the critical
    path. Within one workflow only the share differs, so that its critical path is taken first.

    UNKNOWN counts as nothing. Raises ValueError: the share is not within 0 to 1.
    """
    if not 0.0 <= critical_path_share <= 1.0:
        raise ValueError(f"the critical path share must be within 0 to 1, not {critical_path_share}")
    urgency, risk = URGENCY.get(priority, 0.0), RISK.get(risk_band, 0.0)
    score = URGENCY_WEIGHT * urgency + RISK_WEIGHT * risk + PATH_WEIGHT * critical_path_share
    return round(score, 6)


def rescored(score: float, was: Priority, priority: Priority) -> float:
    """The score that a ticket has when its workflow's priority has changed."""
    return round(score + URGENCY_WEIGHT * (URGENCY.get(priority, 0.0) - URGENCY.get(was, 0.0)), 6)


def share_of(score: float) -> float:
    """How large a part of busy agents a ticket's workflow gets, beside one whose tickets have a score of 0.5."""
    return round(math.pow(2.0, (score - 0.5) / SHARE_DOUBLES_EVERY), 3)


_BY_RISK: Final = {
    RiskBand.LOW: Severity.LOW,
    RiskBand.MEDIUM: Severity.MEDIUM,
    RiskBand.HIGH: Severity.HIGH,
    RiskBand.CRITICAL: Severity.CRITICAL,
}
_BY_PRIORITY: Final = {
    Priority.LOW: Severity.LOW,
    Priority.NORMAL: Severity.LOW,
    Priority.HIGH: Severity.HIGH,
    Priority.CRITICAL: Severity.CRITICAL,
}


def severity_of(risk_band: RiskBand, priority: Priority) -> Severity:
    """How much trouble with a workflow matters: by its risk or its priority, whichever says more."""
    severities = (_BY_RISK.get(risk_band, Severity.LOW), _BY_PRIORITY.get(priority, Severity.LOW))
    return max(severities, key=list(Severity).index)

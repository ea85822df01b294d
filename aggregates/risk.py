"""The one place where risk, priority and critical path become a score; whoever ranks work uses it."""

from typing import Final

from neural_hive.aggregates.vocabulary import Priority, RiskBand

RISK: Final = {RiskBand.LOW: 0.25, RiskBand.MEDIUM: 0.5, RiskBand.HIGH: 0.75, RiskBand.CRITICAL: 1.0}
URGENCY: Final = {Priority.LOW: 0.25, Priority.NORMAL: 0.5, Priority.HIGH: 0.75, Priority.CRITICAL: 1.0}
URGENCY_WEIGHT: Final = 0.5
RISK_WEIGHT: Final = 0.3
PATH_WEIGHT: Final = 0.2


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

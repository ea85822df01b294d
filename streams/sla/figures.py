"""SLOs, budgets, policies and freezes as they stand, by partition: what the SLA's gauges are read from.

It begins with the state of each partition when it opens, follows what is committed, and forgets a partition that goes
elsewhere: so it is true after a restart too.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from heapq import nsmallest
from typing import Any, Final

import msgspec

from neural_hive.aggregates.budget import BUDGET_AGGREGATE, Budget, BudgetEvaluated
from neural_hive.aggregates.burn import Level, Status, burn_rate
from neural_hive.aggregates.freeze import FREEZE, DeployFreeze
from neural_hive.aggregates.freeze import Standing as Freezing
from neural_hive.aggregates.freeze_policy import FREEZE_POLICY, FreezePolicy
from neural_hive.aggregates.incident import Severity
from neural_hive.aggregates.slo import SLO, Slo
from neural_hive.aggregates.violation import ViolationOpened
from neural_hive.streams.kernel.system import Committed, Observed, Standing

WINDOW_HOURS: Final = {"1h": "1", "6h": "6", "24h": "24", "3d": "72"}
_SEVERITIES: Final = (Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM)
_NONE: Final = dict.fromkeys((severity.value for severity in _SEVERITIES), 0)


class Left(msgspec.Struct, frozen=True):
    """What the last look at a budget has shown."""

    remaining: float  # share of the budget
    status: Status
    level: Level
    rates: dict[str, float]  # burn rates by the names of WINDOW_HOURS

    @property
    def urgency(self) -> tuple[bool, float]:
        """Sorts: what burns or is used up comes first, then that of which least is left."""
        is_calm = self.level is Level.NORMAL and self.status is not Status.EXHAUSTED
        return is_calm, self.remaining


class Told(msgspec.Struct, frozen=True):
    """What is told of one SLO: its budget, the most urgent one if it has several, and what was counted of it."""

    slo_id: str
    slo: Slo
    left: Left
    looks: dict[str, int]  # at its budgets, by the status that was found
    violations: dict[str, int]  # that were opened, by severity


class _Partition:
    """What one partition holds; `looks` and `violations` since it was opened here."""

    def __init__(self) -> None:
        self.slos: dict[str, Slo] = {}
        self.budgets: dict[str, dict[str, Left]] = {}  # SLO → those of its measure, by their ids
        self.policies: dict[str, FreezePolicy] = {}
        self.freezes: dict[str, DeployFreeze] = {}  # active ones
        self.looks: dict[str, Counter[str]] = {}
        self.violations: dict[str, Counter[str]] = {}

    def has_slo(self, slo_id: str, slo: Slo) -> None:
        """An SLO is so now: budgets of another measure are its own no more."""
        known = self.slos.get(slo_id)
        self.slos[slo_id] = slo
        if slo.is_removed or (known is not None and known.measure != slo.measure):
            for kept in (self.budgets, self.looks, self.violations):
                kept.pop(slo_id, None)

    def has_budget(self, budget_id: str, budget: Budget) -> None:
        """A budget is so now."""
        slo = self.slos.get(budget.place.slo_id)
        left = left_of(budget)
        if (
            left is not None
            and slo is not None
            and not slo.is_removed
            and slo.measure == budget.place.measure
        ):
            self.budgets.setdefault(budget.place.slo_id, {})[budget_id] = left

    def has_freeze(self, freeze_id: str, freeze: DeployFreeze) -> None:
        """A freeze is so now."""
        if freeze.standing is Freezing.ACTIVE:
            self.freezes[freeze_id] = freeze
        else:
            self.freezes.pop(freeze_id, None)

    def follow(self, observed: Observed) -> None:
        """What one event has changed."""
        name, after = observed.aggregate_id, observed.after
        if observed.aggregate == SLO.name:
            self.has_slo(name, after)
        elif observed.aggregate == BUDGET_AGGREGATE.name:
            self.has_budget(name, after)
        elif observed.aggregate == FREEZE_POLICY.name:
            self.policies[name] = after
        elif observed.aggregate == FREEZE.name:
            self.has_freeze(name, after)
        match observed.event:
            case BudgetEvaluated(slo_id=slo_id, status=status):
                self.looks.setdefault(slo_id, Counter())[status] += 1
            case ViolationOpened(slo_id=slo_id, severity=severity):
                self.violations.setdefault(slo_id, Counter())[severity] += 1
            case _:
                pass

    def told(self) -> Iterator[Told]:
        """The SLOs that are measured and were looked at."""
        for slo_id, budgets in self.budgets.items():
            slo = self.slos[slo_id]
            if slo.is_measured:
                looks, violations = (kept.get(slo_id, Counter()) for kept in (self.looks, self.violations))
                urgent = min(budgets.values(), key=lambda left: left.urgency)
                yield Told(slo_id, slo, urgent, dict(looks), {**_NONE, **violations})


def left_of(budget: Budget) -> Left | None:
    """What of a budget is told; None: it was not looked at yet."""
    if budget.terms is None:
        return None
    rates = {name: burn_rate(budget.sums[name], budget.terms.target) for name in WINDOW_HOURS}
    return Left(budget.remaining, budget.status, budget.level, rates)


class Figures:
    """May be told and asked by many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._partitions: dict[int, _Partition] = {}

    def opened(self, partition: int, standing: Standing) -> None:
        """Begins with what the partition holds."""
        found = _Partition()
        for slo_id in standing.ids(SLO.name):
            found.has_slo(slo_id, _known(standing.load(SLO, slo_id)))
        for budget_id in standing.ids(BUDGET_AGGREGATE.name):
            found.has_budget(budget_id, _known(standing.load(BUDGET_AGGREGATE, budget_id)))
        for policy_id in standing.ids(FREEZE_POLICY.name):
            found.policies[policy_id] = _known(standing.load(FREEZE_POLICY, policy_id))
        for freeze_id in standing.ids(FREEZE.name):
            found.has_freeze(freeze_id, _known(standing.load(FREEZE, freeze_id)))
        with self._lock:
            self._partitions[partition] = found

    def closed(self, partition: int) -> None:
        """Forgets a partition."""
        with self._lock:
            self._partitions.pop(partition, None)

    def follow(self, committed: Committed) -> None:
        """What has changed with a transaction."""
        with self._lock:
            partition = self._partitions.setdefault(committed.partition, _Partition())
            for observed in committed.events:
                partition.follow(observed)

    def told(self, most: int) -> tuple[list[Told], int]:
        """The most urgent SLOs, and how many more there are."""
        with self._lock:
            every = [told for partition in self._partitions.values() for told in partition.told()]
        chosen = nsmallest(most, every, key=lambda told: (told.left.urgency, told.slo_id))
        return chosen, len(every) - len(chosen)

    def slos(self) -> Counter[tuple[str, str]]:
        """How many SLOs of each type there are, measured or not; removed ones are none."""
        with self._lock:
            return Counter(
                (slo.definition.slo_type.value, _word(slo.definition.enabled))
                for partition in self._partitions.values()
                for slo in partition.slos.values()
                if not slo.is_removed
            )

    def policies(self) -> Counter[tuple[str, str]]:
        """How many policies of each scope there are, enabled or not; removed ones are none."""
        with self._lock:
            return Counter(
                (found.policy.scope.value, _word(found.policy.enabled))
                for partition in self._partitions.values()
                for found in partition.policies.values()
                if not found.is_removed
            )

    def budgets(self) -> Counter[tuple[str, str]]:
        """How many budgets of measured SLOs are how."""
        with self._lock:
            return Counter(
                (left.status.value, left.level.value)
                for partition in self._partitions.values()
                for slo_id, budgets in partition.budgets.items()
                if partition.slos[slo_id].is_measured
                for left in budgets.values()
            )

    def freezes(self) -> list[tuple[DeployFreeze, str]]:
        """The active freezes, and the service whose budget each is for; by hand: the one that it is about."""
        with self._lock:
            return [
                (freeze, _service(partition.slos.get(freeze.slo_id), freeze))
                for partition in self._partitions.values()
                for freeze in partition.freezes.values()
            ]


def _known(state: Any) -> Any:
    assert state is not None, "an id belongs to a state"
    return state


def _word(is_so: bool) -> str:
    return "true" if is_so else "false"


def _service(slo: Slo | None, freeze: DeployFreeze) -> str:
    if slo is not None:
        return slo.definition.service_name
    return freeze.subject if freeze.scope == "SERVICE" else ""

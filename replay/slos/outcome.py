"""What became of budgets, freezes and violations, from their events: the same for a history and for a run."""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any, Final

import msgspec

from neural_hive.aggregates.aggregate import Aggregate, event_of
from neural_hive.aggregates.budget import BUDGET_AGGREGATE, BudgetEvaluated
from neural_hive.aggregates.burn import Level, Status
from neural_hive.aggregates.freeze import FREEZE, DeployFreeze, FreezeActivated, Standing
from neural_hive.aggregates.violation import VIOLATION, Kind, Violation
from neural_hive.schemas.envelope import Envelope

TOPICS: Final = (BUDGET_AGGREGATE.topic, FREEZE.topic, VIOLATION.topic)
_OF_MEASURE: Final = frozenset({"budget_id", "measure", "revision", "evaluated_at"})  # not of what was seen
Key = tuple[str, str]  # SLO and dimension


class Look(msgspec.Struct, frozen=True):
    """A budget as it was seen."""

    upto: int  # µs
    good: int
    valid: int
    remaining: float
    status: Status
    level: Level


class Frozen(msgspec.Struct, frozen=True):
    """A time in which a freeze held."""

    freeze: DeployFreeze
    begun_at: int  # µs
    ended_at: int | None  # None: it holds still
    reason: str

    @property
    def key(self) -> tuple[str, str, str, int, int | None]:
        """What tells it from others: whose it is, and when it was."""
        return self.freeze.policy_id, self.freeze.slo_id, self.freeze.subject, self.begun_at, self.ended_at


class Violated(msgspec.Struct, frozen=True):
    """A time in which a violation was open."""

    slo_id: str
    dimension: str
    kind: Kind
    begun_at: int
    ended_at: int | None


class BudgetOutcome(msgspec.Struct):
    """What became of a budget."""

    looks: list[Look] = []
    digest: str = ""  # of all that was seen of it
    measure: int = 0


class Outcome(msgspec.Struct):
    """What became of all of them."""

    budgets: dict[Key, BudgetOutcome] = {}
    freezes: list[Frozen] = []
    violations: list[Violated] = []


class Collector:
    """Makes an outcome of events, as they come."""

    def __init__(self) -> None:
        self.outcome = Outcome()
        self._freezes: dict[str, tuple[DeployFreeze, FreezeActivated]] = {}
        self._violations: dict[str, tuple[Violation, Key]] = {}

    def hear(self, head: Envelope, payload: Mapping[str, Any]) -> None:
        """One event; of an aggregate in its order. Raises LookupError: it is not one of this build."""
        match head.aggregate_type:
            case BUDGET_AGGREGATE.name if head.event_type == BudgetEvaluated.__name__:
                self._look(_event(BUDGET_AGGREGATE, head, payload), payload)
            case FREEZE.name:
                self._freeze(head, payload)
            case VIOLATION.name:
                self._violate(head, payload)
            case _:
                return

    def end(self, at: int) -> Outcome:
        """All that was, once it is `at` µs: what holds still is told as such."""
        for freeze, begun in self._freezes.values():
            self._note_freeze(freeze, begun, None)
        for violation, key in self._violations.values():
            self.outcome.violations.append(Violated(*key, violation.kind, violation.opened_at, None))
        self._freezes, self._violations = {}, {}
        self.outcome.freezes.sort(key=lambda f: (f.begun_at, f.freeze.freeze_id))
        self.outcome.violations.sort(key=lambda v: (v.begun_at, v.slo_id, v.dimension, v.kind))
        return self.outcome

    def _look(self, seen: Any, payload: Mapping[str, Any]) -> None:
        budget = self.outcome.budgets.setdefault((seen.slo_id, seen.dimension), BudgetOutcome())
        if seen.measure < budget.measure:
            return  # it drains: another way of measuring has taken its place
        if seen.measure > budget.measure:
            budget.looks.clear()
        budget.measure = seen.measure
        whole = seen.sums[0]
        look = Look(seen.upto, whole.good, whole.valid, seen.remaining, seen.status, seen.level)
        if not budget.looks or not _is_same(budget.looks[-1], look):
            budget.looks.append(look)
        said = {name: value for name, value in payload.items() if name not in _OF_MEASURE}
        packed = msgspec.json.encode((budget.digest, said), order="deterministic")
        budget.digest = sha256(packed).hexdigest()[:16]

    def _freeze(self, head: Envelope, payload: Mapping[str, Any]) -> None:
        event: Any = _event(FREEZE, head, payload)
        found = self._freezes.pop(head.aggregate_id, None)
        if isinstance(event, FreezeActivated):
            self._freezes[head.aggregate_id] = FREEZE.evolve(None, event), event
        elif found is not None:
            if FREEZE.evolve(found[0], event).standing is Standing.ACTIVE:
                self._freezes[head.aggregate_id] = found
            else:
                self._note_freeze(*found, event.resolved_at)

    def _note_freeze(self, freeze: DeployFreeze, begun: FreezeActivated, ended_at: int | None) -> None:
        self.outcome.freezes.append(Frozen(freeze, begun.activated_at, ended_at, begun.reason))

    def _violate(self, head: Envelope, payload: Mapping[str, Any]) -> None:
        event: Any = _event(VIOLATION, head, payload)
        found = self._violations.pop(head.aggregate_id, None)
        if head.event_type == "ViolationOpened":
            key = event.slo_id, dimension_of(event.budget_id)
            self._violations[head.aggregate_id] = VIOLATION.evolve(found and found[0], event), key
        elif found is not None:
            opened, key = found
            self.outcome.violations.append(Violated(*key, opened.kind, opened.opened_at, event.closed_at))


def dimension_of(budget_id: str) -> str:
    """Which of an SLO's budgets it is: see budget_id_of."""
    return budget_id.partition("@")[2].partition("/")[2]


def _event(aggregate: Aggregate[Any], head: Envelope, payload: Mapping[str, Any]) -> Any:
    return event_of(aggregate, head.event_type, payload)


def _is_same(left: Look, right: Look) -> bool:
    return msgspec.structs.replace(left, upto=right.upto) == right


def length(begun_at: int, ended_at: int | None, since: int, until: int) -> int:
    """How much of a time lies between two others, µs."""
    end = until if ended_at is None else min(ended_at, until)
    return max(end - max(begun_at, since), 0)


def union(times: Iterable[tuple[int, int | None]], since: int, until: int) -> int:
    """How long at least one of several times lasted, between two others, µs."""
    total = reached = 0
    for begun_at, ended_at in sorted((begin, until if end is None else end) for begin, end in times):
        begin, end = max(begun_at, since, reached), min(ended_at, until)
        if end > begin:
            total += end - begin
            reached = end
    return total

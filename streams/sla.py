"""The SLA calculator: counts good and valid events of SLOs, looks at what is left of their budgets, and freezes.

    sla.commands        → SLOs and policies are defined, revised, removed      → sla.definitions
                        → budgets are corrected, or looked at now              → sla.budgets
                        → freezes are made and ended by hand                   → sla.freeze.events
    sla.measurements    → events of an SLO are counted, each in its minute     → sla.budgets
    timer "evaluate"    → a budget is looked at: windows move on               → sla.budgets
                        → violations are opened and closed                     → sla.violations
                        → by each policy that concerns it, it freezes or not   → sla.freeze.events

All that concerns an SLO stands in the SLO's partition. Policies are read whole by every partition.
"""

from time import perf_counter
from typing import Final

from neural_hive.aggregates.aggregate import Rejected
from neural_hive.aggregates.budget import (
    BUDGET_AGGREGATE,
    EVALUATE_TIMER,
    LATENESS_US,
    Adjust,
    AdjustmentKind,
    Budget,
    BudgetEvaluated,
    Count,
    Place,
    Terms,
    budget_id_of,
    minute_of,
)
from neural_hive.aggregates.budget_reading import evaluation, standing
from neural_hive.aggregates.freeze import BY_HAND, FREEZE, Freeze, Resolve, Weigh, freeze_id_of
from neural_hive.aggregates.freeze_policy import FREEZE_POLICY, DefinePolicy, RemovePolicy
from neural_hive.aggregates.sla_window import DAY
from neural_hive.aggregates.slo import SLO, Slo
from neural_hive.aggregates.slo import DefineSlo as Define
from neural_hive.aggregates.slo import RemoveSlo as Remove
from neural_hive.aggregates.violation import VIOLATION, Kind, Look, Seen, violation_id_of
from neural_hive.streams.kernel.system import System, Unit
from neural_hive.streams.sla_messages import (
    COMMANDS,
    MEASUREMENTS,
    REPARTITION,
    AdjustBudget,
    CountSli,
    DefineFreezePolicy,
    DefineSlo,
    FreezeByHand,
    RecalculateBudget,
    RemoveFreezePolicy,
    RemoveSlo,
    ResolveFreeze,
)
from neural_hive.streams.sla_view import POLICIES, Policies

NAME: Final = "sla"
POLICIES_MAX: Final = 1_000  # each budget is weighed by each of them
STRETCH_US_MAX: Final = 8 * DAY  # of which an adjustment may ask what stands there
CALCULATION: Final = "calculation"  # what is measured: how long a look at a budget computed, s
POLICY: Final = "policy"  # what is measured: how long a budget was weighed by one policy, s
_VIEW: Final = "policies"
_KINDS: Final = tuple(kind for kind in Kind if kind is not Kind.UNKNOWN)


def build() -> System:
    """The system."""
    sla = System(
        NAME,
        (SLO, FREEZE_POLICY, BUDGET_AGGREGATE, FREEZE, VIOLATION),
        (__name__,),
        repartition=REPARTITION,
        views={_VIEW: POLICIES},
    )

    @sla.on(COMMANDS, DefineSlo, route="slo_id")
    def define(unit: Unit, wanted: DefineSlo) -> None:
        if wanted.definition.slo_id != wanted.slo_id:
            raise Rejected("slo_id is not that of the definition")
        command = Define(wanted.definition, wanted.revision, wanted.requested_by, wanted.reason, unit.now)
        unit.execute(SLO, wanted.slo_id, command)

    @sla.on(COMMANDS, RemoveSlo, route="slo_id")
    def remove(unit: Unit, wanted: RemoveSlo) -> None:
        unit.execute(SLO, wanted.slo_id, Remove(wanted.requested_by, wanted.reason, unit.now))

    @sla.on(COMMANDS, DefineFreezePolicy, route="policy_id")
    def define_policy(unit: Unit, wanted: DefineFreezePolicy) -> None:
        _define_policy(unit, wanted)

    @sla.on(COMMANDS, RemoveFreezePolicy, route="policy_id")
    def remove_policy(unit: Unit, wanted: RemoveFreezePolicy) -> None:
        command = RemovePolicy(wanted.requested_by, wanted.reason, unit.now)
        unit.execute(FREEZE_POLICY, wanted.policy_id, command)

    @sla.on(MEASUREMENTS, CountSli, route="slo_id")
    def count(unit: Unit, measured: CountSli) -> None:
        _count(unit, measured)

    @sla.on_timer(BUDGET_AGGREGATE, EVALUATE_TIMER)
    def look(unit: Unit, budget_id: str) -> None:
        _evaluate(unit, budget_id)

    @sla.on(COMMANDS, RecalculateBudget, route="slo_id")
    def recalculate(unit: Unit, wanted: RecalculateBudget) -> None:
        _evaluate(unit, _budget_of(unit, wanted.slo_id, wanted.dimension).place.budget_id)

    @sla.on(COMMANDS, AdjustBudget, route="slo_id")
    def adjust(unit: Unit, wanted: AdjustBudget) -> None:
        _adjust(unit, wanted)

    @sla.on(COMMANDS, FreezeByHand, route="policy_id")
    def freeze(unit: Unit, wanted: FreezeByHand) -> None:
        policy = unit.load(FREEZE_POLICY, wanted.policy_id)
        if policy is None:
            raise Rejected(f"there is no policy {wanted.policy_id}: define one that says what is frozen")
        command = Freeze(policy, wanted.requested_by, wanted.reason, unit.now)
        unit.execute(FREEZE, freeze_id_of(wanted.policy_id, BY_HAND), command)

    @sla.on(COMMANDS, ResolveFreeze, route="routing_id")
    def resolve(unit: Unit, wanted: ResolveFreeze) -> None:
        unit.execute(FREEZE, wanted.freeze_id, Resolve(wanted.requested_by, wanted.reason, unit.now))

    return sla


def _define_policy(unit: Unit, wanted: DefineFreezePolicy) -> None:
    if wanted.policy.policy_id != wanted.policy_id:
        raise Rejected("policy_id is not that of the policy")
    known: Policies = unit.view(_VIEW).value
    if wanted.policy_id not in known and len(known) >= POLICIES_MAX:
        raise Rejected(f"there are {POLICIES_MAX:,} policies, and there can be no more: revise one of them")
    command = DefinePolicy(wanted.policy, wanted.revision, wanted.requested_by, wanted.reason, unit.now)
    unit.execute(FREEZE_POLICY, wanted.policy_id, command)


def _count(unit: Unit, measured: CountSli) -> None:
    slo = unit.load(SLO, measured.slo_id)
    if slo is None:
        raise Rejected(f"there is no SLO {measured.slo_id}")
    if not slo.is_measured or measured.measure != slo.measure:
        return  # it was counted by a definition that holds no longer
    place = Place(
        budget_id_of(measured.slo_id, measured.measure, measured.dimension),
        measured.slo_id,
        measured.dimension,
        measured.measure,
    )
    counted = Count(place, _terms(slo), measured.counts, measured.source, unit.now)
    unit.execute(BUDGET_AGGREGATE, place.budget_id, counted)


def _terms(slo: Slo) -> Terms:
    wanted = slo.definition
    return Terms(slo.revision, wanted.target, wanted.window_kind, wanted.window_days)


def _evaluate(unit: Unit, budget_id: str) -> None:
    """Moves the windows on to the last full minute, and draws the conclusions."""
    started = perf_counter()
    budget = unit.load(BUDGET_AGGREGATE, budget_id)
    assert budget is not None, "a timer belongs to a state"
    slo = unit.load(SLO, budget.place.slo_id)
    assert slo is not None, "a budget belongs to an SLO"
    is_measured = slo.is_measured and slo.measure == budget.place.measure
    # A budget that nobody measures any more goes by its last terms, until its windows are empty.
    terms = _terms(slo) if is_measured or budget.terms is None else budget.terms
    upto = max(minute_of(unit.now - LATENESS_US), budget.upto)
    for event in unit.execute(
        BUDGET_AGGREGATE, budget_id, evaluation(budget, terms, upto, unit.now, unit.count)
    ):
        if isinstance(event, BudgetEvaluated):
            _conclude(unit, event, slo, is_measured)
    unit.measure(CALCULATION, budget_id, perf_counter() - started)


def _conclude(unit: Unit, found: BudgetEvaluated, slo: Slo, is_measured: bool) -> None:
    last_hour = next(s.burn_rate for s in found.sums if s.window == "1h")
    standing_now = found.remaining, found.status, found.level, last_hour, found.upto
    seen = Seen(found.slo_id, found.budget_id, slo.definition.service_name, *standing_now)
    for kind in _KINDS:
        violation_id = violation_id_of(found.budget_id, kind)
        unit.execute(VIOLATION, violation_id, Look(kind, seen, is_measured, unit.now))
    policies: Policies = unit.view(_VIEW).value
    for name in sorted(policies):
        freeze_id = freeze_id_of(name, found.budget_id)
        concerned = policies[name].policy.concerns(slo.definition)
        if concerned or unit.load(FREEZE, freeze_id) is not None:
            started = perf_counter()
            weigh = Weigh(
                policies[name],
                found.slo_id,
                found.budget_id,
                found.remaining,
                found.level,
                found.upto,
                is_measured and concerned,
                unit.now,
            )
            unit.execute(FREEZE, freeze_id, weigh)
            unit.measure(POLICY, freeze_id, perf_counter() - started)


def _budget_of(unit: Unit, slo_id: str, dimension: str) -> Budget:
    slo = unit.load(SLO, slo_id)
    if slo is None:
        raise Rejected(f"there is no SLO {slo_id}")
    budget = unit.load(BUDGET_AGGREGATE, budget_id_of(slo_id, slo.measure, dimension))
    if budget is None:
        raise Rejected(f"nothing was counted yet for the SLO {slo_id} {dimension}".strip())
    return budget


def _adjust(unit: Unit, wanted: AdjustBudget) -> None:
    budget = _budget_of(unit, wanted.slo_id, wanted.dimension)
    starts_at, ends_at = wanted.starts_at, wanted.ends_at
    is_lifted = wanted.kind is AdjustmentKind.LIFT
    if is_lifted:
        lifted = [e for e in budget.exclusions if e.adjustment_id == wanted.adjustment_id]
        starts_at, ends_at = (lifted[0].starts_at, lifted[0].ends_at) if lifted else (0, 0)
    if ends_at - starts_at > STRETCH_US_MAX:  # refused below, without reading what stands there
        ends_at = starts_at
    found, hours = standing(budget, starts_at, ends_at, is_lifted, unit.count)
    command = Adjust(
        wanted.adjustment_id,
        wanted.kind,
        starts_at,
        ends_at,
        found,
        hours,
        wanted.good,
        wanted.valid,
        wanted.requested_by,
        wanted.reason,
        unit.now,
    )
    unit.execute(BUDGET_AGGREGATE, budget.place.budget_id, command)

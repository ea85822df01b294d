"""The SLA calculator: counts good and valid events of SLOs, looks at what is left of their budgets, and freezes.

    sla.commands        → SLOs and policies are defined, revised, removed      → sla.definitions
                        → budgets are corrected, or looked at now              → sla.budgets
                        → freezes are made and ended by hand                   → sla.freeze.events
                        → alerts of others are noted, and the budget looked at → sla.violations
                        → exceptions are asked for, allowed, taken back        → sla.freeze.events
    sla.measurements    → events of an SLO are counted, each in its minute     → sla.budgets
                        → SLOs that are made of it are told: see composites.py → sla.measurements
                        → so is what was there before it: see history.py       → sla.history
    timer "evaluate"    → a budget is looked at: windows move on               → sla.budgets
                        → violations are opened and closed                     → sla.violations
                        → by each policy that concerns it, it freezes or not   → sla.freeze.events
    timer "expire"      → an exception is over                                 → sla.freeze.events

All that concerns an SLO stands in the SLO's partition. Policies and SLOs are read whole by every partition. One that is
not there was removed: each budget knows its freezes, and lets go those by it.
"""

from time import perf_counter
from typing import Final

import msgspec

from neural_hive.aggregates.aggregate import Rejected
from neural_hive.aggregates.alert import ALERT, Note, Told, alert_id_of
from neural_hive.aggregates.budget import (
    BUDGET_AGGREGATE,
    EVALUATE_TIMER,
    LATENESS_US,
    Adjust,
    AdjustmentKind,
    Budget,
    BudgetEvaluated,
    budget_id_of,
    minute_of,
)
from neural_hive.aggregates.budget_reading import evaluation, standing
from neural_hive.aggregates.freeze import (
    BY_HAND,
    FREEZE,
    Freeze,
    LetGo,
    Resolve,
    Weigh,
    freeze_id_of,
    queue_of,
)
from neural_hive.aggregates.freeze_exception import FREEZE_EXCEPTION
from neural_hive.aggregates.freeze_policy import FREEZE_POLICY, DefinePolicy, RemovePolicy
from neural_hive.aggregates.sla_window import DAY
from neural_hive.aggregates.sli_history import SLI_HISTORY
from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.slo import SLO, Slo, SloDefined
from neural_hive.aggregates.slo import DefineSlo as Define
from neural_hive.aggregates.slo import RemoveSlo as Remove
from neural_hive.aggregates.slo_part import SLO_PART
from neural_hive.aggregates.violation import VIOLATION, Kind, Look, Seen, violation_id_of
from neural_hive.streams.exceptions_view import FROZEN
from neural_hive.streams.kernel.system import System, Unit
from neural_hive.streams.sla import composites
from neural_hive.streams.sla import exceptions as sla_exceptions
from neural_hive.streams.sla import history as sla_history
from neural_hive.streams.sla.counting import into_budget, terms_of
from neural_hive.streams.sla.messages import (
    COMMANDS,
    MEASUREMENTS,
    REPARTITION,
    AdjustBudget,
    CountSli,
    DefineFreezePolicy,
    DefineSlo,
    FreezeByHand,
    NoteAlert,
    RecalculateBudget,
    RemoveFreezePolicy,
    RemoveSlo,
    ResolveFreeze,
)
from neural_hive.streams.sla.view import POLICIES, SLOS, Policies

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
        (
            SLO,
            SLO_PART,
            FREEZE_POLICY,
            BUDGET_AGGREGATE,
            FREEZE,
            VIOLATION,
            ALERT,
            SLI_HISTORY,
            FREEZE_EXCEPTION,
        ),
        (__name__,),
        repartition=REPARTITION,
        views={_VIEW: POLICIES, composites.VIEW: SLOS, sla_exceptions.VIEW: FROZEN},
    )
    sla_exceptions.register(sla)

    @sla.on(COMMANDS, DefineSlo, route="slo_id")
    def define(unit: Unit, wanted: DefineSlo) -> None:
        if wanted.definition.slo_id != wanted.slo_id:
            raise Rejected("slo_id is not that of the definition")
        command = Define(wanted.definition, wanted.revision, wanted.requested_by, wanted.reason, unit.now)
        before = unit.load(SLO, wanted.slo_id)
        for event in unit.execute(SLO, wanted.slo_id, command):
            if isinstance(event, SloDefined):
                composites.defined(unit, before, event)
                if before is not None and event.measure != before.measure:
                    sla_history.drop(unit, before)

    @sla.on(COMMANDS, RemoveSlo, route="slo_id")
    def remove(unit: Unit, wanted: RemoveSlo) -> None:
        before = unit.load(SLO, wanted.slo_id)
        command = Remove(wanted.requested_by, wanted.reason, unit.now)
        if unit.execute(SLO, wanted.slo_id, command) and before is not None:
            composites.removed(unit, before)
            sla_history.drop(unit, before)

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

    composites.declare(sla)
    sla_history.declare(sla)

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

    @sla.on(COMMANDS, NoteAlert, route="slo_id")
    def note_alert(unit: Unit, noted: NoteAlert) -> None:
        _note_alert(unit, noted)

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
    if not _is_counted(slo) or measured.measure != slo.measure:
        return  # it was counted by a definition that holds no longer
    into_budget(unit, slo, measured.dimension, measured.counts, measured.source)


def _is_counted(slo: Slo) -> bool:
    """A composite SLO that is not enabled counts all the same, or it would miss what its parts take back later."""
    is_composite = slo.definition.indicator.source is Source.COMPOSITE
    return slo.is_measured or (is_composite and not slo.is_removed)


def _evaluate(unit: Unit, budget_id: str) -> None:
    """Moves the windows on to the last full minute, and draws the conclusions."""
    started = perf_counter()
    budget = unit.load(BUDGET_AGGREGATE, budget_id)
    assert budget is not None, "a timer belongs to a state"
    slo = unit.load(SLO, budget.place.slo_id)
    assert slo is not None, "a budget belongs to an SLO"
    is_measured = slo.is_measured and slo.measure == budget.place.measure
    # A budget that nobody measures any more goes by its last terms, until its windows are empty.
    terms = terms_of(slo) if is_measured or budget.terms is None else budget.terms
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
    for freeze_id in unit.first(queue_of(found.budget_id), POLICIES_MAX):
        freeze = unit.load(FREEZE, freeze_id)
        if freeze is not None and freeze.policy_id not in policies:
            unit.execute(FREEZE, freeze_id, LetGo(found.remaining, found.level, found.upto, unit.now))


def _note_alert(unit: Unit, noted: NoteAlert) -> None:
    """Notes what is new of an alert, and looks at the budget that it is about: policies weigh that, not the alert."""
    slo = unit.load(SLO, noted.slo_id)
    if slo is None:
        raise Rejected(f"there is no SLO {noted.slo_id}")
    told = msgspec.convert(noted, Told, from_attributes=True)
    command = Note(told, noted.signal, noted.ends_at, noted.requested_by, unit.now)
    if not unit.execute(ALERT, alert_id_of(noted.slo_id, noted.fingerprint), command):
        return
    by = slo.definition.indicator.group_by
    budget_id = budget_id_of(noted.slo_id, slo.measure, noted.labels.get(by, "") if by else "")
    if unit.load(BUDGET_AGGREGATE, budget_id) is not None:
        _evaluate(unit, budget_id)


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
    events = unit.execute(BUDGET_AGGREGATE, budget.place.budget_id, command)
    composites.changed(unit, wanted.slo_id, f"adjustment {wanted.adjustment_id}", events)

"""What is said to the SLA calculator: by people, by who counts events, and by SLOs to those that are made of them."""

from typing import Final

import msgspec

from neural_hive.aggregates.alert import Signal, Told
from neural_hive.aggregates.budget import AdjustmentKind, Counted
from neural_hive.aggregates.freeze_exception import Scope
from neural_hive.aggregates.freeze_policy import Policy
from neural_hive.aggregates.slo import Definition

COMMANDS: Final = "sla.commands"
MEASUREMENTS: Final = "sla.measurements"
REPARTITION: Final = "sla.repartition"


class DefineSlo(msgspec.Struct, frozen=True):
    """An SLO shall be as it is here. `revision`: the one that was changed; 0: it is new."""

    slo_id: str
    definition: Definition
    revision: int = 0
    requested_by: str = ""
    reason: str = ""


class RemoveSlo(msgspec.Struct, frozen=True):
    """An SLO shall be measured no longer."""

    slo_id: str
    requested_by: str = ""
    reason: str = ""


class DefineFreezePolicy(msgspec.Struct, frozen=True):
    """A freeze policy shall be as it is here. `revision`: the one that was changed; 0: it is new."""

    policy_id: str
    policy: Policy
    revision: int = 0
    requested_by: str = ""
    reason: str = ""


class RemoveFreezePolicy(msgspec.Struct, frozen=True):
    """A policy shall freeze nothing any more."""

    policy_id: str
    requested_by: str = ""
    reason: str = ""


class CountSli(msgspec.Struct, frozen=True):
    """Events of an SLO have happened. `measure` says how they were told apart: see SloDefined."""

    slo_id: str
    measure: int
    counts: tuple[Counted, ...]
    source: str
    dimension: str = ""


class JoinComposite(msgspec.Struct, frozen=True):
    """What an SLO has counted and will count shall count in a composite SLO too."""

    slo_id: str
    composite_id: str
    measure: int  # of the composite
    weight: int  # each event counts so often


class LeaveComposite(msgspec.Struct, frozen=True):
    """What an SLO counts shall be told to a composite SLO no longer."""

    slo_id: str
    composite_id: str
    measure: int


class AdjustBudget(msgspec.Struct, frozen=True):
    """What was counted for an SLO shall be corrected."""

    slo_id: str
    adjustment_id: str
    kind: AdjustmentKind
    starts_at: int  # µs
    ends_at: int
    reason: str
    dimension: str = ""
    good: int = 0
    valid: int = 0
    requested_by: str = ""


class RecalculateBudget(msgspec.Struct, frozen=True):
    """An SLO's budget shall be looked at now."""

    slo_id: str
    dimension: str = ""
    requested_by: str = ""


class FreezeByHand(msgspec.Struct, frozen=True):
    """What a policy concerns shall be frozen."""

    policy_id: str
    reason: str
    requested_by: str = ""


class ResolveFreeze(msgspec.Struct, frozen=True):
    """A freeze shall end. `routing_id`: its SLO, or its policy if it was made by hand."""

    freeze_id: str
    routing_id: str
    reason: str
    requested_by: str = ""


class NoteAlert(Told, frozen=True):
    """Another program tells of an alert about an SLO. `ends_at`: of RESOLVED, µs."""

    signal: Signal
    ends_at: int
    requested_by: str = ""


class RequestFreezeException(msgspec.Struct, frozen=True):
    """Something shall be deployed although it is frozen, if another person allows it."""

    exception_id: str
    scope: Scope
    subject: str
    duration_ms: int
    reason: str
    requested_by: str = ""


class ApproveFreezeException(msgspec.Struct, frozen=True):
    """An exception from freezes is allowed."""

    exception_id: str
    reason: str
    requested_by: str = ""


class RejectFreezeException(msgspec.Struct, frozen=True):
    """An exception from freezes is not allowed."""

    exception_id: str
    reason: str
    requested_by: str = ""


class RevokeFreezeException(msgspec.Struct, frozen=True):
    """An exception from freezes shall hold no longer."""

    exception_id: str
    reason: str
    requested_by: str = ""

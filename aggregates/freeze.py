"""A freeze: by one policy, and for one error budget or by hand, nothing more is deployed for the time being.

Protects: a freeze begins and ends once, each time with what it was decided from. It begins when less than the policy's
trigger is left of the budget and ends when more than its other threshold is, so that it does not flutter. Who ends one
by hand ends it until the budget has recovered: it does not begin again at the next look.

    ACTIVE → RESOLVED → ACTIVE …; by hand ACTIVE → OVERRIDDEN → RESOLVED
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, assert_never

import msgspec

from neural_hive.aggregates.aggregate import Aggregate, Command, Event, Rejected, members
from neural_hive.aggregates.burn import Level
from neural_hive.aggregates.definitions import REASON_CHARS_MAX
from neural_hive.aggregates.freeze_policy import Action, FreezePolicy, Scope
from neural_hive.aggregates.identity import derived_id
from neural_hive.aggregates.person import person

BY_HAND: Final = "by hand"  # in the place of a budget
_HOLDS_NO_LONGER: Final = "the policy or the SLO holds no longer"
_ORDER: Final = (Level.NORMAL, Level.ELEVATED, Level.FAST, Level.CRITICAL)


class Standing(StrEnum):
    """Whether it holds."""

    ACTIVE = "ACTIVE"
    RESOLVED = "RESOLVED"
    OVERRIDDEN = "OVERRIDDEN"  # a person ended it; it cannot begin again until the budget has recovered


class Weigh(Command, frozen=True):
    """A budget was looked at: does the policy freeze?"""

    policy: FreezePolicy
    slo_id: str
    budget_id: str
    remaining: float  # share of the budget
    level: Level
    upto: int  # µs: to when the budget was counted
    is_measured: bool  # False: the SLO or this way of measuring it is gone
    now: int


class LetGo(Command, frozen=True):
    """A budget was looked at, and the policy is gone."""

    remaining: float
    level: Level
    upto: int
    now: int


class Freeze(Command, frozen=True):
    """A person freezes."""

    policy: FreezePolicy
    requested_by: str
    reason: str
    now: int


class Resolve(Command, frozen=True):
    """A person ends a freeze."""

    requested_by: str
    reason: str
    now: int


class FreezeActivated(Event, frozen=True):
    """Nothing more is deployed for the time being."""

    freeze_id: str
    policy_id: str
    policy_revision: int
    scope: Scope
    subject: str
    actions: tuple[Action, ...]
    slo_id: str  # empty: by hand
    budget_id: str
    remaining: float
    level: Level
    trigger_percent: float
    unfreeze_percent: float
    trigger_level: Level
    upto: int
    reason: str
    requested_by: str
    activated_at: int


class FreezeResolved(Event, frozen=True):
    """What was frozen may be deployed again."""

    freeze_id: str
    policy_id: str
    policy_revision: int
    scope: Scope
    subject: str
    slo_id: str
    budget_id: str
    remaining: float
    level: Level
    upto: int
    by_hand: bool
    reason: str
    requested_by: str
    duration_ms: int
    resolved_at: int


class FreezeRearmed(Event, frozen=True):
    """A budget has recovered after a person ended its freeze: it can freeze again."""

    freeze_id: str
    policy_id: str
    policy_revision: int
    remaining: float
    level: Level
    upto: int
    rearmed_at: int


FreezeCommand = Weigh | LetGo | Freeze | Resolve
FreezeEvent = FreezeActivated | FreezeResolved | FreezeRearmed


class DeployFreeze(msgspec.Struct, frozen=True):
    """A freeze as it stands."""

    freeze_id: str
    policy_id: str
    policy_revision: int
    scope: Scope
    subject: str
    actions: tuple[Action, ...]
    slo_id: str
    budget_id: str
    standing: Standing
    activated_at: int
    remaining: float
    level: Level
    upto: int

    def blocks(self, action: Action, service: str, namespace: str) -> bool:
        """Whether work for a service in a namespace may not be done now."""
        if self.standing is not Standing.ACTIVE or action not in self.actions:
            return False
        match self.scope:
            case Scope.GLOBAL | Scope.UNKNOWN:  # of a newer build: it is taken for the widest
                return True
            case Scope.SERVICE:
                return service == self.subject
            case Scope.NAMESPACE:
                return namespace == self.subject
            case _:
                assert_never(self.scope)


def freeze_id_of(policy_id: str, budget_id: str) -> str:
    """The id of the freeze by a policy for a budget, or BY_HAND."""
    return derived_id("freeze", policy_id, budget_id)


def decide(found: DeployFreeze | None, command: FreezeCommand) -> list[FreezeEvent]:
    """The events that follow from a command. Raises Rejected: there is nothing to end, or no reason."""
    match command:
        case Weigh():
            return _weigh(found, command)
        case LetGo():
            if found is None or found.standing is Standing.RESOLVED:
                return []
            return _ended(found, found.policy_revision, command, _HOLDS_NO_LONGER)
        case Freeze():
            _check_reason(command.reason)
            if not command.policy.is_active:
                raise Rejected("the policy is disabled or removed: it freezes nothing")
            if found is not None and found.standing is Standing.ACTIVE:
                return []
            why = command.reason[:REASON_CHARS_MAX], person(command.requested_by, "requested_by")
            return [_activated(command.policy, "", BY_HAND, 1.0, Level.UNKNOWN, 0, *why, command.now)]
        case Resolve():
            _check_reason(command.reason)
            if found is None:
                raise Rejected("there is no such freeze")
            if found.standing is not Standing.ACTIVE:
                return []
            why = command.reason[:REASON_CHARS_MAX], person(command.requested_by, "requested_by")
            seen = found.remaining, found.level, found.upto
            return [_resolved(found, found.policy_revision, *seen, True, *why, command.now)]
        case _:
            assert_never(command)


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise Rejected("give a reason: it is what others read of the freeze")


def _weigh(found: DeployFreeze | None, seen: Weigh) -> list[FreezeEvent]:
    policy, percent = seen.policy.policy, seen.remaining * 100
    holds = seen.policy.is_active and seen.is_measured
    burns = policy.trigger_level is not Level.UNKNOWN and _ORDER.index(seen.level) >= _ORDER.index(
        policy.trigger_level
    )
    if found is None or found.standing is Standing.RESOLVED:
        if not holds or not (percent < policy.trigger_percent or burns):
            return []
        reason = f"{seen.slo_id} has {percent:.1f} % of its budget left, and burns {seen.level}"
        numbers = seen.remaining, seen.level, seen.upto
        return [_activated(seen.policy, seen.slo_id, seen.budget_id, *numbers, reason, "", seen.now)]
    has_recovered = percent > policy.unfreeze_percent and not burns
    if holds and not has_recovered:
        return []
    reason = f"{seen.slo_id} has {percent:.1f} % of its budget left" if holds else _HOLDS_NO_LONGER
    return _ended(found, seen.policy.revision, seen, reason)


def _ended(found: DeployFreeze, revision: int, seen: Weigh | LetGo, reason: str) -> list[FreezeEvent]:
    numbers = seen.remaining, seen.level, seen.upto
    if found.standing is Standing.OVERRIDDEN:
        return [FreezeRearmed(found.freeze_id, found.policy_id, revision, *numbers, seen.now)]
    return [_resolved(found, revision, *numbers, False, reason, "", seen.now)]


def _activated(
    by: FreezePolicy,
    slo_id: str,
    budget_id: str,
    remaining: float,
    level: Level,
    upto: int,
    reason: str,
    requested_by: str,
    now: int,
) -> FreezeActivated:
    policy = by.policy
    return FreezeActivated(
        freeze_id_of(policy.policy_id, budget_id),
        policy.policy_id,
        by.revision,
        policy.scope,
        policy.subject,
        policy.actions,
        slo_id,
        budget_id,
        remaining,
        level,
        policy.trigger_percent,
        policy.unfreeze_percent,
        policy.trigger_level,
        upto,
        reason,
        requested_by,
        now,
    )


def _resolved(
    found: DeployFreeze,
    revision: int,
    remaining: float,
    level: Level,
    upto: int,
    by_hand: bool,
    reason: str,
    requested_by: str,
    now: int,
) -> FreezeResolved:
    lasted_ms = max(now - found.activated_at, 0) // 1_000
    return FreezeResolved(
        found.freeze_id,
        found.policy_id,
        revision,
        found.scope,
        found.subject,
        found.slo_id,
        found.budget_id,
        remaining,
        level,
        upto,
        by_hand,
        reason,
        requested_by,
        lasted_ms,
        now,
    )


def evolve(found: DeployFreeze | None, event: FreezeEvent) -> DeployFreeze:
    """What an event makes of the freeze."""
    if isinstance(event, FreezeActivated):
        return DeployFreeze(
            event.freeze_id,
            event.policy_id,
            event.policy_revision,
            event.scope,
            event.subject,
            event.actions,
            event.slo_id,
            event.budget_id,
            Standing.ACTIVE,
            event.activated_at,
            event.remaining,
            event.level,
            event.upto,
        )
    assert found is not None, "the history of a freeze begins with FreezeActivated"
    change = msgspec.structs.replace
    seen = change(found, remaining=event.remaining, level=event.level, upto=event.upto)
    match event:
        case FreezeResolved():
            overridden = event.by_hand and event.budget_id != BY_HAND
            return change(seen, standing=Standing.OVERRIDDEN if overridden else Standing.RESOLVED)
        case FreezeRearmed():
            return change(seen, standing=Standing.RESOLVED)
        case _:
            assert_never(event)


def queue_of(budget_id: str) -> str:
    """The queue of a budget's freezes that have not ended, in the order of their policies."""
    return f"freezes:{budget_id}"


def queues(found: DeployFreeze) -> Mapping[str, str]:
    """So a budget knows what it has frozen, also by policies that are gone."""
    return {} if found.standing is Standing.RESOLVED else {queue_of(found.budget_id): found.policy_id}


FREEZE: Final = Aggregate(
    "freeze", "sla.freeze.events", DeployFreeze, members(FreezeEvent), decide, evolve, queues=queues
)

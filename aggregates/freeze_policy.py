"""A freeze policy: when too little of an error budget is left, nothing more is deployed until there is enough again.

Protects: a policy says whom it concerns, at how little it begins and at how much it ends, and ends at no less than it
begins at; who revises one has seen its newest revision.
"""

from enum import StrEnum
from typing import Final, assert_never

import msgspec

from neural_hive.aggregates.aggregate import Aggregate, Command, Event, Rejected, members
from neural_hive.aggregates.burn import Level
from neural_hive.aggregates.definitions import next_revision, signature, to_remove
from neural_hive.aggregates.slo import ID, TEXT_CHARS_MAX, Definition


class Scope(StrEnum):
    """Whose budgets count, and whose work is frozen."""

    UNKNOWN = "UNKNOWN"
    SERVICE = "SERVICE"
    NAMESPACE = "NAMESPACE"
    GLOBAL = "GLOBAL"


class Action(StrEnum):
    """What a freeze does."""

    UNKNOWN = "UNKNOWN"
    BLOCK_DEPLOY = "BLOCK_DEPLOY"
    BLOCK_SCALE = "BLOCK_SCALE"
    ALERT_ONLY = "ALERT_ONLY"


class Policy(msgspec.Struct, frozen=True):
    """All that a policy says."""

    policy_id: str
    name: str
    scope: Scope
    subject: str  # the service or namespace; empty: of GLOBAL
    actions: tuple[Action, ...]
    trigger_percent: float  # it freezes when less than this is left of a budget
    unfreeze_percent: float  # and ends when more than this is left
    trigger_level: Level = (
        Level.UNKNOWN
    )  # it freezes too when a budget burns as fast as this; UNKNOWN: it does not
    description: str = ""
    enabled: bool = True

    def concerns(self, definition: Definition) -> bool:
        """Whether an SLO's budget can freeze something by this policy."""
        match self.scope:
            case Scope.GLOBAL:
                return True
            case Scope.SERVICE:
                return definition.service_name == self.subject
            case Scope.NAMESPACE:
                return definition.namespace == self.subject
            case Scope.UNKNOWN:
                return False
            case _:
                assert_never(self.scope)


class DefinePolicy(Command, frozen=True):
    """Freeze by this policy from now on. `revision`: the one it follows; 0: it is new."""

    policy: Policy
    revision: int
    requested_by: str
    reason: str
    now: int  # µs


class RemovePolicy(Command, frozen=True):
    """Freeze nothing by it any more."""

    requested_by: str
    reason: str
    now: int


class FreezePolicyDefined(Event, frozen=True):
    """When to freeze was decided, or decided anew."""

    policy: Policy
    revision: int
    requested_by: str
    reason: str
    defined_at: int


class FreezePolicyRemoved(Event, frozen=True):
    """A policy freezes nothing any more."""

    policy_id: str
    requested_by: str
    reason: str
    removed_at: int


PolicyCommand = DefinePolicy | RemovePolicy
PolicyEvent = FreezePolicyDefined | FreezePolicyRemoved


class FreezePolicy(msgspec.Struct, frozen=True):
    """A policy as it stands."""

    policy: Policy
    revision: int
    is_removed: bool = False

    @property
    def is_active(self) -> bool:
        """Whether it freezes."""
        return self.policy.enabled and not self.is_removed


def decide(found: FreezePolicy | None, command: PolicyCommand) -> list[PolicyEvent]:
    """Raises Rejected: the policy makes no sense, or does not follow the newest revision."""
    match command:
        case DefinePolicy():
            return _define(found, command)
        case RemovePolicy():
            if (held := to_remove(found, "policy")) is None:
                return []
            return [FreezePolicyRemoved(held.policy.policy_id, *signature(command), command.now)]
        case _:
            assert_never(command)


def _define(found: FreezePolicy | None, command: DefinePolicy) -> list[PolicyEvent]:
    if problems := _problems(command.policy):
        raise Rejected("; ".join(problems))
    revision = next_revision(found, command.revision)
    if found and found.policy == command.policy and not found.is_removed:
        return []
    return [FreezePolicyDefined(command.policy, revision, *signature(command), command.now)]


def _problems(policy: Policy) -> list[str]:
    problems = []
    if not ID.fullmatch(policy.policy_id):
        problems.append("policy_id must have 1 to 128 small letters, digits, dots, underscores and dashes")
    if not policy.name.strip() or len(policy.name) > TEXT_CHARS_MAX:
        problems.append(f"name must have 1 to {TEXT_CHARS_MAX:,} characters")
    if policy.scope is Scope.UNKNOWN:
        problems.append("scope must be SERVICE, NAMESPACE or GLOBAL")
    if (policy.scope is Scope.GLOBAL) == bool(policy.subject):
        problems.append("subject names the service or namespace, and is empty if the scope is GLOBAL")
    if len(policy.subject) > TEXT_CHARS_MAX or len(policy.description) > TEXT_CHARS_MAX:
        problems.append(f"subject and description have at most {TEXT_CHARS_MAX:,} characters")
    if (
        not policy.actions
        or Action.UNKNOWN in policy.actions
        or len(set(policy.actions)) < len(policy.actions)
    ):
        problems.append(
            "actions must be of BLOCK_DEPLOY, BLOCK_SCALE and ALERT_ONLY, at least one, each once"
        )
    if Action.ALERT_ONLY in policy.actions and len(policy.actions) > 1:
        problems.append("ALERT_ONLY stands alone: it blocks nothing")
    if not 0 <= policy.trigger_percent <= policy.unfreeze_percent <= 100:
        problems.append("trigger_percent must be at most unfreeze_percent, and both within 0 and 100")
    if policy.trigger_level is Level.NORMAL:
        problems.append("trigger_level must be ELEVATED, FAST or CRITICAL, or left out")
    return problems


def evolve(found: FreezePolicy | None, event: PolicyEvent) -> FreezePolicy:
    """What an event makes of the policy."""
    match event:
        case FreezePolicyDefined():
            return FreezePolicy(event.policy, event.revision)
        case FreezePolicyRemoved():
            assert found is not None, "the history of a policy begins with FreezePolicyDefined"
            return msgspec.structs.replace(found, is_removed=True)
        case _:
            assert_never(event)


FREEZE_POLICY: Final = Aggregate(
    "freeze_policy", "sla.definitions", FreezePolicy, members(PolicyEvent), decide, evolve
)

"""`slo policies`, `slo freezes`: by what is frozen, what is frozen now, and what a person does about it."""

from typing import Annotated, Any, Final

import typer

from neural_hive.commands.common import Asking, Common
from neural_hive.commands.shown import Reason, moment, plain, status, tables_of
from neural_hive.commands.slo_shown import Every, ask_sla, show_list, words
from neural_hive.sdk.asking import CannotDo

PolicyId = Annotated[str, typer.Argument(help="Id of the policy", metavar="POLICY")]
FreezeId = Annotated[str, typer.Argument(help="Id of the freeze: see `slo freezes`", metavar="FREEZE")]


def policies(common: Common) -> None:
    """Show by which policies deploys are frozen."""
    columns = {
        "policy_id": plain,
        "scope": plain,
        "subject": plain,
        "actions": words,
        "trigger_percent": plain,
        "unfreeze_percent": plain,
        "trigger_level": plain,
    }
    more = ("name", "description", "enabled", "revision", "changed_at")
    sql = "FROM freeze_policies WHERE status != 'REMOVED' ORDER BY policy_id"
    show_list(common, "policies", columns, more, sql, {})


def freezes(common: Common, every: Every = False) -> None:
    """Show what may not be deployed now, and why."""
    columns = {
        "freeze_id": plain,
        "status": status,
        "scope": plain,
        "subject": plain,
        "actions": words,
        "policy_id": plain,
        "slo_id": plain,
        "activated_at": moment,
        "resolved_at": moment,
        "reason": plain,
    }
    more = ("budget_id", "remaining", "level", "duration_ms", "by_hand")
    sql = "FROM freezes WHERE {every:Bool} OR status = 'ACTIVE' ORDER BY activated_at DESC"
    show_list(common, "freezes", columns, more, sql, {"every": int(every)})


def remove_policy(asking: Asking, policy: PolicyId, reason: Reason) -> None:
    """Freeze nothing by a policy any more."""
    from neural_hive.streams.sla.messages import RemoveFreezePolicy

    message = RemoveFreezePolicy(policy, asking.by, reason)
    ask_sla(asking, policy, message, f"{policy} freezes nothing any more")


def freeze(asking: Asking, policy: PolicyId, reason: Reason) -> None:
    """Freeze by hand what a policy concerns."""
    from neural_hive.streams.sla.messages import FreezeByHand

    ask_sla(asking, policy, FreezeByHand(policy, reason, asking.by), f"{policy} is frozen")


def unfreeze(asking: Asking, freeze: FreezeId, reason: Reason) -> None:
    """End a freeze; it does not begin again before its budget has recovered."""
    from neural_hive.slo_adjusting import resolving

    with tables_of(*asking.place) as (tables, _):
        message = resolving(tables, freeze, reason, asking.by)
    if message is None:
        raise CannotDo(f"there is no freeze {freeze[:100]!r}: `neural-hive slo freezes` shows them")
    ask_sla(asking, message.routing_id, message, f"{freeze} has ended")


COMMANDS: Final[tuple[tuple[str, Any], ...]] = (
    ("policies", policies),
    ("remove-policy", remove_policy),
    ("freezes", freezes),
    ("freeze", freeze),
    ("unfreeze", unfreeze),
)

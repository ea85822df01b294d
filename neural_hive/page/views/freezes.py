"""What is frozen now and what that holds back, and the policies that freeze: parts of the view of budgets."""

from typing import Any, Final

from nicegui import ui

from neural_hive.page.parts import badge_slot, color_of, columns, time_text, took_text
from neural_hive.slo_views import FreezeInfo, PolicyInfo

_ACTIVE: Final = ("of", "blocks", "tickets_held", "policy", "for_slo", "left", "since")
_POLICIES: Final = ("policy", "of", "actions", "freezes_below", "or_level", "until_above", "state")
_REASON_CHARS: Final = 200


def frozen_table(*more: str) -> Any:
    """A table of freezes that hold, with further columns; `frozen_row` makes its rows."""
    names = columns(*_ACTIVE, *more, "reason", "by", right=("tickets_held",))
    table = ui.table(columns=names, rows=[], row_key="key", pagination=20).classes("w-full")
    table.add_slot(
        "body-cell-for_slo",
        '<q-td :props="props"><a v-if="props.value" :href="\'/slo/\' + encodeURIComponent(props.value)" '
        'class="text-primary underline">{{ props.value }}</a><span v-else>by hand</span></q-td>',
    )
    return table


def frozen_row(freeze: FreezeInfo, held: dict[str, int]) -> dict[str, Any]:
    """A freeze that holds; `held`: tickets by the id of the freeze that holds them back."""
    return {
        "key": freeze.freeze_id,
        "of": concerned(freeze.scope, freeze.subject),
        "blocks": blocked(freeze.actions),
        "tickets_held": f"{held.get(freeze.freeze_id, 0):,}",
        "policy": freeze.policy_id,
        "for_slo": freeze.slo_id,
        "left": f"{freeze.remaining:.1%}" if freeze.slo_id else "",
        "since": time_text(freeze.activated_at)[:19],
        "reason": freeze.reason[:_REASON_CHARS],
        "by": freeze.requested_by,
    }


def policy_table(*more: str) -> Any:
    """A table of policies, with further columns; `policy_row` makes its rows."""
    names = columns(*_POLICIES, *more, "name")
    table = ui.table(columns=names, rows=[], row_key="key", pagination=20).classes("w-full")
    badge_slot(table, "state")
    return table


def policy_row(policy: PolicyInfo, frozen: set[str]) -> dict[str, Any]:
    """A policy; `frozen`: the ids of those by which something is frozen now."""
    state = "FROZEN" if policy.policy_id in frozen else "WATCHES" if policy.enabled else "OFF"
    level = policy.trigger_level
    return {
        "key": policy.policy_id,
        "policy": policy.policy_id,
        "of": concerned(policy.scope, policy.subject),
        "actions": blocked(policy.actions),
        "freezes_below": f"{policy.trigger_percent:g} %",
        "or_level": level if level not in ("", "UNKNOWN") else "–",
        "until_above": f"{policy.unfreeze_percent:g} %",
        "state": state,
        "color": color_of(state),
        "name": policy.name,
    }


def history_table() -> Any:
    """A table of freezes that hold or held; `history_row` makes its rows."""
    names = columns("status", "of", "policy", "blocks", "since", "until", "lasted", "reason", "by")
    table = ui.table(columns=names, rows=[], row_key="key", pagination=20).classes("w-full")
    badge_slot(table, "status")
    return table


def history_row(freeze: FreezeInfo) -> dict[str, Any]:
    """A freeze, whether it holds or not."""
    is_active = freeze.status == "ACTIVE"
    return {
        "key": freeze.freeze_id,
        "status": freeze.status,
        "color": color_of("FROZEN") if is_active else color_of(""),
        "of": concerned(freeze.scope, freeze.subject),
        "policy": freeze.policy_id,
        "blocks": blocked(freeze.actions),
        "since": time_text(freeze.activated_at)[:19],
        "until": "" if is_active else time_text(freeze.resolved_at)[:19],
        "lasted": "" if is_active else took_text(freeze.duration_ms),
        "reason": freeze.reason[:_REASON_CHARS],
        "by": freeze.requested_by,
    }


def concerned(scope: str, subject: str) -> str:
    """What a freeze or a policy is about, in words."""
    return {"SERVICE": f"service {subject}", "NAMESPACE": f"namespace {subject}"}.get(scope, "everything")


def blocked(actions: tuple[str, ...]) -> str:
    """What a freeze blocks, in words."""
    words = {"BLOCK_DEPLOY": "deployments", "BLOCK_SCALE": "scaling", "ALERT_ONLY": "nothing, it only alerts"}
    return ", ".join(words.get(action, action) for action in actions)

"""Error budgets: what is left of each, how fast it burns, when it will be gone; what is frozen, and by what."""

from typing import Any, Final
from urllib.parse import quote

import msgspec
from nicegui import ui

from neural_hive import budget_reads as reads
from neural_hive.api.auth import Identity
from neural_hive.budget_reads import SloBudget
from neural_hive.page import freeze_reads
from neural_hive.page.parts import (
    Trouble,
    asked,
    badge,
    badge_slot,
    color_of,
    columns,
    heading,
    live,
    time_text,
)
from neural_hive.page.site import Site
from neural_hive.page.views.freezes import frozen_row, frozen_table, policy_row, policy_table
from neural_hive.page.views.freezing import ACTION, may_end, may_freeze, offer_ending, offer_freezing
from neural_hive.sdk.tables import Reader
from neural_hive.slo_views import FreezeInfo, PolicyInfo

REFRESH_S: Final = 5.0
STATUSES: Final = ("", "EXHAUSTED", "CRITICAL", "WARNING", "HEALTHY")
_COLUMNS: Final = columns(
    *(
        "slo",
        "service",
        "type",
        "target",
        "window",
        "status",
        "left",
        "level",
        "burn_1h",
        "burn_6h",
        "burn_3d",
    ),
    *("bad", "gone", "counted_to"),
    right=("target", "burn_1h", "burn_6h", "burn_3d", "bad"),
)


class Seen(msgspec.Struct, frozen=True):
    """All that the view shows."""

    summary: reads.Summary
    budgets: tuple[SloBudget, ...]
    freezes: tuple[FreezeInfo, ...]
    policies: tuple[PolicyInfo, ...]
    held: dict[str, int]


def look(reader: Reader, service: str, status: str, text: str) -> Seen:
    """Asks for it. Raises ClickHouseError."""
    frozen = freeze_reads.freezes(reader)
    return Seen(
        reads.summary(reader),
        reads.budgets(reader, service, status, text),
        frozen,
        freeze_reads.policies(reader),
        freeze_reads.held_tickets(reader) if frozen else {},
    )


async def show(site: Site, identity: Identity, service: str = "", status: str = "") -> None:
    """The view; `service` and `status` narrow it."""
    heading("Budgets", "What is left of each error budget, the least first. A name leads to its course.")
    trouble = Trouble()
    figures = ui.row().classes("gap-4 w-full")
    with ui.card().classes("w-full") as frozen_card:
        ui.label("Frozen now").classes("text-lg")
        frozen = frozen_table(ACTION) if may_end(identity) else frozen_table()
    with ui.row().classes("items-end gap-4"):
        states = {state: state or "all" for state in STATUSES}
        chosen = ui.select(states, value=status if status in STATUSES else "", label="Status").classes("w-40")
        of_service = ui.input("Service", value=service).props("clearable debounce=400").classes("w-56")
        text = ui.input("In the name").props("clearable debounce=400").classes("w-56")
        note = ui.label().classes("text-sm opacity-70")
    table = ui.table(columns=_COLUMNS, rows=[], row_key="key", pagination=50).classes("w-full")
    _slots(table)
    with ui.card().classes("w-full"):
        ui.label("Policies").classes("text-lg")
        policies = policy_table(ACTION) if may_freeze(identity) else policy_table()
    if may_end(identity):
        offer_ending(site, identity, frozen)
    if may_freeze(identity):
        offer_freezing(site, identity, policies)

    async def refresh() -> None:
        wanted = ((of_service.value or "").strip(), chosen.value or "", (text.value or "").strip())
        found: Seen | None = await asked(trouble, look, site.services.tables, *wanted)
        if found is None:
            return
        seen = site.named(found, identity)
        figures.clear()
        with figures:
            _figures(seen)
        frozen_card.visible = bool(seen.freezes)
        frozen.rows = [frozen_row(freeze, seen.held) for freeze in seen.freezes]
        table.rows = [row(info) for info in seen.budgets]
        note.text = _note(seen, any(wanted))
        by_which = {freeze.policy_id for freeze in seen.freezes}
        policies.rows = [policy_row(policy, by_which) for policy in seen.policies]

    for field in (chosen, of_service, text):
        field.on_value_change(refresh)
    await refresh()
    live(REFRESH_S, refresh)


def _note(seen: Seen, is_narrowed: bool) -> str:
    if not seen.summary.total:
        return "No SLO is defined yet: `neural-hive slo apply FILE` does that (docs/sla.md)."
    if len(seen.budgets) >= reads.ROWS_MAX:
        return f"The first {reads.ROWS_MAX}: narrow the list to see others."
    if is_narrowed:
        return f"{len(seen.budgets):,} of {seen.summary.total:,}"
    return ""


def _figures(seen: Seen) -> None:
    with ui.card():
        ui.label("Budgets").classes("text-sm opacity-70")
        with ui.row().classes("gap-3"):
            for status in (*STATUSES[1:], ""):
                if count := seen.summary.statuses.get(status):
                    name = status or "nothing counted yet"
                    with ui.row().classes("gap-1 items-center").props(f'aria-label="{name}: {count}"'):
                        badge(name) if status else ui.label(name)
                        ui.label(f"{count:,}")
            if not seen.summary.total:
                ui.label("none yet")
    average = seen.summary.average_remaining
    for name, value in (
        ("Left on average", "–" if average is None else f"{average:.1%}"),
        ("Active freezes", f"{len(seen.freezes):,}"),
        ("Tickets held", f"{sum(seen.held.values()):,}"),
        ("Policies", f"{len(seen.policies):,}"),
    ):
        with ui.card():
            ui.label(name).classes("text-sm opacity-70")
            ui.label(value).classes("text-2xl")


def _slots(table: Any) -> None:
    table.add_slot(
        "body-cell-slo",
        '<q-td :props="props"><a :href="props.row.path" class="text-primary underline">{{ props.value }}</a></q-td>',
    )
    table.add_slot(
        "body-cell-left",
        '<q-td :props="props"><div class="row items-center no-wrap" style="gap: 8px">'
        '<q-linear-progress :value="props.row.share" :color="props.row.color" size="8px" rounded '
        'style="width: 80px" aria-hidden="true" /><span>{{ props.value }}</span></div></q-td>',
    )
    badge_slot(table, "status")
    table.add_slot(
        "body-cell-level",
        '<q-td :props="props"><q-badge v-if="props.value" :color="props.row.level_color">{{ props.value }}'
        "</q-badge></q-td>",
    )


def row(info: SloBudget) -> dict[str, Any]:
    """An SLO and one of its budgets as a row."""
    is_looked_at = bool(info.status)
    return {
        "key": f"{info.slo_id} {info.dimension}",
        "slo": info.slo_id + (f" / {info.dimension}" if info.dimension else ""),
        "path": path_of(info.slo_id, info.dimension),
        "service": info.service_name,
        "type": info.slo_type,
        "target": target_text(info.target),
        "window": window_text(info),
        "status": info.status or ("nothing yet" if info.enabled else "OFF"),
        "color": color_of(info.status),
        "share": min(max(info.remaining, 0.0), 1.0) if is_looked_at else 0.0,
        "left": f"{info.remaining:.1%}" if is_looked_at else "",
        "level": info.level,
        "level_color": color_of(level_color_name(info.level)),
        **{f"burn_{name}": rate_text(info.rate(name)) for name in ("1h", "6h", "3d")},
        "bad": f"{info.budget_consumed:,} of {info.budget_total:,.1f}" if is_looked_at else "",
        "gone": gone_text(info),
        "counted_to": time_text(info.upto)[:16],
    }


def path_of(slo_id: str, dimension: str = "") -> str:
    """Where the view of one SLO is."""
    return f"/slo/{quote(slo_id, safe='')}" + (f"?dimension={quote(dimension, safe='')}" if dimension else "")


def target_text(target: float) -> str:
    """A target, with as many digits as it has."""
    return f"{target * 100:.6g} %"


def rate_text(rate: float | None) -> str:
    """A burn rate."""
    return "" if rate is None else f"{rate:,.1f} ×"


def window_text(info: SloBudget) -> str:
    """Over which time it is counted."""
    return f"{info.window_days} days" if info.window_kind == "ROLLING" else info.window_kind.lower()


def gone_text(info: SloBudget) -> str:
    """When nothing will be left if it burns on as in the last hour."""
    if info.status == "EXHAUSTED":
        return "now"
    if info.exhausted_at is None or info.upto is None:
        return "–" if info.status else ""
    hours = (info.exhausted_at - info.upto).total_seconds() / 3_600
    return f"in {hours:.1f} h" if hours < 48 else f"in {hours / 24:.0f} days"


def level_color_name(level: str) -> str:
    """The state whose colour a burn level has: CRITICAL is a status too, and a worse one."""
    return {"NORMAL": "HEALTHY", "ELEVATED": "WARNING", "FAST": "EXHAUSTED", "CRITICAL": "EXHAUSTED"}.get(
        level, ""
    )

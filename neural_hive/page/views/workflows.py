"""Workflows in pages, the newest first: only the page that is looked at is asked for."""

from typing import Any, Final

from nicegui import ui

from neural_hive.api.auth import Identity
from neural_hive.listing.pages import page
from neural_hive.listing.things import WORKFLOWS
from neural_hive.page.parts import (
    Trouble,
    asked,
    badge_slot,
    color_of,
    columns,
    heading,
    link_slot,
    live,
    time_text,
    took_text,
)
from neural_hive.page.site import Site
from neural_hive.sdk.views import Page, WorkflowInfo

ROWS: Final = 50
REFRESH_S: Final = 3.0
STATES: Final = (
    "",
    "RUNNING",
    "QUEUED",
    "PAUSED",
    "COMPENSATING",
    "COMPLETED",
    "FAILED",
    "CANCELLED",
    "REJECTED",
)


async def show(site: Site, identity: Identity, status: str = "", plan_id: str = "") -> None:
    """The view; `status` and `plan_id` narrow it."""
    heading("Workflows", "The newest first. A state or a plan narrows the list.")
    trouble = Trouble()
    cursors = [""]  # of the pages up to this one
    following = ""
    with ui.row().classes("items-end gap-4"):
        states = {state: state or "all" for state in STATES}
        chosen = ui.select(states, value=status if status in STATES else "", label="State").classes("w-40")
        plan = ui.input("Plan id", value=plan_id).props("clearable debounce=400").classes("w-64")
    table = ui.table(
        columns=columns("workflow", "plan", "status", "tasks", "began", "took", "requested_by", "reason"),
        rows=[],
        row_key="key",
    ).classes("w-full")
    link_slot(table, "workflow", "/workflow/")
    badge_slot(table, "status")

    async def refresh() -> None:
        nonlocal following
        filters = {"status": chosen.value or "", "plan_id": (plan.value or "").strip()}
        found: Page[WorkflowInfo] | None = await asked(
            trouble, page, site.services.tables, WORKFLOWS, WorkflowInfo, filters, ROWS, cursors[-1]
        )
        if found is None:
            return
        following = found.next
        table.rows = [row(info) for info in site.named(found.items, identity)]
        newer.set_enabled(len(cursors) > 1)
        older.set_enabled(bool(following))
        place.text = f"page {len(cursors)}"

    async def turn(back: bool) -> None:
        if back and len(cursors) > 1:
            cursors.pop()
        elif not back and following:
            cursors.append(following)
        await refresh()

    async def narrow() -> None:
        del cursors[1:]
        await refresh()

    with ui.row().classes("items-center"):
        newer = ui.button("Newer", icon="arrow_back", on_click=lambda: turn(True)).props("flat")
        place = ui.label()
        older = ui.button("Older", icon="arrow_forward", on_click=lambda: turn(False)).props("flat")
    chosen.on_value_change(narrow)
    plan.on_value_change(narrow)
    await refresh()
    live(REFRESH_S, refresh)


def row(info: WorkflowInfo) -> dict[str, Any]:
    """A workflow as a row."""
    return {
        "key": info.workflow_id,
        "workflow": info.workflow_id,
        "plan": info.plan_id,
        "status": info.status,
        "color": color_of(info.status),
        "tasks": f"{info.completed_count} of {info.task_count}",
        "began": time_text(info.started_at),
        "took": took_text(info.duration_ms) if info.has_ended else "",
        "requested_by": info.requested_by,
        "reason": (info.reason or "; ".join(info.reasons))[:200],
    }

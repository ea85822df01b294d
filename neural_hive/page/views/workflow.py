"""One workflow: its graph live or as of any moment, its tickets, what happened, and what caused what."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from nicegui import ui

from neural_hive.api.auth import Identity
from neural_hive.page import workflow_reads as reads
from neural_hive.page.drawing import TASKS_MAX, flowchart
from neural_hive.page.frame import may
from neural_hive.page.parts import (
    Slider,
    Trouble,
    asked,
    badge,
    badge_slot,
    color_of,
    columns,
    heading,
    live,
    time_text,
    took_text,
)
from neural_hive.page.site import Site
from neural_hive.page.views.signals import buttons
from neural_hive.sdk.views import TicketInfo, WorkflowInfo

REFRESH_S: Final = 1.0
MOVES: Final = (
    ("First moment", "first_page", -reads.EVENTS_MAX),
    ("Moment before", "chevron_left", -1),
    ("Next moment", "chevron_right", 1),
    ("Now", "last_page", reads.EVENTS_MAX),
)
_TICKET_COLUMNS: Final = columns(
    "task", "type", "status", "attempt", "agent", "ready", "started", "took", "exit", "error"
)
_TRAIL_COLUMNS: Final = columns("at", "event", "of", "version", "place")


class Shown:
    """What is on the screen: it is asked for again when the log has more of the workflow, and until it has ended.

    Tables are filled one after the other: the trail may tell of an event that the tickets do not show yet.
    """

    def __init__(self) -> None:
        self.steps: tuple[reads.Step, ...] = ()
        self.at: datetime | None = None  # a moment of the slider; None: now
        self.drawn = ""
        self.is_final = False  # the workflow and all of its tickets are shown as ended


async def show(site: Site, identity: Identity, workflow_id: str) -> None:
    """The view."""
    tables, trouble, shown = site.services.tables, Trouble(), Shown()
    heading(f"Workflow {workflow_id}")
    info: WorkflowInfo | None = await asked(trouble, reads.workflow, tables, workflow_id)
    if info is None:
        if not trouble.is_shown:
            ui.label("There is no such workflow, or the tables do not have it yet.").props('role="alert"')
        return
    head = ui.row().classes("items-center gap-4 w-full")
    if may(identity, "POST", "/api/v1/workflows/{workflow_id}/signals/cancel"):
        buttons(site, identity, workflow_id)
    with ui.card().classes("w-full"):
        with ui.row().classes("items-center w-full"):
            ui.label("As of").classes("text-lg")
            for name, icon, step in MOVES:
                ui.button(icon=icon, on_click=lambda s=step: move(s)).props(f'flat round aria-label="{name}"')
            moment = ui.label("now")
        slider = Slider("Moment", lambda: moved())
    with ui.tabs().classes("w-full") as tabs:
        for name in ("Graph", "Tickets", "Trail", "Causes"):
            ui.tab(name)
    with ui.tab_panels(tabs, value="Graph").classes("w-full"):
        with ui.tab_panel("Graph"):
            note = ui.label().classes("text-sm opacity-70")
            graph = ui.mermaid("flowchart LR", {"securityLevel": "strict"}).classes("w-full")
        with ui.tab_panel("Tickets"):
            work = ui.table(columns=_TICKET_COLUMNS, rows=[], row_key="key", pagination=50).classes("w-full")
            badge_slot(work, "status")
        with ui.tab_panel("Trail"):
            trail = ui.table(columns=_TRAIL_COLUMNS, rows=[], row_key="key", pagination=50).classes("w-full")
        with ui.tab_panel("Causes"):
            causes = ui.column().classes("w-full")

    async def look() -> None:
        at = shown.at
        found = await asked(trouble, _ask, tables, workflow_id, at)
        if found is None or at != shown.at:
            return  # the slider has moved on meanwhile
        standing, tickets = site.named(found[0], identity), found[1]
        _show_head(head, standing)
        drawn = flowchart(tickets)
        if drawn != shown.drawn:
            shown.drawn = drawn
            graph.set_content(drawn)
        note.text = f"The first {TASKS_MAX} of {len(tickets):,} tasks" if len(tickets) > TASKS_MAX else ""
        work.rows = [_ticket_row(ticket) for ticket in tickets]
        shown.is_final = bool(standing and standing.has_ended and all(t.has_ended for t in tickets))

    async def refresh() -> None:
        steps = await asked(trouble, reads.trail, tables, workflow_id)
        if steps is None:
            return
        if shown.drawn and len(steps) == len(shown.steps):
            if shown.at is None and not shown.is_final:
                await look()
            return
        shown.steps = steps
        was_now = shown.at is None
        slider.set(len(steps) if was_now else slider.value, len(steps))
        trail.rows = [_trail_row(step) for step in steps]
        if was_now:
            await look()
        await _show_causes(causes, trouble, lambda: reads.tree(reads.links(tables, workflow_id, steps)))

    async def moved() -> None:
        index = slider.value
        is_now = index >= len(shown.steps)
        shown.at = None if is_now else shown.steps[index].timestamp
        moment.text = "now" if is_now else _told(shown.steps[index])
        await look()

    async def move(step: int) -> None:
        slider.set(slider.value + step, len(shown.steps))
        await moved()

    await refresh()
    live(REFRESH_S, refresh)


def _ask(
    tables: Any, workflow_id: str, at: datetime | None
) -> tuple[WorkflowInfo | None, tuple[TicketInfo, ...]]:
    if at is None:
        return reads.workflow(tables, workflow_id), reads.tickets(tables, workflow_id)
    return reads.workflow_at(tables, workflow_id, at), reads.tickets(tables, workflow_id, at)


def _told(step: reads.Step) -> str:
    return f"{time_text(step.timestamp)}, {step.event_type} of {step.aggregate_type} {step.aggregate_id}"


def _show_head(head: Any, info: WorkflowInfo | None) -> None:
    head.clear()
    with head:
        if info is None:
            ui.label("It was not there yet.")
            return
        badge(info.status)
        done = f"{info.completed_count} of {info.task_count} tasks completed, {info.failed_count} failed"
        for text in (
            f"plan {info.plan_id}",
            done,
            f"{info.risk_band} risk, priority {info.priority}",
            f"began {time_text(info.started_at)}" if info.started_at else "",
            f"took {took_text(info.duration_ms)}" if info.has_ended else f"due {time_text(info.deadline_at)}",
            f"for {info.requested_by}" if info.requested_by else "",
            info.reason or "; ".join(info.reasons),
        ):
            if text:
                ui.label(text)


async def _show_causes(place: Any, trouble: Trouble, ask: Callable[[], list[dict[str, Any]]]) -> None:
    nodes = await asked(trouble, ask)
    if nodes is None:
        return
    place.clear()
    with place:
        ui.label("What caused what, and how much later it came").classes("text-sm opacity-70")
        ui.tree(nodes).expand().classes("w-full")


def _ticket_row(ticket: TicketInfo) -> dict[str, Any]:
    took_ms = (
        (ticket.finished_at - ticket.started_at).total_seconds() * 1_000
        if ticket.finished_at and ticket.started_at
        else None
    )
    return {
        "key": ticket.ticket_id,
        "task": ticket.task_id,
        "type": ticket.task_type,
        "status": ticket.status,
        "color": color_of(ticket.status),
        "attempt": ticket.attempt,
        "agent": ticket.agent_id,
        "ready": time_text(ticket.ready_at),
        "started": time_text(ticket.started_at),
        "took": "" if took_ms is None else took_text(took_ms),
        "exit": "" if ticket.exit_code is None else ticket.exit_code,
        "error": ticket.error[:200],
    }


def _trail_row(step: reads.Step) -> dict[str, Any]:
    return {
        "key": step.place,
        "at": time_text(step.timestamp),
        "event": step.event_type,
        "of": f"{step.aggregate_type} {step.aggregate_id}",
        "version": step.version,
        "place": step.place,
    }

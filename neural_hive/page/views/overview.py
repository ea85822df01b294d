"""How the system does now: rates, who is behind, workflows by state, and what may miss its deadline."""

from asyncio import to_thread
from collections.abc import Sequence
from typing import Any

from nicegui import ui

from neural_hive.page.board import Rate, Seen
from neural_hive.page.parts import Trouble, badge, columns, heading, link_slot, live, time_text
from neural_hive.page.site import Site
from neural_hive.page.views.freezes import frozen_row
from neural_hive.work import AtRisk

REFRESH_S = 2.0
_FROZEN = ("of", "blocks", "policy", "since", "reason")


async def show(site: Site) -> None:
    """The view."""
    heading("Overview")
    trouble = Trouble()
    figures = ui.row().classes("gap-4 w-full")
    with ui.row().classes("w-full gap-4 items-stretch"):
        with ui.card().classes("grow min-w-96"):
            ui.label("Records per second").classes("text-lg")
            chart = (
                ui.echart(_chart(()))
                .classes("h-56 w-full")
                .props('role="img" aria-label="Records per second"')
            )
        with ui.card().classes("grow"):
            ui.label("Who reads the log").classes("text-lg")
            consumers = ui.table(
                columns=columns("name", "behind", "stopped", right=("behind",)), rows=[], row_key="name"
            )
        with ui.card().classes("grow"):
            ui.label("Processes").classes("text-lg")
            processes = ui.table(
                columns=columns("name", "status", "restarts", right=("restarts",)), rows=[], row_key="name"
            )
    with ui.card().classes("w-full") as frozen_card:
        ui.link("Frozen now", "/budgets").classes("text-lg")
        frozen = ui.table(columns=columns(*_FROZEN), rows=[], row_key="key")
    with ui.card().classes("w-full"):
        ui.label("May miss their deadline").classes("text-lg")
        ui.label("Workflows that go on with a tenth of their time left, or less, or none").classes(
            "text-sm opacity-70"
        )
        risk = ui.table(columns=columns("workflow", "plan", "status", "done", "left"), rows=[], row_key="key")
        link_slot(risk, "workflow", "/workflow/")

    async def refresh() -> None:
        seen: Seen = await to_thread(site.board.look)
        trouble.say(seen.problem)
        figures.clear()
        with figures:
            _figures(seen)
        chart.options.update(_chart(seen.rates))
        chart.update()
        consumers.rows = [
            {
                "name": c.name,
                "behind": "–" if c.records_behind is None else f"{c.records_behind:,}",
                "stopped": ", ".join(c.stopped_partitions) or "–",
            }
            for c in seen.health.consumers
        ]
        processes.rows = [
            {"name": p.name, "status": p.status, "restarts": p.restarts} for p in seen.health.processes
        ]
        frozen_card.visible = bool(seen.freezes)
        frozen.rows = [frozen_row(freeze, {}) for freeze in seen.freezes]
        risk.rows = [_at_risk(one) for one in seen.work.at_risk]

    await refresh()
    live(REFRESH_S, refresh)


def _figures(seen: Seen) -> None:
    with ui.card():
        ui.label("System").classes("text-sm opacity-70")
        ui.badge(
            seen.health.status,
            color={"ok": "positive", "degraded": "warning"}.get(seen.health.status, "negative"),
        ).classes("text-lg")
    with ui.card():
        ui.label("Workflows").classes("text-sm opacity-70")
        with ui.row().classes("gap-3"):
            for status, count in sorted(seen.work.workflows.items()):
                with (
                    ui.link(target=f"/workflows?status={status}")
                    .classes("no-underline flex gap-1 items-center")
                    .props(f'aria-label="{status}: {count}"')
                ):
                    badge(status)
                    ui.label(f"{count:,}")
            if not seen.work.workflows:
                ui.label("none yet")
    open_tickets = {s: n for s, n in seen.work.tickets.items() if s in ("READY", "ASSIGNED", "RUNNING")}
    for name, value, path in (
        ("Tickets", f"{sum(seen.work.tickets.values()):,}", "/workflows"),
        ("of them at work or waiting for it", f"{sum(open_tickets.values()):,}", "/workflows?status=RUNNING"),
        ("Healthy agents", f"{seen.work.agents.get('HEALTHY', 0):,}", "/agents"),
        ("Dead letters", f"{seen.work.dead_letters:,}", "/dead-letters"),
    ):
        with ui.card():
            ui.label(name).classes("text-sm opacity-70")
            ui.link(value, path).classes("text-2xl no-underline")


def _at_risk(one: AtRisk) -> dict[str, Any]:
    left = f"{one.left_s / 60:.0f} min" if one.left_s > 0 else f"over since {time_text(one.deadline_at)}"
    return {
        "key": one.workflow_id,
        "workflow": one.workflow_id,
        "plan": one.plan_id,
        "status": one.status,
        "done": f"{one.completed_count} of {one.task_count}",
        "left": left,
    }


def _chart(rates: Sequence[Rate]) -> dict[str, Any]:
    def line(name: str, values: list[list[float]]) -> dict[str, Any]:
        return {
            "name": name,
            "type": "line",
            "showSymbol": False,
            "areaStyle": {"opacity": 0.2},
            "data": values,
        }

    return {
        "grid": {"left": 50, "right": 10, "top": 30, "bottom": 25},
        "legend": {"top": 0, "textStyle": {"color": "#888"}},
        "tooltip": {"trigger": "axis"},
        "animation": False,
        "xAxis": {"type": "time"},
        "yAxis": {"type": "value", "min": 0},
        "series": [
            line("events", [[r.at_s * 1_000, round(r.events, 1)] for r in rates]),
            line("messages", [[r.at_s * 1_000, round(r.messages, 1)] for r in rates]),
        ],
    }

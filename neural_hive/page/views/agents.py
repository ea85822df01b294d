"""The agents: what they can do, how they are, and when they were heard of last."""

from typing import Any, Final

from nicegui import ui

from neural_hive.page.parts import Trouble, asked, badge_slot, color_of, columns, heading, live, time_text
from neural_hive.page.site import Site
from neural_hive.sdk.tables import Reader
from neural_hive.sdk.views import AgentInfo, rows_as, select

AGENTS_MAX: Final = 500
REFRESH_S: Final = 3.0
_COLUMNS: Final = columns(
    "agent",
    "type",
    "status",
    "capabilities",
    "task_types",
    "capacity",
    "load",
    "success",
    "latency",
    "seen",
    "reason",
)


async def show(site: Site) -> None:
    """The view."""
    heading("Agents", "Heartbeats move no table: seen and load are those of the last event.")
    trouble = Trouble()
    with ui.row().classes("items-center"):
        gone = ui.switch("Also those that are gone", value=False)
    table = ui.table(columns=_COLUMNS, rows=[], row_key="key", pagination=50).classes("w-full")
    badge_slot(table, "status")

    async def refresh() -> None:
        found = await asked(trouble, agents, site.services.tables, bool(gone.value))
        if found is not None:
            table.rows = [_row(agent) for agent in found]

    gone.on_value_change(refresh)
    await refresh()
    live(REFRESH_S, refresh)


def agents(reader: Reader, with_gone: bool) -> tuple[AgentInfo, ...]:
    """The agents, by their ids. Raises ClickHouseError."""
    here = "" if with_gone else "WHERE status NOT IN ('DEREGISTERED', 'REMOVED') "
    return rows_as(
        AgentInfo, reader.rows(select(AgentInfo, "agents", f"{here}ORDER BY agent_id LIMIT {AGENTS_MAX}"))
    )


def _row(agent: AgentInfo) -> dict[str, Any]:
    return {
        "key": agent.agent_id,
        "agent": agent.agent_id,
        "type": agent.agent_type,
        "status": agent.status,
        "color": color_of(agent.status),
        "capabilities": ", ".join(agent.capabilities),
        "task_types": ", ".join(agent.task_types),
        "capacity": agent.capacity,
        "load": f"{agent.load:.0%}",
        "success": f"{agent.success_rate:.1%}",
        "latency": f"{agent.latency_ms:,} ms",
        "seen": time_text(agent.seen_at),
        "reason": agent.reason,
    }

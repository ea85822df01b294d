"""Buttons that ask something of a workflow: a command in the log, in the name of who is signed in, with a reason."""

from collections.abc import Callable
from typing import Any

from nicegui import ui

from neural_hive.api.auth import Identity
from neural_hive.page.reason import ReasonDialog, told
from neural_hive.page.site import Site
from neural_hive.streams.orchestrator.messages import (
    CancelWorkflow,
    PauseWorkflow,
    ResumeWorkflow,
    RetryTicket,
)

Make = Callable[[str, str], Any]  # reason and further text → the command


def buttons(site: Site, identity: Identity, workflow_id: str) -> None:
    """Pause, resume, try a ticket again, cancel."""
    who = identity.name
    with ui.row().classes("gap-2"):
        _button(site, "Pause", "pause", lambda reason, _: PauseWorkflow(workflow_id, reason, who))
        _button(site, "Resume", "play_arrow", lambda reason, _: ResumeWorkflow(workflow_id, reason, who))
        _button(
            site,
            "Try a ticket again",
            "replay",
            lambda reason, ticket: RetryTicket(workflow_id, ticket, reason, who),
            "Ticket id",
        )
        _button(site, "Cancel", "cancel", lambda reason, _: CancelWorkflow(workflow_id, reason, who))


def _button(site: Site, name: str, icon: str, make: Make, further: str = "") -> None:
    def typed() -> str:
        return (field.value or "").strip() if field else ""

    async def send(reason: str) -> None:
        command = make(reason, typed())
        await told(site, lambda: site.services.sender.command(command))

    def lacks() -> str:
        return f"It needs a {further.lower()}" if further and not typed() else ""

    dialog = ReasonDialog(name, send, lacks)
    with dialog.above:
        field = ui.input(further).classes("w-full") if further else None
    ui.button(name, icon=icon, on_click=lambda: dialog.ask(name)).props("outline")

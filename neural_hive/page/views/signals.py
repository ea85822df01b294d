"""Buttons that ask something of a workflow: a command in the log, in the name of who is signed in, with a reason."""

from asyncio import to_thread
from collections.abc import Callable
from typing import Any, Final

from nicegui import ui

from neural_hive.api.auth import Identity
from neural_hive.page.parts import AWAY
from neural_hive.page.site import Site
from neural_hive.sdk.sender import Token
from neural_hive.streams.orchestrator_messages import (
    CancelWorkflow,
    PauseWorkflow,
    ResumeWorkflow,
    RetryTicket,
)

WAIT_S: Final = 10.0
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
    with ui.dialog() as dialog, ui.card().classes("w-96"):
        ui.label(f"{name}: why?").classes("text-lg")
        more = ui.input(further).classes("w-full") if further else None
        reason = ui.input("Reason").classes("w-full").props("autofocus")
        with ui.row():
            ui.button("Back", on_click=dialog.close).props("flat")
            ui.button(name, on_click=lambda: send())

    async def send() -> None:
        if not (reason.value or "").strip() or (more is not None and not (more.value or "").strip()):
            ui.notify("It needs a reason" + (f" and a {further.lower()}" if further else ""), type="warning")
            return
        dialog.close()
        command = make(reason.value.strip(), (more.value or "").strip() if more is not None else "")
        said, kind = await told(site, lambda: site.services.sender.command(command))
        ui.notify(said, type=kind, multi_line=True)

    ui.button(name, icon=icon, on_click=dialog.open).props("outline")


async def told(site: Site, publish: Callable[[], Token]) -> tuple[str, Any]:
    """Publishes, and says what became of it, in words, and how that is shown."""
    try:
        token = await to_thread(publish)
        outcome = await site.services.pending.outcome(token, WAIT_S)
    except (*AWAY, ValueError) as error:  # nobody answers, or the message cannot be written as it was typed
        return str(error), "negative"
    if outcome is None:
        return f"Asked; what became of it is not known after {WAIT_S:g} s.", "info"
    return ("Done.", "positive") if outcome.is_accepted else (f"Refused: {outcome.reason}", "negative")

"""Whoever asks something of the system on the page says why, and is told what became of it."""

from asyncio import to_thread
from collections.abc import Awaitable, Callable
from typing import Any, Final

from nicegui import ui

from neural_hive.page.parts import AWAY
from neural_hive.page.site import Site
from neural_hive.sdk.sender import Token

WAIT_S: Final = 10.0


class ReasonDialog:
    """A dialog that asks for a reason, and calls `then` with it when its button `verb` is pressed.

    Other fields may be put into `above`, above the reason; `lacks` says what is missing in them, or nothing.
    """

    def __init__(
        self, verb: str, then: Callable[[str], Awaitable[None]], lacks: Callable[[], str] = lambda: ""
    ) -> None:
        self._then, self._lacks = then, lacks
        with ui.dialog() as self._dialog, ui.card().classes("w-96"):
            self._title = ui.label().classes("text-lg")
            self.above = ui.column().classes("w-full")
            self._reason = ui.input("Reason").classes("w-full").props("autofocus")
            with ui.row():
                ui.button("Back", on_click=self._dialog.close).props("flat")
                ui.button(verb, on_click=self._send)

    def ask(self, what: str) -> None:
        """Opens it, for what is to be done."""
        self._title.text, self._reason.value = f"{what}: why?", ""
        self._dialog.open()

    async def _send(self) -> None:
        reason = (self._reason.value or "").strip()
        if lack := self._lacks() or ("" if reason else "It needs a reason"):
            ui.notify(lack, type="warning")
            return
        self._dialog.close()
        await self._then(reason)


async def told(site: Site, publish: Callable[[], Token], about: str = "") -> None:
    """Publishes, and says what became of it; `about` is said in front of that."""
    said, kind = await _outcome(site, publish)
    ui.notify(f"{about}{said}", type=kind, multi_line=True)


async def _outcome(site: Site, publish: Callable[[], Token]) -> tuple[str, Any]:
    """What became of it, in words, and how that is shown."""
    try:
        token = await to_thread(publish)
        outcome = await site.services.pending.outcome(token, WAIT_S)
    except (*AWAY, ValueError) as error:  # nobody answers, or the message cannot be written as it was typed
        return str(error), "negative"
    if outcome is None:
        return f"Asked; what became of it is not known after {WAIT_S:g} s.", "info"
    return ("Done.", "positive") if outcome.is_accepted else (f"Refused: {outcome.reason}", "negative")

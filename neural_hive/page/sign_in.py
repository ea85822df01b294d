"""Signing in: with an API key or a token, as at the API."""

from nicegui import ui

from neural_hive.api.auth import Unauthenticated, Unverifiable
from neural_hive.api.refused import refused
from neural_hive.page.frame import SIGN_IN, browser_id, dark_switch
from neural_hive.page.site import Site


def show(site: Site, to: str) -> None:
    """The form; afterwards on to the view that was asked for."""
    address = ui.context.client.ip or ""
    target = to if to.startswith("/") and not to.startswith("//") and "\\" not in to else "/"
    with ui.header().classes("items-center py-1"):
        ui.label("Neural Hive").classes("text-lg")
        ui.space()
        dark_switch()
    with ui.card().classes("mx-auto mt-16 w-96"):
        ui.label("Sign in").classes("text-xl").props('role="heading" aria-level="1"')
        key = ui.input("API key or token", password=True, password_toggle_button=True).classes("w-full")
        key.props("autofocus autocomplete=current-password")
        said = ui.label().classes("text-negative").props('role="alert"')

        async def enter() -> None:
            said.text = await attempt(site, browser_id(), address, key.value or "")
            if not said.text:
                ui.navigate.to(target)

        key.on("keydown.enter", enter)
        ui.button("Sign in", on_click=enter).classes("w-full")
        ui.label(
            "The first key was written to api/ in the data folder when the API began. "
            "`neural-hive api-key add` makes more."
        ).classes("text-sm opacity-70")


async def attempt(site: Site, browser: str, address: str, bearer: str) -> str:
    """Lets a browser in; why not, if it may not. Who fails too often from an address must wait, and is told of."""
    wait_s = site.services.strangers.take(f"address:{address}")
    if wait_s:
        status, said = 429, f"too many tries: try again in {wait_s:.0f} s"
    else:
        try:
            await site.sessions.sign_in(browser, bearer)
            return ""
        except (Unauthenticated, Unverifiable) as error:
            status, said = 401, str(error)
    site.services.refusals.tell(refused("", status, said, "POST", SIGN_IN, "", address))
    return said

"""What is around every view: who is signed in, where one can go, light or dark, and the keys."""

from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import quote

import structlog
from nicegui import app, ui
from nicegui.events import KeyEventArguments
from starlette.responses import RedirectResponse

from neural_hive.api.auth import Identity, Unauthenticated, Unverifiable
from neural_hive.api.permissions import PERMISSIONS
from neural_hive.page.site import Site

NAVIGATION: Final = (  # key, path, name, icon
    ("o", "/", "Overview", "dashboard"),
    ("w", "/workflows", "Workflows", "account_tree"),
    ("b", "/budgets", "Budgets", "speed"),
    ("e", "/events", "Events", "list_alt"),
    ("d", "/dead-letters", "Dead letters", "mark_email_unread"),
    ("s", "/streams", "Streams and tables", "storage"),
    ("a", "/agents", "Agents", "smart_toy"),
    ("q", "/sql", "SQL", "terminal"),
    ("v", "/verification", "Verification", "verified"),
)
SIGN_IN: Final = "/sign-in"
DARK: Final = "dark"
log = structlog.get_logger()
Show = Callable[[Identity], Awaitable[None]]


def browser_id() -> str:
    """The id in this browser's signed cookie."""
    return str(app.storage.browser["id"])


async def framed(site: Site, path: str, show: Show) -> RedirectResponse | None:
    """A view in its frame, for who is signed in; others are sent to sign in.

    The frame is there at once. What the view asks for may take a while, and comes when the browser has connected.
    """
    try:
        identity = await site.sessions.identity(browser_id())
    except (Unauthenticated, Unverifiable):
        return RedirectResponse(f"{SIGN_IN}?to={quote(path)}")
    _header(site, identity, path)
    place = ui.column().classes("w-full p-2 gap-4").props('role="main"')

    async def fill() -> None:
        with place:
            try:
                await show(identity)
            except Exception as error:  # the frame stays, and says what happened
                log.exception("view_failed", path=path)
                said = f"This cannot be shown: {type(error).__name__}. The log of the API says more."
                ui.label(said).classes("text-negative").props('role="alert"')

    ui.timer(0, fill, once=True)
    return None


def dark_switch() -> None:
    """Light, dark, or as the browser has it; kept for this browser."""
    mode = ui.dark_mode(app.storage.user.get(DARK))

    def turn() -> None:
        following = {None: True, True: False, False: None}[mode.value]
        mode.value = app.storage.user[DARK] = following
        ui.notify({None: "as the browser has it", True: "dark", False: "light"}[following])

    ui.button(icon="contrast", on_click=turn).props(
        'flat round color=white aria-label="Light, dark or automatic"'
    )


def _drawer() -> Any:
    """Open where there is room for it, which the browser sees and tells.

    Without a value NiceGUI would ask the browser, and log an error whenever that has gone on to another view.
    """
    drawer = ui.left_drawer(value=False, bordered=True).classes("p-2")
    return drawer.props("show-if-above")


def _header(site: Site, identity: Identity, path: str) -> None:
    drawer = _drawer()
    with ui.header().classes("items-center gap-2 py-1"):
        ui.button(icon="menu", on_click=drawer.toggle).props('flat round color=white aria-label="Menu"')
        ui.label("Neural Hive").classes("text-lg")
        ui.space()
        ui.label(f"{identity.name} ({', '.join(sorted(identity.roles))})").classes("text-sm")
        dark_switch()

        def leave() -> None:
            site.sessions.sign_out(browser_id())
            ui.navigate.to(SIGN_IN)

        ui.button(icon="logout", on_click=leave).props('flat round color=white aria-label="Sign out"')
    with drawer, ui.element("nav").classes("w-full"):
        for key, target, name, icon in NAVIGATION:
            here = target == path
            with (
                ui.link(target=target)
                .classes(f"flex items-center gap-3 p-2 rounded no-underline {'font-bold' if here else ''}")
                .props(f'aria-keyshortcuts="g {key}"{" aria-current=page" if here else ""}')
            ):
                ui.icon(icon).classes("text-xl")
                ui.label(name)
                ui.space()
                ui.label(f"g {key}").classes("text-xs opacity-50")
    if (
        path != "/sql"
    ):  # the editor is no field that the browser tells apart: what is typed there goes nowhere
        _keys()


def _keys() -> None:
    """g and then a letter goes to a view; what is typed into a field is none of it."""
    targets = {key: path for key, path, _, _ in NAVIGATION}
    is_waiting = False

    def pressed(event: KeyEventArguments) -> None:
        nonlocal is_waiting
        if not event.action.keydown or event.modifiers.ctrl or event.modifiers.alt or event.modifiers.meta:
            return
        name = str(event.key.name)
        if is_waiting and name in targets:
            ui.navigate.to(targets[name])
        is_waiting = name == "g"

    ui.keyboard(on_key=pressed)


def may(identity: Identity, method: str, path: str) -> bool:
    """Whether somebody may use a route of the API: who may not ask there may not here."""
    return identity.may(PERMISSIONS[method, path])


def lets_in(identity: Identity, what: str, method: str, path: str) -> bool:
    """Whether somebody may see what a route of the API tells; if not, that is said."""
    if may(identity, method, path):
        return True
    roles = " or ".join(sorted(PERMISSIONS[method, path].roles))
    ui.label(f"{what}: that takes the role {roles}.").classes("text-warning").props('role="alert"')
    return False

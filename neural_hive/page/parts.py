"""Pieces that views are made of: how times, states and troubles look."""

from asyncio import to_thread
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

import structlog
from nicegui import ui
from nicegui.events import GenericEventArguments

from neural_hive.connectors.clickhouse import ClickHouseError
from neural_hive.following import Unreachable
from neural_hive.sdk.breaker import CircuitOpen

AWAY: Final = (ClickHouseError, Unreachable, CircuitOpen)
_COLORS: Final = {
    "COMPLETED": "positive",
    "HEALTHY": "positive",
    "RUNNING": "primary",
    "ASSIGNED": "primary",
    "READY": "primary",
    "PENDING": "grey-7",
    "QUEUED": "grey-7",
    "PAUSED": "warning",
    "COMPENSATING": "warning",
    "DEGRADED": "warning",
    "COMPENSATED": "purple-7",
    "CANCELLED": "purple-7",
    "FAILED": "negative",
    "TIMED_OUT": "negative",
    "REJECTED": "negative",
    "UNHEALTHY": "negative",
    "WARNING": "warning",
    "CRITICAL": "deep-orange-9",
    "EXHAUSTED": "negative",
    "FROZEN": "primary",
    "WATCHES": "positive",
}
log = structlog.get_logger()


def color_of(status: str) -> str:
    """The colour of a state, as Quasar names it."""
    return _COLORS.get(status, "grey-7")


def badge(status: str) -> Any:
    """A state in its colour, and in words: colour alone tells not everybody."""
    return ui.badge(status or "–", color=color_of(status)).classes("text-sm")


def heading(text: str, hint: str = "") -> None:
    """The title of a view."""
    ui.label(text).classes("text-2xl").props('role="heading" aria-level="1"')
    if hint:
        ui.label(hint).classes("text-sm opacity-70")


def time_text(at: datetime | None) -> str:
    """A time of UTC."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] if at else ""


def took_text(ms: float) -> str:
    """A duration."""
    if ms < 1_000:
        return f"{ms:.0f} ms"
    seconds = ms / 1_000
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.1f} h"


def size_text(size_bytes: float) -> str:
    """A size in memory or on disk."""
    for unit in ("B", "KB", "MB", "GB"):
        if size_bytes < 1_024:
            return f"{size_bytes:,.0f} {unit}"
        size_bytes /= 1_024
    return f"{size_bytes:,.1f} TB"


class Slider:
    """A whole number from 0 to a most, chosen with the pointer or with arrow keys.

    The browser's own: what has the focus is what is told to who does not see it, which Quasar's slider keeps apart.
    """

    def __init__(self, name: str, moved: Callable[[], Awaitable[None]]) -> None:
        """`moved` is called when somebody has moved it, not by `set`."""
        self.value, self._most = 0, 0

        async def note(event: GenericEventArguments) -> None:
            self.set(int(event.args), self._most)
            await moved()

        self._field = ui.element("input").classes("w-full").style("accent-color: var(--q-primary)")
        self._field.props(f'type=range min=0 max=0 step=1 value=0 aria-label="{name}"')
        self._field.on("input", note, throttle=0.05, js_handler="(e) => emit(Number(e.target.value))")

    def set(self, value: int, most: int) -> None:
        """Puts it there, within its ends."""
        self.value, self._most = min(max(value, 0), most), most
        self._field.props.update(max=most, value=self.value)


class Trouble:
    """A line that says what does not answer, as long as it does not."""

    def __init__(self) -> None:
        self._line = ui.label().classes("text-negative w-full").props('role="alert"')
        self._line.visible = False

    @property
    def is_shown(self) -> bool:
        """Whether something does not answer."""
        return bool(self._line.visible)

    def say(self, text: str) -> None:
        """Shows it; "" takes it away."""
        self._line.text, self._line.visible = text, bool(text)


async def asked(trouble: Trouble, ask: Callable[..., Any], *arguments: Any) -> Any | None:
    """The answer of something that blocks; None if who is asked is away, and the line says so."""
    try:
        found = await to_thread(ask, *arguments)
    except AWAY as error:
        trouble.say(f"{error}. It is asked again.")
        return None
    trouble.say("")
    return found


def live(interval_s: float, refresh: Callable[[], Awaitable[None]]) -> Any:
    """Refreshes now and again and again, as long as somebody looks; a slow one is not overtaken by the next."""
    busy = False

    async def once() -> None:
        nonlocal busy
        if busy:
            return
        busy = True
        try:
            await refresh()
        except Exception:
            log.exception("page_refresh_failed")
            raise
        finally:
            busy = False

    return ui.timer(interval_s, once)


def link_slot(table: Any, column: str, path: str) -> None:
    """Makes the cells of a column links to `path` with the row's key behind it; they are reached with Tab."""
    table.add_slot(
        f"body-cell-{column}",
        f'<q-td :props="props"><a :href="\'{path}\' + encodeURIComponent(props.row.key)" '
        'class="text-primary underline">{{ props.value }}</a></q-td>',
    )


def badge_slot(table: Any, column: str) -> None:
    """Shows the states of a column in their colours."""
    table.add_slot(
        f"body-cell-{column}",
        '<q-td :props="props"><q-badge :color="props.row.color">{{ props.value }}</q-badge></q-td>',
    )


def columns(*names: str, right: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Columns of a table whose rows have these fields, and `key`."""
    return [
        {"name": n, "label": n.replace("_", " "), "field": n, "align": "right" if n in right else "left"}
        for n in names
    ]

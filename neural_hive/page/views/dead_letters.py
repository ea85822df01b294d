"""What could not be processed: why, what it says, and writing it again on a person's word."""

from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import msgspec
from nicegui import ui
from nicegui.events import GenericEventArguments

from neural_hive.api.auth import Identity
from neural_hive.dead_letters import Redrive, redrives_of
from neural_hive.page.frame import lets_in, may
from neural_hive.page.parts import Trouble, asked, columns, heading, live, time_text
from neural_hive.page.reason import ReasonDialog, told
from neural_hive.page.site import Site
from neural_hive.sdk.tables import Reader
from neural_hive.streams.operations.messages import RedriveDeadLetter

ROWS: Final = 200
REFRESH_S: Final = 3.0
_TEXT_CHARS: Final = 4_000
_LIST: Final = (
    "SELECT dead_letter, toString(occurred_at), processor, source_topic, error_type, reason FROM dead_letters "
    "ORDER BY occurred_at DESC LIMIT {count:UInt32}"
)
_ONE: Final = (
    "SELECT dead_letter, processor, concat(source_topic, ':', toString(source_partition), ':', "
    "toString(source_offset)), error_type, reason, length(value), "
    f"substring(toValidUTF8(value), 1, {_TEXT_CHARS}), substring(hex(value), 1, {_TEXT_CHARS}) "
    "FROM dead_letters WHERE dead_letter = {place:String}"
)


class Letter(msgspec.Struct, frozen=True):
    """A dead letter, and what people wanted of it."""

    place: str
    processor: str
    source: str
    error_type: str
    reason: str
    size_bytes: int
    text: str
    hex: str
    story: tuple[Redrive, ...]


async def show(site: Site, identity: Identity) -> None:
    """The view."""
    heading(
        "Dead letters", f"The newest {ROWS}. What is mended can be written again; repeats change nothing."
    )
    if not lets_in(identity, "Dead letters", "GET", "/api/v1/dead-letters"):
        return
    may_redrive = may(identity, "POST", "/api/v1/dead-letters/redrive")
    trouble = Trouble()
    table = ui.table(
        columns=columns("letter", "at", "processor", "from", "error", "reason"),
        rows=[],
        row_key="key",
        selection="multiple" if may_redrive else None,
        pagination=50,
    ).classes("w-full")
    table.add_slot(
        "body-cell-letter",
        '<q-td :props="props"><button class="text-primary underline" '
        "@click=\"() => $parent.$emit('open', props.row.key)\">{{ props.value }}</button></q-td>",
    )

    async def refresh() -> None:
        rows = await asked(trouble, site.services.tables.rows, _LIST, {"count": ROWS})
        if rows is not None:
            table.rows = [_row(row) for row in rows]

    async def opened(event: GenericEventArguments) -> None:
        found = await asked(trouble, letter, site.services.tables, str(event.args))
        if found is not None:
            _details(site.named(found, identity))

    table.on("open", opened)
    if may_redrive:
        _redrive(site, identity, table)
    await refresh()
    live(REFRESH_S, refresh)


def letter(reader: Reader, place: str) -> Letter | None:
    """The letter at its place; None: there is none. Raises ClickHouseError."""
    rows = reader.rows(_ONE, {"place": place})
    if not rows:
        return None
    place, processor, source, error_type, reason, size_bytes, text, in_hex = rows[0]
    story = tuple(redrives_of(reader, place))
    return Letter(place, processor, source, error_type, reason, size_bytes, text, in_hex, story)


def _redrive(site: Site, identity: Identity, table: Any) -> None:
    async def send(why: str) -> None:
        for row in list(table.selected):
            wanted = RedriveDeadLetter(row["key"], why, identity.name, bool(again.value))
            await told(site, partial(site.services.sender.redrive, wanted), f"{row['key']}: ")
        table.selected.clear()

    dialog = ReasonDialog("Write again", send)
    with dialog.above:
        again = ui.checkbox("Also those that were written again before")

    def ask() -> None:
        if not table.selected:
            ui.notify("Choose letters first", type="warning")
            return
        dialog.ask("Write the chosen letters again")

    ui.button("Write again", icon="replay", on_click=ask).props("outline")


def _row(row: tuple[Any, ...]) -> dict[str, Any]:
    place, at, processor, source, error_type, reason = (str(value or "") for value in row)
    return {
        "key": place,
        "letter": place,
        "at": at[:23],
        "processor": processor,
        "from": source,
        "error": error_type,
        "reason": reason[:200],
    }


def _details(found: Letter) -> None:
    with ui.dialog() as dialog, ui.card().classes("w-full max-w-4xl"):
        ui.label(f"{found.place}, from {found.source}").classes("text-lg")
        ui.label(f"{found.processor}: {found.error_type}: {found.reason}").classes("break-all")
        for one in found.story:
            at = time_text(datetime.fromtimestamp(one.at_ms / 1_000, UTC))
            said = f"{at} {one.outcome} for {one.requested_by}: {one.reason} {one.rejection}"
            ui.label(said.strip())
        with ui.expansion(f"Its {found.size_bytes:,} bytes as text", value=True).classes("w-full"):
            ui.label(found.text).classes("font-mono text-xs break-all whitespace-pre-wrap")
        with ui.expansion("as hex").classes("w-full"):
            ui.label(found.hex).classes("font-mono text-xs break-all")
        ui.button("Close", on_click=dialog.close).props("flat autofocus")
    dialog.on("hide", dialog.delete)
    dialog.open()

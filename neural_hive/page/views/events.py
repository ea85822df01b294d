"""The events of the log: decoded, narrowed, followed as they come."""

from typing import Any, Final

import msgspec
from nicegui import ui
from nicegui.events import GenericEventArguments

from neural_hive.api.auth import Identity
from neural_hive.page.event_reads import ROWS_MAX, EventRow, Filter, between, ends, event_at, newest
from neural_hive.page.frame import lets_in
from neural_hive.page.parts import Trouble, asked, columns, heading, live, time_text
from neural_hive.page.site import Site
from neural_hive.projections.ranges import Place

FOLLOW_S: Final = 1.0
_COLUMNS: Final = columns("at", "event", "of", "version", "place")


async def show(site: Site, identity: Identity, event_type: str = "", aggregate_id: str = "") -> None:
    """The view."""
    heading("Events", f"The newest {ROWS_MAX} that fit; a click or Enter on one shows all of it.")
    if not lets_in(identity, "Events", "GET", "/api/v1/replay/aggregates/{aggregate_id}/history"):
        return
    tables, trouble = site.services.tables, Trouble()
    seen: dict[Place, int] = {}
    rows: list[EventRow] = []
    with ui.row().classes("items-end gap-4"):
        fields = {
            "event_type": ui.input("Event type", value=event_type),
            "aggregate_id": ui.input("Aggregate id", value=aggregate_id),
            "topic": ui.input("Topic"),
            "text": ui.input("Text in the payload"),
        }
        follow = ui.switch("Follow", value=True)
    table = ui.table(columns=_COLUMNS, rows=[], row_key="key").classes("w-full cursor-pointer")
    table.add_slot(
        "body-cell-event",
        '<q-td :props="props"><button class="text-primary underline" '
        "@click=\"() => $parent.$emit('open', props.row.key)\">{{ props.value }}</button></q-td>",
    )

    def wanted() -> Filter:
        return Filter(**{name: (field.value or "").strip() for name, field in fields.items()})

    def draw() -> None:
        table.rows = [_row(event) for event in rows]

    async def again() -> None:
        now = await asked(trouble, ends, tables, wanted().topic)
        found = await asked(trouble, newest, tables, wanted())
        if now is not None and found is not None:
            seen.clear()
            seen.update(now)
            rows[:] = found
            draw()

    async def go_on() -> None:
        if not follow.value:
            return
        now = await asked(trouble, ends, tables, wanted().topic)
        if now is None or now == seen:
            return
        found = await asked(trouble, between, tables, wanted(), dict(seen), now, ROWS_MAX)
        if found is not None:
            seen.update(now)
            rows[:] = [*found, *rows][:ROWS_MAX]
            draw()

    async def opened(event: GenericEventArguments) -> None:
        await _details(site, identity, trouble, str(event.args))

    table.on("open", opened)
    for field in fields.values():
        field.props("clearable debounce=500").on_value_change(again)
    await again()
    live(FOLLOW_S, go_on)


def _row(event: EventRow) -> dict[str, Any]:
    return {
        "key": event.place,
        "at": event.at,
        "event": event.event_type,
        "of": f"{event.aggregate_type} {event.aggregate_id}",
        "version": event.version,
        "place": event.place,
    }


async def _details(site: Site, identity: Identity, trouble: Trouble, place: str) -> None:
    found = await asked(trouble, event_at, site.services.tables, place)
    if found is None:
        return
    found = site.named(found, identity)
    with ui.dialog() as dialog, ui.card().classes("w-full max-w-4xl"):
        ui.label(f"{found.event_type}, {place}").classes("text-lg")
        with ui.grid(columns="auto 1fr").classes("gap-x-4 gap-y-1"):
            for name in found.__struct_fields__:
                if name not in ("payload", "value"):
                    value = getattr(found, name)
                    ui.label(name.replace("_", " ")).classes("opacity-70")
                    ui.label(time_text(value) if name == "occurred_at" else str(value)).classes("break-all")
        ui.code(msgspec.json.format(found.payload.encode()).decode(), language="json").classes("w-full")
        with ui.expansion(f"Its {len(found.value) // 2:,} bytes").classes("w-full"):
            ui.label(found.value).classes("font-mono text-xs break-all")
        if found.aggregate_type == "workflow":
            ui.link("The workflow", f"/workflow/{found.aggregate_id}")
        ui.button("Close", on_click=dialog.close).props("flat autofocus")
    dialog.on("hide", dialog.delete)
    dialog.open()

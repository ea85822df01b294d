"""SQL: a statement, its result as a table or drawn, and as a file."""

from typing import Any, Final

from nicegui import ui

from neural_hive.api.auth import Identity
from neural_hive.connectors.clickhouse import ClickHouseError
from neural_hive.page.console import ROWS_MAX, Answer, TooLarge, Unanswered
from neural_hive.page.frame import lets_in
from neural_hive.page.parts import heading
from neural_hive.page.site import Site

FIRST: Final = "SELECT status, count() AS workflows\nFROM workflows\nGROUP BY status\nORDER BY workflows DESC"
FORMATS: Final = {"CSVWithNames": "csv", "JSONEachRow": "jsonl", "Parquet": "parquet"}
POINTS_MAX: Final = 500


async def show(site: Site, identity: Identity) -> None:
    """The view."""
    heading("SQL", "One statement that reads; Ctrl+Enter runs it. Tables and examples: docs/sql.md.")
    if not lets_in(identity, "SQL", "POST", "/api/v1/query"):
        return
    key = site.services.quota_keys.of_caller(identity)
    editor = ui.codemirror(FIRST, language="SQL", theme="basicLight").classes("w-full h-48 border")
    with ui.row().classes("items-center gap-2"):
        start = ui.button("Run", icon="play_arrow", on_click=lambda: execute())
        for output_format, ending in FORMATS.items():
            ui.button(
                ending.upper(), icon="download", on_click=lambda f=output_format, e=ending: save(f, e)
            ).props("outline")
        status = ui.label()
    said = ui.label().classes("text-negative whitespace-pre-wrap").props('role="alert"')
    result = ui.column().classes("w-full")

    async def execute() -> None:
        start.disable()
        status.text, said.text = "running", ""
        try:
            answer = await site.console.run(editor.value, key)
        except (ClickHouseError, TooLarge, Unanswered) as error:
            status.text, said.text = "", str(error)
            return
        finally:
            start.enable()
        more = f"the first {ROWS_MAX:,} rows" if answer.is_cut else f"{len(answer.rows):,} rows"
        status.text = f"{more}, {answer.elapsed_s:.3f} s"
        result.clear()
        with result:
            _show(answer)

    async def save(output_format: str, ending: str) -> None:
        said.text = ""
        try:
            body = await site.console.export(editor.value, output_format, key)
        except (ClickHouseError, TooLarge) as error:
            said.text = str(error)
            return
        ui.download.content(body, f"result.{ending}")

    ui.keyboard(
        on_key=lambda e: (
            execute() if e.action.keydown and e.modifiers.ctrl and e.key.name == "Enter" else None
        ),
        ignore=[],
    )


def _show(answer: Answer) -> None:
    names = [
        {"name": str(i), "label": name, "field": str(i), "align": "left"}
        for i, name in enumerate(answer.names)
    ]
    rows = [
        {"key": n, **{str(i): _cell(value) for i, value in enumerate(row)}}
        for n, row in enumerate(answer.rows)
    ]
    with ui.tabs() as tabs:
        ui.tab("Table")
        ui.tab("Chart")
    with ui.tab_panels(tabs, value="Table").classes("w-full"):
        with ui.tab_panel("Table"):
            ui.table(columns=names, rows=rows, row_key="key", pagination=25).classes("w-full")
        with ui.tab_panel("Chart"):
            _show_chart(answer)


def _show_chart(answer: Answer) -> None:
    numbers = {i: name for i, name in enumerate(answer.names) if answer.is_number(i)}
    if not numbers or not answer.rows:
        ui.label("A chart needs a column of numbers.")
        return
    everything = dict(enumerate(answer.names))
    first = next((i for i in everything if i not in numbers), 0)
    with ui.row():
        kind = ui.select({"bar": "bars", "line": "a line"}, value="bar", label="As")
        across = ui.select(everything, value=first, label="Across")
        height = ui.select(numbers, value=next(iter(numbers)), label="Height")
    chart = ui.echart(drawn(answer, "bar", first, next(iter(numbers)))).classes("w-full h-80")

    def redraw() -> None:
        chart.options.update(drawn(answer, kind.value, across.value, height.value))
        chart.update()

    for choice in (kind, across, height):
        choice.on_value_change(redraw)


def drawn(answer: Answer, kind: str, across: int, height: int) -> dict[str, Any]:
    """The first POINTS_MAX rows as ECharts takes them."""
    rows = answer.rows[:POINTS_MAX]
    return {
        "animation": False,
        "tooltip": {"trigger": "axis"},
        "grid": {"left": 70, "right": 10, "top": 20, "bottom": 60},
        "xAxis": {"type": "category", "data": [_cell(row[across]) for row in rows]},
        "yAxis": {"type": "value", "name": answer.names[height]},
        "series": [{"type": kind, "data": [_number(row[height]) for row in rows]}],
    }


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None  # NULL, or a word for what is no number


def _cell(value: Any) -> Any:
    return (
        value
        if isinstance(value, int | float) and not isinstance(value, bool)
        else ""
        if value is None
        else str(value)
    )

"""One SLO: what it promises, how its budget went over its window, how it burns, who corrected it, what it froze."""

from datetime import datetime
from typing import Any, Final

import msgspec
from nicegui import ui

from neural_hive import budget_reads as reads
from neural_hive.aggregates.burn import PAIRS
from neural_hive.api.auth import Identity
from neural_hive.budget_reads import SloBudget
from neural_hive.page import freeze_reads
from neural_hive.page.budget_drawing import burn_down, burn_rates
from neural_hive.page.parts import (
    Trouble,
    asked,
    badge,
    badge_slot,
    color_of,
    columns,
    heading,
    live,
    time_text,
    took_text,
)
from neural_hive.page.site import Site
from neural_hive.page.views.budgets import gone_text, path_of, rate_text, target_text, window_text
from neural_hive.page.views.freezes import history_row, history_table
from neural_hive.sdk.tables import Reader
from neural_hive.slo_views import AdjustmentInfo, FreezeInfo

REFRESH_S: Final = 5.0
DIMENSIONS_MAX: Final = 100
ADJUSTMENTS_MAX: Final = 50
_LONG: Final = {pair.long: f"{pair.level}: {pair.rate:g} × here and in {pair.short}" for pair in PAIRS}
_ORDER: Final = ("5m", "30m", "1h", "2h", "6h", "24h", "3d", "budget")


class Seen(msgspec.Struct, frozen=True):
    """All that the view shows."""

    info: SloBudget
    dimensions: tuple[str, ...]
    looks: tuple[reads.Look, ...] = ()
    frozen: tuple[tuple[datetime, datetime], ...] = ()
    violations: tuple[reads.Violated, ...] = ()
    adjustments: tuple[AdjustmentInfo, ...] = ()
    freezes: tuple[FreezeInfo, ...] = ()


def look(reader: Reader, slo_id: str, dimension: str) -> Seen | None:
    """Asks for it; None: there is no such SLO. Raises ClickHouseError."""
    budgets = reads.budgets(reader, slo_id=slo_id, most=DIMENSIONS_MAX)
    if not budgets:
        return None
    dimensions = tuple(sorted(each.dimension for each in budgets))
    info = next((each for each in budgets if each.dimension == dimension), budgets[0])
    if not info.budget_id or info.starts_at is None or info.upto is None:
        return Seen(info, dimensions)
    return Seen(
        info,
        dimensions,
        reads.history(reader, info.budget_id, info.starts_at, info.upto),
        _frozen(reader, info),
        reads.violations(reader, info.budget_id),
        reads.adjustments(reader, info.budget_id, 0, ADJUSTMENTS_MAX)[0],
        freeze_reads.freezes(reader, only_active=False, budget_id=info.budget_id),
    )


def _frozen(reader: Reader, info: SloBudget) -> tuple[tuple[datetime, datetime], ...]:
    """From when to when, the freezes that still hold up to the last look."""
    assert info.starts_at is not None and info.upto is not None
    over = freeze_reads.frozen_times(reader, info.budget_id, info.starts_at)
    holds = [f.activated_at for f in freeze_reads.freezes(reader, budget_id=info.budget_id) if f.activated_at]
    return (*over, *((began, max(info.upto, began)) for began in holds))


async def show(site: Site, identity: Identity, slo_id: str, dimension: str = "") -> None:
    """The view."""
    heading(f"SLO {slo_id}")
    tables, trouble = site.services.tables, Trouble()
    found: Seen | None = await asked(trouble, look, tables, slo_id, dimension)
    if found is None:
        if not trouble.is_shown:
            ui.label("There is no such SLO, or the tables do not have it yet.").props('role="alert"')
        return
    head = ui.row().classes("items-center gap-4 w-full")
    _choose_dimension(slo_id, found)
    course = _chart("What is left, as it was believed then", burn_down(found.info, (), ()))
    with ui.row().classes("w-full gap-4 items-stretch"):
        with ui.column().classes("grow min-w-96 flex-1"):
            rates = _chart("Burn rates: 1 uses up exactly the budget", burn_rates(()))
        with ui.card():
            ui.label("Windows up to the last look").classes("text-lg")
            names = columns(
                "window", "burn_rate", "bad", "valid", "limit", right=("burn_rate", "bad", "valid")
            )
            windows = ui.table(columns=names, rows=[], row_key="key")
    violations, adjustments, freezes = _tables()

    def draw(seen: Seen) -> None:
        _show_head(head, seen.info)
        for chart, drawn in (
            (course, burn_down(seen.info, seen.looks, seen.frozen)),
            (rates, burn_rates(seen.looks)),
        ):
            chart.options.clear()
            chart.options.update(drawn)
            chart.update()
        windows.rows = _window_rows(seen.info)
        violations.rows = [_violation_row(number, each) for number, each in enumerate(seen.violations)]
        adjustments.rows = [_adjustment_row(each) for each in seen.adjustments]
        freezes.rows = [history_row(freeze) for freeze in seen.freezes]

    async def refresh() -> None:
        again: Seen | None = await asked(trouble, look, tables, slo_id, found.info.dimension)
        if again is not None:
            draw(site.named(again, identity))

    draw(site.named(found, identity))
    live(REFRESH_S, refresh)


def _chart(title: str, options: dict[str, Any]) -> Any:
    with ui.card().classes("w-full"):
        ui.label(title).classes("text-lg")
        return ui.echart(options).classes("h-64 w-full").props(f'role="img" aria-label="{title}"')


def _choose_dimension(slo_id: str, seen: Seen) -> None:
    """An SLO with several budgets shows one of them at a time."""
    if len(seen.dimensions) > 1:
        ui.select(
            list(seen.dimensions),
            value=seen.info.dimension,
            label="Budget of",
            on_change=lambda event: ui.navigate.to(path_of(slo_id, event.value)),
        ).classes("w-64")


def _tables() -> tuple[Any, Any, Any]:
    with ui.tabs().classes("w-full") as tabs:
        for name in ("Violations", "Corrections", "Freezes"):
            ui.tab(name)
    with ui.tab_panels(tabs, value="Violations").classes("w-full"):
        with ui.tab_panel("Violations"):
            names = columns("at", "what", "kind", "severity", "left", "burn_1h", "lasted", right=("burn_1h",))
            violations = ui.table(columns=names, rows=[], row_key="key", pagination=20).classes("w-full")
            badge_slot(violations, "severity")
        with ui.tab_panel("Corrections"):
            names = columns("at", "kind", "from", "to", "good", "valid", "reason", "by", "id")
            adjustments = ui.table(columns=names, rows=[], row_key="key", pagination=20).classes("w-full")
        with ui.tab_panel("Freezes"):
            freezes = history_table()
    return violations, adjustments, freezes


def _show_head(head: Any, info: SloBudget) -> None:
    head.clear()
    with head:
        badge(info.status or "nothing counted yet")
        if info.status:
            ui.label(f"{info.remaining:.2%} left").classes("text-2xl")
            ui.badge(f"burns {info.level}", color=color_of({"NORMAL": "HEALTHY"}.get(info.level, "WARNING")))
        gone = gone_text(info)
        for text in (
            info.name,
            f"{info.slo_type} of {info.service_name}",
            f"{target_text(info.target)} over {window_text(info)}, from {info.source}",
            f"{info.budget_consumed:,} bad of {info.valid:,} events, {info.budget_total:,.1f} may be"
            if info.status
            else "",
            f"gone {gone}" if gone not in ("", "–") else "",
            f"counted to {time_text(info.upto)[:16]} UTC" if info.upto else "",
            "" if info.enabled else "it is disabled: nothing is counted",
        ):
            if text:
                ui.label(text)


def _window_rows(info: SloBudget) -> list[dict[str, Any]]:
    rows = zip(info.windows, info.goods, info.valids, info.rates, strict=True)
    found = [
        {
            "key": name,
            "window": name,
            "burn_rate": rate_text(rate),
            "bad": f"{valid - good:,}",
            "valid": f"{valid:,}",
            "limit": _LONG.get(name, ""),
        }
        for name, good, valid, rate in rows
    ]
    return sorted(found, key=lambda each: _ORDER.index(each["window"]) if each["window"] in _ORDER else 99)


def _violation_row(number: int, found: reads.Violated) -> dict[str, Any]:
    is_opened = found.event_type == "ViolationOpened"
    return {
        "key": number,
        "at": time_text(found.at)[:19],
        "what": "opened" if is_opened else "closed",
        "kind": found.kind,
        "severity": found.severity,
        "color": color_of({"CRITICAL": "EXHAUSTED", "HIGH": "CRITICAL"}.get(found.severity, "WARNING")),
        "left": f"{found.remaining:.1%}",
        "burn_1h": rate_text(found.burn_rate),
        "lasted": "" if is_opened else took_text(found.duration_ms),
    }


def _adjustment_row(found: AdjustmentInfo) -> dict[str, Any]:
    is_correction = found.kind == "CORRECT"
    return {
        "key": f"{found.adjustment_id} {found.kind} {found.adjusted_at}",
        "at": time_text(found.adjusted_at)[:19],
        "kind": found.kind,
        "from": time_text(found.starts_at)[:16],
        "to": time_text(found.ends_at)[:16],
        "good": f"{found.good:+,}" if is_correction else "",
        "valid": f"{found.valid:+,}" if is_correction else "",
        "reason": found.reason,
        "by": found.requested_by,
        "id": found.adjustment_id,
    }

"""What would have been, as a person reads it."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from neural_hive.replay.rerun.answers import Assumed
from neural_hive.replay.rerun.comparison import Changed, Comparison
from neural_hive.replay.rerun.difference import Difference
from neural_hive.replay.rerun.outcome import Totals
from neural_hive.replay.rerun.what_if import Side, WhatIf

ROWS_MAX: Final = 50  # of one table; all are in the JSON
NOTHING: Final = "–"


def render(answer: WhatIf, console: Console) -> None:
    """Totals, what differs, and what was assumed."""
    for name, (now, tried) in answer.changed.items():
        console.print(escape(f"{name}: {now} → {tried}"))
    if answer.code:
        console.print(escape(f"code: {answer.code}"))
    if not answer.changed and not answer.code:
        console.print("Nothing is changed: the variant is the baseline, run once more")
    console.print(_totals(answer))
    plans = {w.workflow_id: w.plan_id for w in answer.baseline.outcome.workflows.values()}
    for title, changed in (
        ("Workflows", answer.difference.workflows),
        ("Tickets", answer.difference.tickets),
    ):
        if changed:
            console.print(_changed(title, changed, plans))
    for name, side in (("baseline", answer.baseline), ("variant", answer.variant)):
        _tell_assumed(name, side, console)
    if answer.unreadable:
        console.print(f"{answer.unreadable:,} inputs that nobody can read were left out: they have no effect")
    console.print(_verdict(answer.difference))


def _totals(answer: WhatIf) -> Table:
    history, baseline, variant = answer.deviation.left, answer.difference.left, answer.difference.right
    table = Table("", "history", "baseline", "variant", "change", title="Totals", title_justify="left")
    for name in _names(history, baseline, variant):
        values = [_value(totals, name) for totals in (history, baseline, variant)]
        if any(value not in (None, 0) for value in values):
            table.add_row(
                _label(name), *(_number(name, value) for value in values), _change(name, *values[1:])
            )
    return table


Name = tuple[str, str]  # field of the totals, and key in it


def _names(*of: Totals) -> Iterator[Name]:
    for field in Totals.__struct_fields__:
        values = [getattr(totals, field) for totals in of]
        if isinstance(values[0], dict):
            yield from ((field, key) for key in sorted({key for value in values for key in value}))
        else:
            yield field, ""


def _value(totals: Totals, name: Name) -> int | None:
    field, key = name
    value = getattr(totals, field)
    found: int | None = value.get(key, 0) if isinstance(value, dict) else value
    return found


_LABELS: Final = {
    "workflow_ms_median": "workflow, median",
    "workflow_ms_max": "workflow, longest",
    "waited_ms": "waiting for agents, all tickets",
    "waited_ms_max": "waiting for agents, longest",
    "agents_ms": "time of agents, all tickets",
    "took_ms": "first beginning to last end",
}


def _label(name: Name) -> str:
    field, key = name
    text = {"agents": "time of", "workflows": "workflows", "tickets": "tickets", "incidents": "incidents"}
    return f"{text[field]} {escape(key)}" if key else _LABELS.get(field, field)


def _is_time(name: Name) -> bool:
    return "_ms" in name[0] or name[0] == "agents"


def _number(name: Name, value: int | None) -> str:
    if value is None:
        return NOTHING
    return seconds(value) if _is_time(name) else f"{value:,}"


def _change(name: Name, left: int | None, right: int | None) -> str:
    if left is None or right is None or left == right:
        return "" if left == right else NOTHING
    sign = "+" if right > left else "−"
    share = f" ({sign}{abs(right - left) / left:.0%})" if left else ""
    return f"{sign}{_number(name, abs(right - left))}{share}"


def seconds(ms: int) -> str:
    """A time as people read it."""
    return f"{ms / 1_000:,.1f} s" if ms >= 10_000 else f"{ms / 1_000:.3f} s"


def _changed(title: str, changed: tuple[Changed, ...], plans: Mapping[str, str]) -> Table:
    """Those that ended otherwise first, then those whose times differ most."""
    told = sorted((one for one in changed if one.fields), key=_weight, reverse=True)
    table = Table("what", "baseline → variant", title=title, title_justify="left")
    for one in told[:ROWS_MAX]:
        plan = plans.get(one.workflow_id) or one.workflow_id
        name = f"{one.name} of {plan}" if one.ticket_id else f"{plan} ({one.workflow_id})"
        table.add_row(escape(name), escape("; ".join(_field(field) for field in one.fields)))
    if len(told) > ROWS_MAX:
        table.add_row(f"… and {len(told) - ROWS_MAX:,} more: see --json", "")
    if only := len(changed) - len(told):
        table.add_row(f"… and {only:,} whose events differ, and nothing of this", "")
    return table


def _weight(one: Changed) -> tuple[bool, int]:
    times = ((f.left or 0, f.right or 0) for f in one.fields if f.field.endswith("_ms"))
    moved = sum(
        abs(right - left) for left, right in times if isinstance(left, int) and isinstance(right, int)
    )
    return any(field.field == "status" for field in one.fields), moved


_FIELDS: Final = {"agent_id": "agent", "waited_ms": "waited", "ran_ms": "with agents", "duration_ms": "took"}


def _field(field: Difference) -> str:
    name, left, right = field.field, _told(field.field, field.left), _told(field.field, field.right)
    return f"{_FIELDS.get(name, name)} {left} → {right}"


def _told(name: str, value: Any) -> str:
    if value is None:
        return NOTHING
    return seconds(value) if name.endswith("_ms") and isinstance(value, int) else str(value)


def _tell_assumed(name: str, side: Side, console: Console) -> None:
    if side.assumed:
        shown = "; ".join(_assumption(one) for one in side.assumed[:3])
        more = f"; and {len(side.assumed) - 3:,} more: see --json" if len(side.assumed) > 3 else ""
        text = f"Assumed in the {name}, of {len(side.assumed):,} attempts: {shown}{more}"
        console.print(escape(text), style="yellow")
    if side.living_on:
        agents = ", ".join(side.living_on[:5]) + (", …" if len(side.living_on) > 5 else "")
        text = f"Assumed in the {name}: {agents} live on after the history's end"
        console.print(escape(text), style="yellow")
    if side.unfinished:
        console.print(f"In the {name} {side.unfinished:,} workflows have not ended", style="yellow")


def _assumption(one: Assumed) -> str:
    return f"{one.ticket_id} ({one.attempt}) at {one.agent_id}: {one.why}, {seconds(one.ran_ms)}"


def _verdict(difference: Comparison) -> str:
    if difference.is_empty:
        return "No difference: every event of the variant is one of the baseline"
    ended = sum(any(f.field == "status" for f in one.fields) for one in difference.workflows)
    differ = f"{len(difference.workflows):,} workflows and {len(difference.tickets):,} tickets differ"
    return f"{differ}; {ended:,} workflows end otherwise"

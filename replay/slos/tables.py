"""What would have been with other SLOs or freeze policies, as a person reads it."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from neural_hive.replay.slos.outcome import Frozen, Key
from neural_hive.replay.slos.what_if import BudgetNumbers, Numbers, Side, SloWhatIf

ROWS_MAX: Final = 50  # of one table; all are in the JSON
NOTHING: Final = "–"
_SIDES: Final = ("history", "baseline", "variant")


def render(answer: SloWhatIf, console: Console) -> None:
    """What is changed, totals, budgets, freezes, and what was left out."""
    console.print(f"from {_time(answer.since)} to {_time(answer.until)} UTC", highlight=False)
    for change in answer.changed or ("Nothing is changed: the variant is the baseline, run once more",):
        console.print(escape(change), highlight=False)
    console.print(_totals(answer))
    if answer.concerned:
        console.print(_budgets(answer))
    for name in ("baseline", "variant"):
        if (side := _side(answer, name)).outcome.freezes:
            console.print(_freezes(name, side, answer))
    for note in answer.notes:
        console.print(escape(note), style="yellow", highlight=False)
    console.print(verdict(answer), highlight=False)


def verdict(answer: SloWhatIf) -> str:
    """In a sentence."""
    if answer.is_empty:
        return "No difference: every look at a budget, every freeze and every deployment held is the same"
    left, right = answer.baseline.numbers, answer.variant.numbers
    return (
        f"Deploys would have been frozen for {duration(right.frozen_us)} instead of {duration(left.frozen_us)}, "
        f"and {right.deploys_held:,} of {answer.deploys:,} held instead of {left.deploys_held:,}"
    )


def _side(answer: SloWhatIf, name: str) -> Side:
    side: Side = getattr(answer, name)
    return side


def _totals(answer: SloWhatIf) -> Table:
    table = Table("", *_SIDES, "change", title="Totals", title_justify="left")
    numbers = [_side(answer, name).numbers for name in _SIDES]
    for label, shown, values in _lines(numbers):
        if any(values):
            change = shown(values[2] - values[1]) if values[1] != values[2] else ""
            sign = "+" if values[2] > values[1] else ""
            table.add_row(escape(label), *map(shown, values), f"{sign}{change}" if change else "")
    return table


def _lines(numbers: list[Numbers]) -> Iterator[tuple[str, Callable[[int], str], list[int]]]:
    yield "freezes", _count, [n.freezes for n in numbers]
    yield "deploys frozen", duration, [n.frozen_us for n in numbers]
    yield "longest freeze", duration, [n.longest_us for n in numbers]
    for policy in sorted({name for n in numbers for name in n.policies}):
        yield f"freezes by {policy}", _count, [n.policies.get(policy, (0, 0))[0] for n in numbers]
        yield f"frozen by {policy}", duration, [n.policies.get(policy, (0, 0))[1] for n in numbers]
    yield "deployments held", _count, [n.deploys_held for n in numbers]
    yield "held, all together", duration, [n.held_us for n in numbers]
    for kind in sorted({name for n in numbers for name in n.violations}):
        yield f"violations {kind}", _count, [n.violations.get(kind, 0) for n in numbers]
    yield "budgets exhausted, all together", duration, [n.exhausted_us for n in numbers]


def _budgets(answer: SloWhatIf) -> Table:
    columns = (
        "",
        "left at the end",
        "lowest",
        "exhausted",
        "frozen",
        "freezes",
        "violations",
        "bad of valid",
    )
    table = Table("budget", *columns, title="Budgets", title_justify="left")
    for key in concerned_budgets(answer)[:ROWS_MAX]:
        for name in _SIDES:
            found = _side(answer, name).budgets.get(key)
            told = _of_budget(found) if found else (NOTHING,) * (len(columns) - 1)
            table.add_row(escape(_named(key)) if name == _SIDES[0] else "", name, *told)
    if (more := len(concerned_budgets(answer)) - ROWS_MAX) > 0:
        table.add_row(f"… and {more:,} more: see --json")
    return table


def concerned_budgets(answer: SloWhatIf) -> list[Key]:
    """Those of SLOs that the change concerns, of any side."""
    keys = {key for name in _SIDES for key in _side(answer, name).budgets}
    return sorted(key for key in keys if key[0] in answer.concerned)


def _of_budget(found: BudgetNumbers) -> tuple[str, ...]:
    return (
        f"{found.remaining:.2%}",
        f"{found.lowest:.2%}",
        duration(found.exhausted_us),
        duration(found.frozen_us),
        _count(found.freezes),
        _kinds(found.violations),
        f"{found.valid - found.good:,} of {found.valid:,}",
    )


def _kinds(found: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in found.items()) or NOTHING


def _freezes(name: str, side: Side, answer: SloWhatIf) -> Table:
    table = Table(
        "begun", "ended", "lasted", "policy", "budget", "why", title=f"Freezes, {name}", title_justify="left"
    )
    freezes = side.outcome.freezes
    for frozen in freezes[:ROWS_MAX]:
        table.add_row(*map(escape, _of_freeze(frozen, answer.until)))
    if len(freezes) > ROWS_MAX:
        table.add_row(f"… and {len(freezes) - ROWS_MAX:,} more: see --json")
    return table


def _of_freeze(frozen: Frozen, until: int) -> tuple[str, ...]:
    ended = NOTHING if frozen.ended_at is None else _time(frozen.ended_at)
    lasted = duration((until if frozen.ended_at is None else frozen.ended_at) - frozen.begun_at)
    freeze = frozen.freeze
    return _time(frozen.begun_at), ended, lasted, freeze.policy_id, freeze.slo_id or "by hand", frozen.reason


def _named(key: Key) -> str:
    return f"{key[0]} {key[1]}".rstrip()


def _count(value: int) -> str:
    return f"{value:,}"


def duration(us: int) -> str:
    """A time as people read it."""
    sign, seconds = ("−" if us < 0 else ""), round(abs(us) / 1e6)
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, seconds = divmod(rest, 60)
    if days:
        return f"{sign}{days:,} d {hours} h"
    if hours:
        return f"{sign}{hours} h {minutes} min"
    return f"{sign}{minutes} min" if minutes else f"{sign}{seconds} s"


def _time(at: int) -> str:
    return f"{datetime.fromtimestamp(at / 1_000_000, UTC):%Y-%m-%d %H:%M}"


def told(answer: SloWhatIf, points_max: int) -> dict[str, Any]:
    """The answer for machines. Of a budget's looks at most so many are told, evenly chosen."""
    return {
        "since": _iso(answer.since),
        "until": _iso(answer.until),
        "changed": answer.changed,
        "is_empty": answer.is_empty,
        "deploys": answer.deploys,
        "notes": answer.notes,
        **{name: _told_side(answer, name, points_max) for name in _SIDES},
    }


def _told_side(answer: SloWhatIf, name: str, points_max: int) -> dict[str, Any]:
    side = _side(answer, name)
    return {
        "numbers": side.numbers,
        "budgets": [
            {
                "slo_id": key[0],
                "dimension": key[1],
                "numbers": side.budgets[key],
                "looks": thinned(side.outcome.budgets[key].looks, points_max),
            }
            for key in concerned_budgets(answer)
            if key in side.budgets
        ],
        "freezes": side.outcome.freezes,
        "violations": side.outcome.violations,
        "held": side.held,
    }


def thinned(found: list[Any], most: int) -> list[Any]:
    """At most so many of a list, evenly chosen; its last one always."""
    if len(found) <= most:
        return found
    step = len(found) / most
    return [*(found[int(number * step)] for number in range(most - 1)), found[-1]]


def _iso(at: int) -> str:
    return datetime.fromtimestamp(at / 1_000_000, UTC).isoformat()

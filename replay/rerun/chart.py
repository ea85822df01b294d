"""What would have been, as a picture: tickets that wait and tickets at work, over time; SVG that any browser shows."""

from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import Final

from neural_hive.replay.rerun.outcome import Outcome, Span
from neural_hive.replay.rerun.what_if import WhatIf

WIDTH, HEIGHT, LEFT, TOP, BETWEEN = 960, 200, 60, 60, 70
SIDES: Final = (("baseline", "#5b6b7b"), ("variant", "#d1495b"))
TICKS: Final = 5
Points = list[tuple[int, int]]  # time in µs, and the number from then on


def chart(answer: WhatIf) -> str:
    """The picture, as the text of an SVG file."""
    outcomes = [answer.baseline.outcome, answer.variant.outcome]
    begin, end = _bounds(outcomes)
    panels: list[tuple[str, Callable[[Span], bool]]] = [
        ("tickets that wait for an agent", lambda span: not span.agent_id),
        ("tickets with an agent", lambda span: bool(span.agent_id)),
    ]
    drawn = [
        _panel(title, [counted(outcome, wanted) for outcome in outcomes], begin, end, at)
        for at, (title, wanted) in enumerate(panels)
    ]
    height = TOP + len(panels) * (HEIGHT + BETWEEN)
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 20} {height}" '
            'font-family="sans-serif" font-size="12">',
            '<rect width="100%" height="100%" fill="white"/>',
            _legend(answer),
            *drawn,
            "</svg>\n",
        )
    )


def counted(outcome: Outcome, wanted: Callable[[Span], bool]) -> Points:
    """How many spans there are at a time: a number for each moment in which it changes."""
    moves: dict[int, int] = {}
    for ticket in outcome.tickets.values():
        for span in filter(wanted, ticket.spans):
            moves[span.begun_at] = moves.get(span.begun_at, 0) + 1
            moves[span.ended_at] = moves.get(span.ended_at, 0) - 1
    points, number = Points(), 0
    for at in sorted(moves):
        if moves[at]:
            number += moves[at]
            points.append((at, number))
    return points


def _bounds(outcomes: Iterable[Outcome]) -> tuple[int, int]:
    spans = [span for o in outcomes for ticket in o.tickets.values() for span in ticket.spans]
    begin = min((span.begun_at for span in spans), default=0)
    return begin, max((span.ended_at for span in spans), default=begin + 1)


def _legend(answer: WhatIf) -> str:
    changes = [f"{name}: {now} → {tried}" for name, (now, tried) in answer.changed.items()]
    about = ", ".join([*changes, *([f"code {answer.code}"] if answer.code else [])]) or "nothing is changed"
    keys = "".join(
        f'<rect x="{LEFT + 110 * at}" y="28" width="12" height="12" fill="{colour}"/>'
        f'<text x="{LEFT + 110 * at + 18}" y="39">{name}</text>'
        for at, (name, colour) in enumerate(SIDES)
    )
    return f'<text x="{LEFT}" y="18" font-weight="bold">{escape(about[:140])}</text>{keys}'


def _panel(title: str, series: Sequence[Points], begin: int, end: int, at: int) -> str:
    top = TOP + at * (HEIGHT + BETWEEN) + 20
    most = max((number for points in series for _, number in points), default=0) or 1
    lines = "".join(
        f'<path d="{_path(points, begin, end, most, top)}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        for points, (_, colour) in zip(series, SIDES, strict=True)
    )
    axes = (
        f'<text x="{LEFT}" y="{top - 8}">{title}</text>'
        f'<path d="M{LEFT} {top}V{top + HEIGHT}H{LEFT + WIDTH}" fill="none" stroke="#999"/>'
        f'<text x="{LEFT - 8}" y="{top + 10}" text-anchor="end">{most:,}</text>'
        f'<text x="{LEFT - 8}" y="{top + HEIGHT}" text-anchor="end">0</text>'
    )
    ticks = "".join(
        f'<text x="{LEFT + WIDTH * tick / TICKS:.0f}" y="{top + HEIGHT + 18}" text-anchor="middle">'
        f"{(end - begin) * tick / TICKS / 1e6:,.1f} s</text>"
        for tick in range(TICKS + 1)
    )
    return axes + ticks + lines


def _path(points: Points, begin: int, end: int, most: int, top: int) -> str:
    """A line of steps."""

    def x(time: int) -> str:
        return f"{LEFT + WIDTH * (time - begin) / max(end - begin, 1):.1f}"

    def y(number: int) -> str:
        return f"{top + HEIGHT - HEIGHT * number / most:.1f}"

    steps = (f"H{x(time)}V{y(number)}" for time, number in points)
    return f"M{LEFT} {y(0)}{''.join(steps)}H{x(end)}"

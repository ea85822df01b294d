"""Budgets over time on both sides, and when deploys were frozen: SVG that any browser shows."""

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from typing import Final

from neural_hive.aggregates.freeze_policy import Action
from neural_hive.replay.slos.outcome import Frozen, Key, Look
from neural_hive.replay.slos.tables import concerned_budgets, thinned
from neural_hive.replay.slos.what_if import SloWhatIf, looks_within

WIDTH, HEIGHT, LEFT, TOP, BETWEEN, BAR = 960, 160, 60, 60, 80, 8
SIDES: Final = (("history", "#b7c0c9"), ("baseline", "#5b6b7b"), ("variant", "#d1495b"))
PANELS_MAX: Final = 8
POINTS_MAX: Final = 2_000  # of one line
TICKS: Final = 4
LOWEST: Final = -1.0  # what is overdrawn by more is drawn here


def chart(answer: SloWhatIf) -> str:
    """The picture, as the text of an SVG file; of the first few budgets that the change concerns."""
    keys = concerned_budgets(answer)[:PANELS_MAX]
    panels = "".join(
        _panel(answer, key, TOP + number * (HEIGHT + BETWEEN)) for number, key in enumerate(keys)
    )
    height = TOP + max(len(keys), 1) * (HEIGHT + BETWEEN)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 20} {height}" '
        'font-family="sans-serif" font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n'
        f"{_legend(answer)}\n{panels}\n</svg>\n"
    )


def _legend(answer: SloWhatIf) -> str:
    about = "; ".join(answer.changed) or "nothing is changed"
    keys = "".join(
        f'<rect x="{LEFT + 110 * at}" y="28" width="12" height="12" fill="{colour}"/>'
        f'<text x="{LEFT + 110 * at + 18}" y="39">{name}</text>'
        for at, (name, colour) in enumerate(SIDES)
    )
    return f'<text x="{LEFT}" y="18" font-weight="bold">{escape(about[:140])}</text>{keys}'


def _panel(answer: SloWhatIf, key: Key, at: int) -> str:
    top = at + 20
    title = escape(f"{key[0]} {key[1]}".rstrip())
    drawn = [
        f'<text x="{LEFT}" y="{top - 8}">{title}: what is left of its budget; below, when deploys were frozen</text>',
        f'<path d="M{LEFT} {top}V{top + HEIGHT}H{LEFT + WIDTH}" fill="none" stroke="#999"/>',
        f'<path d="M{LEFT} {_y(0, top)}H{LEFT + WIDTH}" fill="none" stroke="#ddd"/>',
        *(
            f'<text x="{LEFT - 8}" y="{_y(share, top) + 4:.0f}" text-anchor="end">{share:.0%}</text>'
            for share in (1.0, 0.0, LOWEST)
        ),
        *_ticks(answer, top),
    ]
    for number, (name, colour) in enumerate(SIDES):
        outcome = getattr(answer, name).outcome
        if key in outcome.budgets:
            looks = looks_within(outcome.budgets[key].looks, answer.since, answer.until)
            path = _path(thinned(looks, POINTS_MAX), answer, top)
            drawn.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        frozen = [f for f in outcome.freezes if f.freeze.slo_id in ("", key[0])]
        drawn += _bars(frozen, answer, top + HEIGHT + 4 + number * (BAR + 2), colour)
    return "\n".join(drawn)


def _bars(freezes: Sequence[Frozen], answer: SloWhatIf, y: int, colour: str) -> list[str]:
    bars = []
    for frozen in freezes:
        if Action.BLOCK_DEPLOY in frozen.freeze.actions:
            begin = _x(frozen.begun_at, answer)
            end = _x(answer.until if frozen.ended_at is None else frozen.ended_at, answer)
            bars.append(
                f'<rect x="{begin:.1f}" y="{y}" width="{max(end - begin, 1):.1f}" height="{BAR}" fill="{colour}"/>'
            )
    return bars


def _ticks(answer: SloWhatIf, top: int) -> list[str]:
    told = []
    for tick in range(TICKS + 1):
        at = answer.since + (answer.until - answer.since) * tick // TICKS
        when = f"{datetime.fromtimestamp(at / 1_000_000, UTC):%m-%d %H:%M}"
        y = top + HEIGHT + 3 * (BAR + 2) + 18
        told.append(f'<text x="{_x(at, answer):.0f}" y="{y}" text-anchor="middle">{when}</text>')
    return told


def _path(looks: Sequence[Look], answer: SloWhatIf, top: int) -> str:
    """A line of steps."""
    if not looks:
        return ""
    steps = "".join(f"H{_x(look.upto, answer):.1f}V{_y(look.remaining, top):.1f}" for look in looks)
    return f"M{_x(looks[0].upto, answer):.1f} {_y(looks[0].remaining, top):.1f}{steps}H{LEFT + WIDTH}"


def _x(at: int, answer: SloWhatIf) -> float:
    share = (at - answer.since) / max(answer.until - answer.since, 1)
    return LEFT + WIDTH * min(max(share, 0.0), 1.0)


def _y(left: float, top: int) -> float:
    share = (min(max(left, LOWEST), 1.0) - LOWEST) / (1 - LOWEST)
    return top + HEIGHT * (1 - share)

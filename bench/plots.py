"""What a benchmark has measured, as a picture: for each contender a bar to the median, a line from least to most."""

from html import escape
from typing import Final

from bench.figures import Figures, Series

LEFT, WIDTH, ROW, BAR, TOP, RIGHT = 330, 480, 34, 16, 44, 120
COLOURS: Final = ("#d1495b", "#5b6b7b")  # of the first contender, and of the others


def plot(figures: Figures) -> str:
    """The picture, as the text of an SVG file."""
    most = max((max(series.runs) for series in figures.series), default=0.0) or 1.0
    rows = [_row(series, at, most) for at, series in enumerate(figures.series)]
    height = TOP + ROW * len(rows) + 10
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + RIGHT} {height}" '
            'font-family="sans-serif" font-size="13">',
            '<rect width="100%" height="100%" fill="white"/>',
            f'<text x="10" y="22" font-weight="bold">{escape(figures.title)}, {escape(figures.unit)}</text>',
            *rows,
            "</svg>\n",
        )
    )


def _row(series: Series, at: int, most: float) -> str:
    y = TOP + ROW * at
    middle = y + BAR / 2
    least, median, longest = (
        LEFT + WIDTH * value / most for value in (min(series.runs), series.median, max(series.runs))
    )
    told = f"{series.median:,.0f}" if series.median >= 100 else f"{series.median:,.2f}"
    return (
        f'<text x="{LEFT - 10}" y="{middle + 5:.1f}" text-anchor="end">{escape(series.name)}</text>'
        f'<rect x="{LEFT}" y="{y}" width="{median - LEFT:.1f}" height="{BAR}" fill="{COLOURS[at > 0]}"/>'
        f'<path d="M{least:.1f} {middle:.1f}H{longest:.1f}" stroke="black" stroke-width="1.5"/>'
        f'<text x="{max(median, longest) + 8:.1f}" y="{middle + 5:.1f}">{told}</text>'
    )

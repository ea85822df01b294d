"""Tables as ClickHouse draws them (Pretty), as wide as what stands in them now: ciphertexts are longer than texts."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

_TOPS: Final = "┌┬┐"
_LINE, _BLANK = "─", " "


def narrowed(text: str) -> str:
    """The table without the room that no row of a column needs; what is no table of this kind stays as it is."""
    lines = text.split("\n")
    top = next((line for line in lines if _TOPS[0] in line and _TOPS[2] in line), "")
    drawn = [n for n, line in enumerate(lines) if len(line) == len(top)] if top else []
    edges = [n for n, c in enumerate(top) if c in _TOPS]
    if not all(_is_row(lines[n], edges) for n in drawn) or not drawn:
        return text
    for begin, end in reversed(list(pairwise(edges))):
        spare = min(_spare(lines[n][begin + 1 : end]) for n in drawn)
        for n in drawn:
            lines[n] = lines[n][: end - spare] + lines[n][end:]
    return "\n".join(lines)


def _is_row(line: str, edges: Sequence[int]) -> bool:
    return all(line[n] in "┌┬┐│├┼┤└┴┘" for n in edges)


def _spare(cell: str) -> int:
    """What may go from the end of a cell: all but one blank, or one stroke, as ClickHouse leaves."""
    fill = _LINE if cell.endswith(_LINE) else _BLANK
    return max(len(cell) - len(cell.rstrip(fill)) - 1, 0)

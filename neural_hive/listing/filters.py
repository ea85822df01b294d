"""What a list can be asked for by: SQL over a row, in which {values} stands for texts of which one must fit."""

from collections.abc import Sequence
from typing import Final

import msgspec

_SPECIAL: Final = str.maketrans({"\\": r"\\", "%": r"\%", "_": r"\_", "*": "%", "?": "_"})


class Filter(msgspec.Struct, frozen=True):
    """A condition. It is asked of the row of a thing's first event alone, unless what it is about `moves`."""

    sql: str
    is_pattern: bool = False  # whether the texts are patterns, in which * and ? stand for others
    moves: bool = False  # it holds of the thing as it stands, and held of the row that last told of it

    def params(self, texts: Sequence[str]) -> list[str]:
        """The texts as the SQL takes them."""
        return [text.translate(_SPECIAL) for text in texts] if self.is_pattern else list(texts)


def fixed(column: str) -> Filter:
    """A column that never changes is one of the texts."""
    return Filter(f"{column} IN {{values}}")


def like(column: str) -> Filter:
    """A column that never changes is like one of the texts."""
    return Filter(f"arrayExists(pattern -> ifNull({column}, '') LIKE pattern, {{values}})", is_pattern=True)


def moving(column: str) -> Filter:
    """A column that may change is one of the texts now."""
    return Filter(f"{column} IN {{values}}", moves=True)

"""A table is as wide as what stands in it once ciphertexts are texts."""

import pytest

from neural_hive.commands.narrowed import narrowed

WIDE = """\
   ┌─version─┬─who──────────────────────┬─n─┐
1. │       1 │ demo                     │ 3 │
2. │      22 │ other                    │ 4 │
   └─────────┴──────────────────────────┴───┘
"""
NARROW = """\
   ┌─version─┬─who───┬─n─┐
1. │       1 │ demo  │ 3 │
2. │      22 │ other │ 4 │
   └─────────┴───────┴───┘
"""


def test_a_column_loses_what_no_row_needs() -> None:
    assert narrowed(WIDE) == NARROW
    assert narrowed(NARROW) == NARROW


@pytest.mark.parametrize(
    "text", ["", "a\tb\n1\t2", "┌", WIDE.replace("demo  ", "d│mo  ").replace(" │ 3", "   3")]
)
def test_what_is_no_such_table_stays_as_it_is(text: str) -> None:
    assert narrowed(text) == text

"""Moments as they are written, and differences of values."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neural_hive.replay.changes import Change, applied, changes, told, told_briefly, value_text
from neural_hive.replay.moment import BadMoment, Moment, Place, moment_of

T = 1_777_899_600_000_000  # 2026-05-04T13:00:00 UTC

scalars = (
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats().map(lambda x: x + 0.0) | st.text(max_size=3)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("now", Moment()),
        ("v3", Moment(version=3)),
        ("2026-05-04T13:00:00", Moment(at=T)),
        ("2026-05-04 15:00:00.000001+02:00", Moment(at=T + 1)),
        ("2026-05-04T13:00:00Z", Moment(at=T)),
        ("2026-05-04", Moment(at=T - 13 * 3_600_000_000)),
        ("execution.tickets:2:17", Moment(place=Place("execution.tickets", 2, 17))),
    ],
)
def test_one_parser_reads_all_moments(text: str, moment: Moment) -> None:
    assert moment_of(text) == moment


@pytest.mark.parametrize(
    "text",
    [
        "",
        "v0",
        "v-1",
        "soon",
        "execution.tickets:2",
        "a:b:c",
        "2026-13-01",
        ":1:2",
        "99999999999",
        "v3.5",
        "t:-1:2",
    ],
)
def test_nonsense_is_refused_with_the_forms_that_there_are(text: str) -> None:
    with pytest.raises(BadMoment, match="TOPIC:PARTITION:OFFSET"):
        moment_of(text)


def same(one: Any, other: Any) -> bool:
    """Equal to the byte: True is not 1, and a number that is none equals itself."""
    return repr(one) == repr(other) or msgspec.json.encode(_sorted(one)) == msgspec.json.encode(
        _sorted(other)
    )


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


@given(values, values)
def test_changes_make_the_second_value_of_the_first(before: Any, after: Any) -> None:
    found = changes(before, after)
    assert same(applied(before, found), after)
    assert bool(found) is not same(before, after)


@given(values)
def test_a_value_does_not_differ_from_itself(value: Any) -> None:
    assert changes(value, value) == []


def test_what_is_not_there_is_not_null() -> None:
    found = changes({"a": None, "b": 1}, {"b": 1, "c": None})
    assert msgspec.json.encode(found) == b'[{"path":["a"],"before":null},{"path":["c"],"after":null}]'


def test_changes_in_words() -> None:
    found = changes(
        {"place": 1, "agent": "", "status": "READY", "at": {"x": [1, 2]}},
        {"place": 2, "agent": "a b", "status": "ASSIGNED", "at": {"x": [1, 3]}},
    )
    assert told(found) == 'place 1 → 2, agent "" → a b, status READY → ASSIGNED, at.x[1] 2 → 3'
    assert told_briefly(found) == 'status READY → ASSIGNED, agent "" → a b, at.x[1] 2 → 3'
    assert value_text(T, ("ready_at",)) == "2026-05-04 13:00:00.000"
    assert value_text(0, ("ready_at",)) == "–"
    assert told([Change(("error",), "", "x" * 100)]).endswith("…")

"""What is kept of calls that an API refused."""

import msgspec
import pytest

from neural_hive.aggregates.person import PERSON_CHARS_MAX
from neural_hive.aggregates.refusals import COUNT_MAX, REFUSALS, CallRefused, Note, Refusals
from tests.grammar import given

NOTE = Note("api", "ann", "10.0.0.7", "POST", "/api/v1/plans", "publisher", 403, "role missing", 3, 5, 9)
KEPT = CallRefused(*msgspec.structs.astuple(NOTE))
change = msgspec.structs.replace


def test_each_note_is_kept() -> None:
    given(REFUSALS).when(NOTE).then(KEPT)
    given(REFUSALS, KEPT).when(NOTE).then(KEPT)
    assert given(REFUSALS, KEPT).when(change(NOTE, last_at=7)).state == Refusals(6, 9)


def test_texts_are_cut_and_not_refused() -> None:
    names = ("method", "path", "role", "reason")
    (event,) = given(REFUSALS).when(change(NOTE, **dict.fromkeys(names, "x" * 10_000))).events
    assert [len(getattr(event, name)) for name in names] == [16, 200, 64, 300]


@pytest.mark.parametrize("field", ["caller", "address"])
def test_who_is_named_is_kept_whole_or_refused(field: str) -> None:
    (event,) = given(REFUSALS).when(change(NOTE, **{field: "x" * PERSON_CHARS_MAX})).events
    assert getattr(event, field) == "x" * PERSON_CHARS_MAX
    given(REFUSALS).when(change(NOTE, **{field: "x" * (PERSON_CHARS_MAX + 1)})).then_rejected(field)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"status": 200}, "401, 403, 429"),
        ({"count": 0}, "count"),
        ({"count": COUNT_MAX + 1}, "count"),
        ({"first_at": 10}, "first call"),
        ({"first_at": -1}, "first call"),
    ],
)
def test_a_note_that_says_nothing_is_refused(changed: dict[str, int], reason: str) -> None:
    given(REFUSALS).when(change(NOTE, **changed)).then_rejected(reason)

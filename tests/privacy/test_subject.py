"""A subject: who is erased stays so, and the log says once why."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neural_hive.aggregates.aggregate import Rejected
from neural_hive.aggregates.subject import REASON_CHARS_MAX, Erase, Subject, SubjectErased, decide, evolve

ID = "0123456789abcdef" * 2
ERASE = Erase(ID, "asked for it", "", 7)


def test_an_erasure_is_one_event() -> None:
    (erased,) = decide(None, ERASE)
    assert erased == SubjectErased(ID, "asked for it", "", 7)
    assert evolve(None, erased) == Subject("asked for it", "", 7)


@given(st.text(min_size=1, max_size=20).filter(lambda reason: bool(reason.strip())), st.integers(0, 2**60))
def test_a_repeat_yields_nothing_new(reason: str, now: int) -> None:
    state = evolve(None, decide(None, ERASE)[0])
    assert decide(state, Erase(ID, reason, "", now)) == []
    assert evolve(state, SubjectErased(ID, reason, "", now)) == state


@pytest.mark.parametrize("changes", [{"subject_id": "ann"}, {"subject_id": ID.upper()}, {"reason": " "}])
def test_what_cannot_be_is_rejected(changes: dict[str, str]) -> None:
    with pytest.raises(Rejected):
        decide(None, msgspec.structs.replace(ERASE, **changes))


def test_a_long_reason_is_cut() -> None:
    (erased,) = decide(None, msgspec.structs.replace(ERASE, reason="x" * 9_999))
    assert len(erased.reason) == REASON_CHARS_MAX

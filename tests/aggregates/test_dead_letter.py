"""When the record of a dead letter is written again, and when not."""

import msgspec
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from neural_hive.aggregates.dead_letter import (
    DEAD_LETTER,
    TEXT_CHARS_MAX,
    Buried,
    DeadLetter,
    DeadLetterRedriven,
    Obstacle,
    Redrive,
    RedriveRejected,
)
from neural_hive.aggregates.person import PERSON_CHARS_MAX
from tests.grammar import given

PLACE = "dead.letters:3:17"
BURIED = Buried("letter", "plans.consensus", 2, 40, "m-1", "ab" * 32, True, True, True)
WANTED = Redrive(PLACE, "the schema is registered now", "ann", False, BURIED)
DONE = DeadLetterRedriven(
    PLACE, "letter", 1, "plans.consensus", 2, 40, "m-1", "ab" * 32, WANTED.reason, "ann"
)
change = msgspec.structs.replace


def test_it_is_written_again_where_it_had_come() -> None:
    given(DEAD_LETTER).when(WANTED).then(DONE)


def test_once_unless_it_is_wanted_again() -> None:
    refused = RedriveRejected(
        PLACE,
        Obstacle.REDRIVEN_BEFORE,
        "it was written again once already: say that it shall be once more",
        WANTED.reason,
        "ann",
    )
    given(DEAD_LETTER, DONE).when(WANTED).then(refused)
    given(DEAD_LETTER, DONE, refused).when(change(WANTED, again=True)).then(change(DONE, redrive=2))


@pytest.mark.parametrize(
    ("command", "obstacle"),
    [
        (change(WANTED, reason=" \n"), Obstacle.NO_REASON),
        (change(WANTED, requested_by=""), Obstacle.NO_REASON),
        (change(WANTED, buried=None), Obstacle.NO_SUCH_LETTER),
        (change(WANTED, buried=change(BURIED, source_topic="", is_input=False)), Obstacle.TIMER),
        (change(WANTED, buried=change(BURIED, is_input=False)), Obstacle.NOT_AN_INPUT),
        (change(WANTED, buried=change(BURIED, is_whole=False)), Obstacle.NOT_WHOLE),
        (change(WANTED, buried=change(BURIED, fits=False)), Obstacle.TOO_LARGE),
    ],
)
def test_what_stands_against_it_is_an_event(command: Redrive, obstacle: Obstacle) -> None:
    for again in (False, True):
        (event,) = given(DEAD_LETTER).when(change(command, again=again)).events
        assert isinstance(event, RedriveRejected)
        assert (event.obstacle, event.requested_by) == (obstacle, command.requested_by)
        assert event.reason and event.wanted == command.reason
        assert DEAD_LETTER.evolve(None, event) == DeadLetter(0)


def test_texts_have_limits() -> None:
    (event,) = given(DEAD_LETTER).when(change(WANTED, reason="r" * 5_000, requested_by="b" * 5_000)).events
    assert (len(event.reason), len(event.requested_by)) == (
        TEXT_CHARS_MAX,
        5_000,
    )  # a name's ciphertext is whole
    given(DEAD_LETTER).when(change(WANTED, requested_by="b" * (PERSON_CHARS_MAX + 1))).then_rejected(
        "requested_by"
    )


@for_all(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=12))
def test_each_redrive_is_counted_and_nobody_is_left_without_an_answer(
    wishes: list[tuple[bool, bool]],
) -> None:
    state, written = None, 0
    for again, is_there in wishes:
        command = change(WANTED, again=again, buried=BURIED if is_there else None)
        (event,) = DEAD_LETTER.decide(state, command)
        if isinstance(event, DeadLetterRedriven):
            written += 1
            assert event.redrive == written and (again or written == 1)
        state = DEAD_LETTER.evolve(state, event)
    assert written == (state.redrives if state else 0)

"""Partitions are fetched in turn: none waits until another one has given all that it has."""

from faust.types import TP

from neural_hive.streams.kernel.transport import _to_the_end


def test_who_gave_records_comes_last() -> None:
    a, b, c = (TP("topic", number) for number in range(3))
    waiting = {a: "much", b: "much", c: "much"}
    _to_the_end(waiting, {a: []})
    assert list(waiting) == [b, c, a]
    _to_the_end(waiting, {b: [], c: []})
    assert list(waiting) == [a, b, c]


def test_who_has_given_all_is_not_asked_again() -> None:
    a, b = (TP("topic", number) for number in range(2))
    waiting = {b: "much"}
    _to_the_end(waiting, {a: []})
    assert waiting == {b: "much"}

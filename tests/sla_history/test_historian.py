"""What is counted from the log and what is counted as it comes are all that happened, each once."""

import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_hive.aggregates.burn import Counts
from neural_hive.aggregates.sli_history import SLI_HISTORY, HistoryLost, Span, history_id_of
from neural_hive.connectors.kafka_log import LostLog
from neural_hive.schemas.codec import decode
from neural_hive.streams.sli_history import one_pass as sli_history_pass
from neural_hive.streams.sli_history.reach import Reach
from tests.sla.sli_unit import TICKETS
from tests.sla_history.world import Crash, World


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


def span(world: World) -> Span:
    found: Span = world.sla.state(SLI_HISTORY, history_id_of("shop", 1)).span(TICKETS, 0)
    return found


def some_tickets(world: World, count: int, name: str = "t") -> None:
    for number in range(count):
        world.created(f"{name}{number}", ("cart", "search")[number % 3 == 0])
    for number in range(count):
        world.ended(f"{name}{number}", number % 4 != 0, minutes_ago=number)


def test_what_happened_before_the_definition_counts(world: World) -> None:
    some_tickets(world, 30)
    world.counts_on(60)
    world.define()
    world.historian().look()
    assert span(world) == Span(60, True), "up to where `sli` is: nothing has come since"
    assert world.expected().valid == 20
    world.check()


def test_what_is_open_when_it_is_defined_counts_when_it_ends(world: World) -> None:
    world.created("before")
    world.counts_on()
    world.define()
    world.seen_by_sli()
    world.ended("before")
    world.counts_on()
    world.check()
    assert world.expected() == Counts(1, 1)


def test_it_goes_no_further_than_the_cursor(world: World) -> None:
    some_tickets(world, 5)
    world.counts_on(6)
    world.define()
    world.seen_by_sli()
    world.counts_on(4)
    world.historian().look()
    assert span(world) == Span(6, True)
    world.check()


def test_it_waits_for_sli(world: World) -> None:
    some_tickets(world, 5)
    world.counts_on(3)
    world.define()
    world.historian().look()
    assert span(world) == Span(3, False), "what `sli` has not read may have its cursor"
    world.check()


def test_a_quiet_partition_is_whole_and_goes_on(world: World) -> None:
    some_tickets(world, 5)
    world.counts_on(10)
    world.define()
    historian = world.historian()
    historian.look()
    world.created("late")
    world.counts_on()  # it does not know the SLO yet
    historian.look()
    assert span(world) == Span(11, True)
    assert world.read == list(range(11)), "what was folded is not read again"
    world.seen_by_sli()
    world.ended("late")
    world.counts_on()
    historian.look()
    assert span(world) == Span(11, True)
    assert historian._todo() == {}
    world.check()


def test_nothing_is_left_to_do_where_nothing_ever_was(world: World) -> None:
    world.define()
    historian = world.historian()
    historian.look()
    assert span(world) == Span(0, True)
    world.check()


def test_what_the_log_has_no_more_is_left_out_and_said(world: World) -> None:
    some_tickets(world, 9)
    world.counts_on(18)
    world.begin = 4
    world.define()
    world.historian().look()
    events = [decode(output.value, "event") for output in world.sla.log]
    (lost,) = [e.payload for e in events if e.schema.name == HistoryLost.__name__]
    assert (lost["from_offset"], lost["to_offset"]) == (0, 4)
    assert span(world) == Span(18, True)
    world.check()


def test_a_cursor_that_the_log_has_no_more_is_not_guessed(world: World) -> None:
    class Gone:
        def range(self, topic: str) -> tuple[int, int]:
            return 3, 9

        def close(self) -> None:
            """Nothing is open."""

    world.whole = lambda partition: Gone()  # type: ignore[method-assign, assignment, return-value]
    with pytest.raises(LostLog, match="from where on SLOs are counted"):
        Reach(world).look({(TICKETS, 0): [("shop", 1)]})


def test_ranges_of_two_at_once_count_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sli_history_pass, "RANGE_OFFSETS", 7)
    some_tickets(world, 20)
    world.counts_on(40)
    world.define()
    first, second = world.historian(), world.historian()
    world.delayed = []
    first.look()
    from_first, world.delayed = world.delayed, []
    second.look()
    from_second, world.delayed = world.delayed, None
    assert from_first == from_second and len(from_first) == 3
    for pair in zip(from_first, from_second, strict=True):
        for told in pair:
            world.deliver(told)
    assert span(world) == Span(40, True)
    assert world.refused == []
    world.check()


def test_killed_between_any_two_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sli_history_pass, "RANGE_OFFSETS", 2)
    for ranges in range(9):
        world = World()
        some_tickets(world, 20)
        world.counts_on(40)
        world.define()
        world.crash_after = ranges
        with pytest.raises(Crash):
            world.historian().look()
        world.check()
        world.close()


def test_full_messages_are_told_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sli_history_pass, "ROWS_MAX", 3)
    some_tickets(world, 20)
    world.counts_on(40)
    world.define()
    world.delayed = []
    world.historian().look()
    told, world.delayed = world.delayed, None
    assert [sum(len(part.counts) for part in each.parts) for each in told] == [3, 3, 3, 3, 1, 0][: len(told)]
    for each in told:
        world.deliver(each)
    world.check()


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 9))
def test_whatever_happens_in_whatever_order(seed: int, range_offsets: int) -> None:
    """Events, `sli`, the definition and two histories in any order; `sli` goes on in the middle of every look."""
    chance = random.Random(seed)
    world, count, running = World(), 0, list[str]()
    before = sli_history_pass.RANGE_OFFSETS
    sli_history_pass.RANGE_OFFSETS = range_offsets

    def begins() -> None:
        nonlocal count
        count += 1
        running.append(f"t{count}")
        world.created(running[-1], chance.choice(("cart", "cart", "search")))

    def ends() -> None:
        if running:
            ticket_id, is_good = chance.choice(running), chance.random() < 0.7
            world.ended(ticket_id, is_good, chance.randint(0, 6_000))
            if is_good:  # what has failed may be tried again
                running.remove(ticket_id)

    def sli_goes_on() -> None:
        world.sli_goes_on(chance)

    def meanwhile() -> None:
        if chance.random() < 0.3:
            chance.choice((begins, ends))()
        sli_goes_on()

    historians = [world.historian(), world.historian()]

    def look() -> None:
        world.one_looks(historians, chance, meanwhile)

    steps = (begins, begins, ends, ends, sli_goes_on, sli_goes_on, look, world.define)
    try:
        for _ in range(chance.randint(5, 60)):
            chance.choice(steps)()
        world.check()
        assert world.refused == []
    finally:
        sli_history_pass.RANGE_OFFSETS = before
        world.close()


def test_a_look_that_reads_cursors_first_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above would see it: so it looks."""

    def wrong(self: Reach, wanted: dict[tuple[str, int], list[tuple[str, int]]]) -> object:
        keys = [(*slo, *place) for place, slos in wanted.items() for slo in slos]
        self._note_ends(keys)
        for partition in {partition for _, partition in wanted}:
            self._read_cursors(partition)
        committed = self._log.committed(wanted)
        return {key: self._reached(key, committed[key[2], key[3]]) for key in keys}

    monkeypatch.setattr(Reach, "look", wrong)
    with pytest.raises(AssertionError):
        test_whatever_happens_in_whatever_order()

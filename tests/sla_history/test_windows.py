"""Metric windows that came before the SLO, and those that come afterwards, count once, whenever they are sent again."""

import random
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_hive.aggregates import metric_series
from neural_hive.aggregates.burn import Counts
from neural_hive.aggregates.metric_window import EVENTS_MAX, Bucket, MetricWindow
from neural_hive.aggregates.sli_history import SLI_HISTORY, Span, history_id_of
from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.slo import Indicator
from neural_hive.connectors.kafka_log import LostLog
from neural_hive.streams.kernel.reading import MessageReader
from neural_hive.streams.sli import telemetry as sli_telemetry
from neural_hive.streams.sli_history import one_pass as sli_history_pass
from neural_hive.streams.sli_history.windows import Windows
from tests.sla.sli_unit import TELEMETRY
from tests.sla_history.windows_world import WindowWorld
from tests.sla_history.world import SOURCES

LENGTH_MAX = 3  # minutes


@pytest.fixture
def world() -> Iterator[WindowWorld]:
    made = WindowWorld()
    yield made
    made.close()


def span(world: WindowWorld) -> Span:
    found: Span = world.sla.state(SLI_HISTORY, history_id_of("shop", 1)).span(TELEMETRY, 0)
    return found


def test_what_came_before_the_definition_counts(world: WindowWorld) -> None:
    for minutes in range(30, 0, -1):
        world.window(minutes)
    world.window(5, service="search")
    world.counts_on(31)
    world.define()
    world.historian().look()
    assert span(world) == Span(31, True), "up to where `sli` is: nothing has come since"
    assert world.expected() == Counts(30 * 9, 30 * 10)
    world.check()


def test_what_history_counted_does_not_count_again_when_it_is_sent_again(world: WindowWorld) -> None:
    first = world.window(9)
    world.counts_on()
    world.define()
    world.historian().look()
    world.seen_by_sli()
    world.comes(first)
    world.window(8)
    world.counts_on(2)
    world.comes(first)
    world.counts_on()
    assert world.expected() == Counts(18, 20)
    world.check()


def test_what_was_counted_as_it_came_is_not_history_when_it_had_come_before(world: WindowWorld) -> None:
    """Twice before the SLO, twice afterwards: the first one counts."""
    first = world.window(9)
    world.comes(first)
    world.counts_on(2)
    world.define()
    world.seen_by_sli()
    world.comes(first)
    world.counts_on()
    world.historian().look()
    world.comes(first)
    assert span(world) == Span(2, True)
    world.check()
    assert world.expected() == Counts(9, 10)


def test_what_is_refused_counts_nowhere(world: WindowWorld) -> None:
    """Of no sense, or overlapping what counted; before the SLO and afterwards."""
    taken = world.window(9)
    for _ in range(2):
        world.comes(msgspec.structs.replace(taken, events=8))  # fewer than its buckets have
        world.comes(msgspec.structs.replace(taken, service=" "))
        world.comes(msgspec.structs.replace(taken, events=500))
        world.comes(
            msgspec.structs.replace(taken, starts_at=taken.starts_at - 5, ends_at=taken.starts_at + 5)
        )
        world.counts_on(9)
        world.define()
        world.historian().look()
        world.seen_by_sli()
    world.check()
    assert world.expected() == Counts(9, 10)


def test_what_comes_late_counts_in_its_minute(world: WindowWorld) -> None:
    for minutes in (3, 2, 70, 1, 69, 4_000):
        world.window(minutes)
    world.counts_on(6)
    world.define()
    world.historian().look()
    world.check()
    assert world.expected().valid == 60


def test_what_was_too_late_when_it_came_is_not_taken_later(
    world: WindowWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its series was forgotten: only who was there knows."""
    monkeypatch.setattr(metric_series, "SILENCE_US", 60_000_000)
    world.window(9)
    world.counts_on()
    world.time_passes(2)
    world.window(20)
    world.counts_on()
    world.define()
    world.historian().look()
    world.check()
    assert world.expected() == Counts(9, 10)


def test_windows_count_whole_though_a_message_is_full(
    world: WindowWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sli_history_pass, "ROWS_MAX", 2)
    for minutes in range(9):
        world.window(minutes)
    world.counts_on(9)
    world.define()
    world.delayed = []
    world.historian().look()
    told, world.delayed = world.delayed, None
    assert [each.to_offset for each in told] == [2, 4, 6, 8, 9]
    assert [sum(c.valid for part in each.parts for c in part.counts) for each in told] == [20, 20, 20, 20, 10]
    for each in told:
        world.deliver(each)
    world.check()


def test_many_events_of_many_windows_are_exact(world: WindowWorld) -> None:
    for number in range(5):
        buckets = (Bucket(100.0, EVENTS_MAX - 3), Bucket(1000.0, 3))
        world.window(1, instance=f"pod-{number}", events=EVENTS_MAX, buckets=buckets)
    world.counts_on(5)
    world.define()
    world.historian().look()
    world.check()
    assert world.expected() == Counts(5 * EVENTS_MAX - 15, 5 * EVENTS_MAX)


def test_a_pass_goes_on_where_the_last_one_has_ended(world: WindowWorld) -> None:
    world.window(9)
    world.counts_on()
    world.define()
    historian = world.historian()
    historian.look()
    for minutes in (8, 7):
        world.window(minutes)
    world.counts_on(2)  # it does not know the SLO yet
    historian.look()
    assert span(world) == Span(3, True)
    assert world.read == [0, 1, 2], "what was read is not read again"
    world.check()


class NotesGone:
    """A log that has the first notes no more."""

    partition = 0

    def range(self, topic: str) -> tuple[int, int]:
        return 3, 9

    def read(self, topic: str, first: int, end: int) -> Iterator[Any]:
        raise AssertionError("there is nothing to be read")


def test_without_the_notes_nothing_is_guessed() -> None:
    with (
        pytest.raises(LostLog, match=rf"{SOURCES}.*which windows count"),
        Windows(MessageReader()).beside(NotesGone()),
    ):
        raise AssertionError("nothing is to be read")


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 9))
def test_whatever_comes_in_whatever_order(seed: int, range_offsets: int) -> None:
    """Windows, repeats, silence, `sli`, the definition and two histories in any order; little is remembered."""
    chance = random.Random(seed)
    indicator = Indicator(
        Source.TELEMETRY,
        chance.choice(("value <= 250", "value <= 100 OR outcome = 'ok'", "outcome = 'ok'")),
        chance.choice(("service = 'cart'", "", "value > 100")),
        chance.choice(("", "endpoint")),
    )
    world = WindowWorld(indicator)

    def sent() -> None:
        label = {"endpoint": chance.choice(("", "/pay")), "outcome": chance.choice(("", "ok"))}
        service = chance.choice(("cart", "cart", "search"))
        wrong = chance.choice(({}, {}, {}, {}, {"events": -1}, {"events": 0, "buckets": ()}))
        about = {"service": service, "instance": chance.choice("ab"), **label, **wrong}
        world.window(chance.randint(0, 30), chance.randint(1, LENGTH_MAX), chance.randint(0, 3), **about)

    def sent_again() -> None:
        if world.windows:
            window = chance.choice(world.windows)
            changed = msgspec.structs.replace(window, events=window.events + 1)
            world.comes(chance.choice((window, window, changed)))

    def silence() -> None:
        world.time_passes(chance.randint(1, 6))

    def sli_goes_on() -> None:
        world.sli_goes_on(chance)

    def meanwhile() -> None:
        if chance.random() < 0.3:
            chance.choice((sent, sent_again, silence))()
        sli_goes_on()

    historians = [world.historian(), world.historian()]

    def look() -> None:
        world.one_looks(historians, chance, meanwhile)

    steps = (sent, sent, sent, sent_again, sent_again, sli_goes_on, sli_goes_on, look, world.define, silence)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sli_history_pass, "RANGE_OFFSETS", range_offsets)
        patch.setattr(metric_series, "REMEMBERED_MAX", 3)
        patch.setattr(metric_series, "SILENCE_US", 4 * 60_000_000)
        patch.setattr(sli_telemetry, "SERIES_MAX", 5)
        try:
            for _ in range(chance.randint(5, 60)):
                chance.choice(steps)()
            world.check()
            assert world.refused == []
        finally:
            world.close()


def test_history_that_decides_for_itself_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above would see it: whoever takes each window once, but does not know what `sli` knew then."""

    def once(self: Windows, record: Any) -> MetricWindow | None:
        seen = self.__dict__.setdefault("seen", set())
        window = msgspec.convert(MessageReader()(record.value).payload, MetricWindow)
        is_new = window.message_id not in seen and window.events > 0
        seen.add(window.message_id)
        return window if is_new else None

    monkeypatch.setattr(Windows, "read", once)
    with pytest.raises(AssertionError):
        test_whatever_comes_in_whatever_order()


def test_windows_that_are_noted_only_when_they_are_asked_for_are_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = sli_telemetry._is_new

    def asked_for(unit: Any, window: MetricWindow) -> bool:
        return bool(unit.view(sli_telemetry.VIEW).value) and whole(unit, window)

    monkeypatch.setattr(sli_telemetry, "_is_new", asked_for)
    with pytest.raises(AssertionError):
        test_whatever_comes_in_whatever_order()

"""SLOs over metric windows and SLOs of SLOs over history: unchanged they are what was, changed what one reckons."""

from collections.abc import Iterator

import msgspec
import pytest

from neural_hive.aggregates.budget import AdjustmentKind, minute_of
from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.slo import Definition, Indicator, Part, SloType
from neural_hive.replay.slos.what_if import NothingToTry, SloWhatIf, Wanted, what_if
from neural_hive.streams.kernel.reading import MessageReader
from neural_hive.streams.sla.messages import AdjustBudget, DefineSlo
from tests.rerun.slo_past import BEGIN, MINUTE, SECOND, SloPast

MINUTES, BAD_FROM, BAD_TO = 120, 30, 45
LATE, EXCLUDED = 80, 40  # a window that comes ten minutes late; a minute that does not count
VALID = "service = 'shop' AND metric = 'latency_ms'"


def defined(slo_id: str, indicator: Indicator) -> Definition:
    return Definition(slo_id, slo_id, SloType.CUSTOM, "shop", 0.9, indicator, window_days=1)


def of(*parts: tuple[str, float]) -> Indicator:
    return Indicator(Source.COMPOSITE, parts=tuple(Part(*part) for part in parts))


FAST = defined("fast", Indicator(Source.TELEMETRY, "value <= 250", VALID))
TICKETS = defined("tickets", Indicator(Source.TICKETS, "status = 'COMPLETED'", "task_type = 'BUILD'"))
ALL = defined("all", of(("fast", 1), ("tickets", 3)))  # its name comes before those of its parts


@pytest.fixture(scope="module")
def past() -> Iterator[SloPast]:
    """Two hours, a window and a ticket each minute; windows that are repeated, refused, and late; an exclusion."""
    made = SloPast()
    for definition in (FAST, TICKETS, ALL):
        made.say(definition.slo_id, DefineSlo(definition.slo_id, definition))
    for step in range(MINUTES):
        made.pass_time(BEGIN + (step + 1) * MINUTE + 30 * SECOND)
        is_bad = BAD_FROM <= step < BAD_TO
        made.ticket(good=not is_bad)
        sent = None if step == LATE else made.window(8, 5 if is_bad else 0)
        if step == LATE + 10:
            made.window(8, 0, late_us=10 * MINUTE)
        if sent and step % 7 == 0:
            made.sent(sent)
            made.sent(msgspec.structs.replace(sent, events=900))
        if step == 60:
            at = minute_of(BEGIN + EXCLUDED * MINUTE)
            made.say(
                "fast", AdjustBudget("fast", "x", AdjustmentKind.EXCLUDE, at, at + MINUTE, "the network")
            )
    made.pass_time(BEGIN + (MINUTES + 5) * MINUTE)
    yield made
    made.close()


def asked(past: SloPast, *wanted: Definition) -> SloWhatIf:
    return what_if(past.recording(), Wanted(wanted, (), past.now, 0), MessageReader())


BAD = BAD_TO - BAD_FROM
VALID_EVENTS = MINUTES * 9 + (BAD - 1) * 5 - 9  # without the minute that is excluded
GOOD_EVENTS = (MINUTES - 1) * 9


def test_what_is_unchanged_changes_nothing_and_is_what_was(past: SloPast) -> None:
    answer = asked(past, FAST, ALL)
    assert answer.is_empty and answer.changed == () and answer.notes == ()
    assert answer.concerned == ("all", "fast")
    found = answer.variant.budgets
    assert (found["fast", ""].good, found["fast", ""].valid) == (GOOD_EVENTS, VALID_EVENTS)
    tickets_good = 3 * (MINUTES - BAD)
    whole = GOOD_EVENTS + tickets_good, VALID_EVENTS + 3 * MINUTES
    assert (found["all", ""].good, found["all", ""].valid) == whole
    was, ran = answer.history.outcome.budgets, answer.baseline.outcome.budgets
    assert {key: b.digest for key, b in was.items()} == {key: b.digest for key, b in ran.items()}
    assert len(was["all", ""].looks) > 60


def test_another_threshold_of_a_part_changes_what_is_made_of_it(past: SloPast) -> None:
    answer = asked(
        past, msgspec.structs.replace(FAST, indicator=Indicator(Source.TELEMETRY, "value <= 100", VALID))
    )
    assert answer.concerned == ("all", "fast") and not answer.is_empty
    less = MINUTES - 1  # one event a minute took between 100 and 250
    before, after = answer.baseline.budgets, answer.variant.budgets
    for name in ("fast", "all"):
        assert after[name, ""].valid == before[name, ""].valid
        assert after[name, ""].good == before[name, ""].good - less
    assert after["tickets", ""] == before["tickets", ""]


def test_what_is_new_is_counted_over_all_of_it(past: SloPast) -> None:
    slow = defined("slow", Indicator(Source.TELEMETRY, "value > 250", VALID))
    both = defined("both", of(("slow", 0.5), ("tickets", 0.5)))
    answer = asked(past, both, slow)
    assert answer.changed == ("slo slow is new", "slo both is new")
    found = answer.variant.budgets
    assert (found["slow", ""].good, found["slow", ""].valid) == (BAD * 5, VALID_EVENTS + 14), (
        "nothing is excluded"
    )
    assert found["both", ""].valid == VALID_EVENTS + 14 + MINUTES
    assert ("both", "") not in answer.baseline.budgets


def test_other_weights_count_anew(past: SloPast) -> None:
    answer = asked(past, msgspec.structs.replace(ALL, indicator=of(("fast", 1), ("tickets", 1))))
    assert answer.concerned == ("all",)
    assert answer.variant.budgets["all", ""].valid == VALID_EVENTS + MINUTES
    assert answer.baseline.budgets["all", ""].valid == VALID_EVENTS + 3 * MINUTES


def test_what_cannot_be_made_of_its_parts_is_said(past: SloPast) -> None:
    with pytest.raises(NothingToTry, match="new was left out: there is no SLO nobody that could be counted"):
        asked(past, defined("new", of(("fast", 1), ("nobody", 1))))
    with pytest.raises(NothingToTry, match="new was left out: all is composite itself"):
        asked(past, defined("new", of(("fast", 1), ("all", 1))))
    promql = defined("asked", Indicator(Source.PROMQL, good_promql="a[$window]", valid_promql="b[$window]"))
    with pytest.raises(
        NothingToTry, match=r"no events of PROMQL.*there is no SLO asked that could be counted"
    ):
        asked(past, promql, defined("new", of(("fast", 1), ("asked", 1))))
    split = msgspec.structs.replace(
        TICKETS, indicator=msgspec.structs.replace(TICKETS.indicator, group_by="agent_id")
    )
    answer = asked(past, split)
    assert answer.notes == (
        "all would be no more: tickets has a budget for each agent_id: name an SLO without group_by",
    )
    assert ("all", "") in answer.baseline.budgets and ("all", "") not in answer.variant.budgets
    assert answer.concerned == ("all", "tickets")


def test_with_many_slos_only_what_is_concerned_and_its_parts_are_run(
    past: SloPast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neural_hive.replay.slos.what_if.SLOS_MAX", 1)
    answer = asked(past, msgspec.structs.replace(ALL, target=0.8))
    assert answer.notes == ("3 SLOs are defined: only the 3 that this concerns were run",)
    assert answer.concerned == ("all",)
    assert answer.variant.budgets["all", ""].valid == VALID_EVENTS + 3 * MINUTES

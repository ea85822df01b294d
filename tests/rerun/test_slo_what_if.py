"""Other SLOs and freeze policies over history: unchanged they change nothing, and changed what one reckons by hand."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from rich.console import Console

from neural_hive.aggregates.budget import AdjustmentKind, minute_of
from neural_hive.aggregates.freeze_policy import Action, Policy, Scope
from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.slo import Definition, Indicator, SloType
from neural_hive.replay.slos.chart import chart
from neural_hive.replay.slos.deploys import Deploy, would_be_held
from neural_hive.replay.slos.outcome import union
from neural_hive.replay.slos.tables import duration, render, thinned, told
from neural_hive.replay.slos.what_if import NothingToTry, SloWhatIf, Wanted, what_if
from neural_hive.streams.kernel.reading import MessageReader
from neural_hive.streams.sla.messages import (
    AdjustBudget,
    DefineFreezePolicy,
    DefineSlo,
    FreezeByHand,
    ResolveFreeze,
)
from tests.rerun.slo_past import BEGIN, MINUTE, SECOND, SloPast

HOUR = 60 * MINUTE
GOOD, BUILDS = "status = 'COMPLETED'", "task_type = 'BUILD'"
SHOP = Definition(
    "shop",
    "Shop",
    SloType.AVAILABILITY,
    "shop",
    0.9,
    Indicator(Source.TICKETS, GOOD, BUILDS),
    window_days=1,
)
POLICY = Policy("careful", "Careful", Scope.SERVICE, "shop", (Action.BLOCK_DEPLOY,), 20, 50)
BAD_FROM, BAD_TO, STEP_S, HOURS = 60, 90, 60, 8  # of bad minutes among all; a ticket each step


@pytest.fixture(scope="module")
def past() -> Iterator[SloPast]:
    """Eight hours: a bad half hour, a late event, an exclusion, a freeze by hand, a deployment each ten minutes."""
    made = SloPast()
    made.say("shop", DefineSlo("shop", SHOP))
    made.say("other", DefineSlo("other", msgspec.structs.replace(SHOP, slo_id="other", service_name="other")))
    made.say("careful", DefineFreezePolicy("careful", POLICY))
    for step in range(HOURS * 3_600 // STEP_S):
        made.pass_time(BEGIN + step * STEP_S * SECOND + 30 * SECOND)
        made.ticket(good=not _is_bad(step), late_us=20 * MINUTE if step == 200 else 0)
        if step % 10 == 5:
            made.deploy()
        if step == 100:
            at = minute_of(BEGIN + 85 * MINUTE)
            made.say(
                "shop", AdjustBudget("shop", "x", AdjustmentKind.EXCLUDE, at, at + 3 * MINUTE, "the network")
            )
        if step == 400:
            made.say("careful", FreezeByHand("careful", "launch day"))
        if step == 430:
            [freeze] = [f for f in _freezes(made) if f["budget_id"] == "by hand"]
            made.say("careful", ResolveFreeze(freeze["freeze_id"], "careful", "it is launched"))
    made.pass_time(BEGIN + HOURS * HOUR + 5 * MINUTE)
    yield made
    made.close()


def _is_bad(step: int) -> bool:
    return BAD_FROM <= step < BAD_TO


def _freezes(past: SloPast) -> list[dict[str, Any]]:
    from neural_hive.schemas.codec import decode

    log = past.hive.broker.logs.get(("sla.freeze.events", 0), [])
    return [decode(record.value or b"", "event").payload for record in log]


def asked(past: SloPast, *wanted: Definition | Policy, since: int = 0) -> SloWhatIf:
    definitions = tuple(each for each in wanted if isinstance(each, Definition))
    policies = tuple(each for each in wanted if isinstance(each, Policy))
    return what_if(past.recording(), Wanted(definitions, policies, past.now, since), MessageReader())


def test_what_is_unchanged_changes_nothing_and_is_what_was(past: SloPast) -> None:
    answer = asked(past, SHOP, POLICY)
    assert answer.is_empty and answer.changed == () and answer.notes == ()
    assert answer.baseline.numbers == answer.variant.numbers
    assert answer.variant.outcome.freezes and answer.variant.held
    # The simulation is what happened: every look, every freeze.
    was, ran = answer.history, answer.baseline
    assert {key: b.digest for key, b in was.outcome.budgets.items()} == {
        key: b.digest for key, b in ran.outcome.budgets.items()
    }
    assert [f.key for f in was.outcome.freezes] == [f.key for f in ran.outcome.freezes]
    assert was.outcome.violations == ran.outcome.violations
    assert was.numbers.freezes == ran.numbers.freezes == 2
    assert len(was.outcome.budgets["shop", ""].looks) > 100


def reckoned(
    target: float, trigger: float, unfreeze: float, is_bad: Any = _is_bad
) -> list[tuple[int, int | None]]:
    """When it would have been frozen: by counting all tickets at each minute's end."""
    frozen: list[tuple[int, int | None]] = []
    excluded = range(85, 88)
    for minute in range(1, HOURS * 60 + 5):
        due = BEGIN + minute * MINUTE + 10 * SECOND
        good = valid = 0
        for step in range(HOURS * 60):
            said_at = BEGIN + step * MINUTE + 30 * SECOND
            at = step - 20 if step == 200 else step
            is_excluded = at in excluded and due > BEGIN + 100 * MINUTE + 30 * SECOND
            if said_at < due and at < minute and not is_excluded:
                valid += 1
                good += not is_bad(step)
        left = round(100 * (1 - (valid - good) / valid / (1 - target)), 6) if valid else 100
        is_frozen = bool(frozen) and frozen[-1][1] is None
        if not is_frozen and left < trigger:
            frozen.append((due, None))
        elif is_frozen and left > unfreeze:
            frozen[-1] = frozen[-1][0], due
    return frozen


@pytest.mark.parametrize(
    ("target", "trigger", "unfreeze"), [(0.9, 20, 50), (0.95, 20, 50), (0.8, 20, 50), (0.9, 60, 60)]
)
def test_other_targets_and_thresholds_freeze_when_one_reckons(
    past: SloPast, target: float, trigger: float, unfreeze: float
) -> None:
    policy = msgspec.structs.replace(POLICY, trigger_percent=trigger, unfreeze_percent=unfreeze)
    answer = asked(past, msgspec.structs.replace(SHOP, target=target), policy)
    found = [(f.begun_at, f.ended_at) for f in answer.variant.outcome.freezes if f.freeze.slo_id]
    assert found == reckoned(target, trigger, unfreeze)
    assert answer.is_empty == ((target, trigger) == (0.9, 20))
    by_hand = [(f.begun_at, f.ended_at) for f in answer.variant.outcome.freezes if not f.freeze.slo_id]
    assert len(by_hand) == 1
    moments = [BEGIN + step * MINUTE + 30 * SECOND for step in range(5, HOURS * 60, 10)]
    until = past.now
    held = [at for at in moments if any(a <= at < (until if b is None else b) for a, b in [*found, *by_hand])]
    assert [one.held_at for one in answer.variant.held] == held
    assert answer.deploys == len(moments)
    assert answer.variant.numbers.frozen_us == union([*found, *by_hand], answer.since, until)


def test_an_slo_that_does_not_exist_is_counted_from_the_events(past: SloPast) -> None:
    fast = msgspec.structs.replace(SHOP, slo_id="fast", indicator=Indicator(Source.TICKETS, "exit_code = 0"))
    answer = asked(past, fast)
    assert answer.changed == ("slo fast is new",) and answer.concerned == ("fast",)
    assert ("fast", "") not in answer.baseline.budgets
    found = answer.variant.budgets["fast", ""]
    assert found.valid == HOURS * 60 and found.valid - found.good == BAD_TO - BAD_FROM, (
        "nobody has excluded anything of it"
    )
    assert answer.variant.numbers.freezes == answer.baseline.numbers.freezes + found.freezes
    assert found.freezes > 0


def test_another_indicator_is_counted_anew(past: SloPast) -> None:
    anew = msgspec.structs.replace(
        SHOP, indicator=Indicator(Source.TICKETS, "attempt < 9", "task_type = 'BUILD'")
    )
    answer = asked(past, anew)
    found = answer.variant.budgets["shop", ""]
    assert found.good == found.valid and found.remaining == 1 and found.freezes == 0
    assert answer.baseline.budgets["shop", ""].freezes > 0
    assert "indicator" in answer.changed[0]


def test_without_its_policy_nothing_is_frozen(past: SloPast) -> None:
    answer = asked(past, msgspec.structs.replace(POLICY, enabled=False))
    assert answer.variant.numbers.freezes == 0 and answer.variant.held == ()
    assert answer.baseline.numbers.freezes == 2
    assert not answer.is_empty


def test_only_the_time_that_is_asked_for_is_told(past: SloPast) -> None:
    since = BEGIN + 5 * HOUR
    answer = asked(past, SHOP, POLICY, since=since)
    assert answer.since == since
    assert all(f.ended_at is None or f.ended_at > since for f in answer.baseline.outcome.freezes)
    whole = asked(past, SHOP, POLICY)
    assert answer.baseline.numbers.frozen_us < whole.baseline.numbers.frozen_us
    assert answer.deploys < whole.deploys
    assert answer.baseline.budgets["shop", ""].valid == whole.baseline.budgets["shop", ""].valid


def test_what_the_log_cannot_tell_is_said(past: SloPast) -> None:
    promql = Indicator(Source.PROMQL, good_promql="a[$window]", valid_promql="b[$window]")
    with pytest.raises(NothingToTry, match="requests was left out: the log has no events of PROMQL"):
        asked(past, msgspec.structs.replace(SHOP, slo_id="requests", indicator=promql))
    with pytest.raises(NothingToTry, match="no SLO and no freeze policy"):
        asked(past)


def test_it_is_shown_as_tables_json_and_picture(past: SloPast) -> None:
    answer = asked(past, msgspec.structs.replace(SHOP, target=0.95))
    console = Console(record=True, width=200)
    render(answer, console)
    text = console.export_text()
    assert "slo shop: target 0.9 → 0.95" in text and "deploys frozen" in text and "by hand" in text
    assert "instead of" in text.splitlines()[-1]
    document = json.loads(msgspec.json.encode(told(answer, 20)))
    assert document["is_empty"] is False
    [budget] = document["variant"]["budgets"]
    assert len(budget["looks"]) == 20 and budget["slo_id"] == "shop"
    picture = chart(answer)
    assert picture.startswith("<svg") and picture.count("<path") >= 5 and picture.endswith("</svg>\n")


def test_a_deployment_waits_through_freezes_that_follow_one_another() -> None:
    def frozen(begun_at: int, ended_at: int | None) -> Any:
        found = asked_freeze()
        return msgspec.structs.replace(found, begun_at=begun_at, ended_at=ended_at)

    deploy = Deploy("d", "shop", "", [5, 12, 40])
    [held] = would_be_held([deploy], [frozen(4, 10), frozen(9, 20), frozen(30, 35)], 0, 100)
    assert (held.held_at, held.held_us) == (5, 15)
    [held] = would_be_held([deploy], [frozen(4, 10), frozen(39, None)], 0, 100)
    assert held.held_us == 5 + 60
    assert would_be_held([Deploy("d", "till", "", [5])], [frozen(4, 10)], 0, 100) == []


def asked_freeze() -> Any:
    from neural_hive.aggregates.burn import Level
    from neural_hive.aggregates.freeze import DeployFreeze, Standing
    from neural_hive.replay.slos.outcome import Frozen

    about = ("f", "careful", 1, Scope.SERVICE, "shop", (Action.BLOCK_DEPLOY,))
    return Frozen(DeployFreeze(*about, "shop", "shop@1", Standing.ACTIVE, 1, 0.1, Level.NORMAL, 1), 1, 2, "")


def test_times_and_lists_as_people_read_them() -> None:
    assert [duration(us * SECOND) for us in (5, 90, 3_700, 200_000, -90)] == [
        "5 s",
        "1 min",
        "1 h 1 min",
        "2 d 7 h",
        "−1 min",
    ]
    assert thinned(list(range(100)), 3) == [0, 33, 99]
    assert union([(0, 5), (3, 9), (20, None)], 1, 30) == 18

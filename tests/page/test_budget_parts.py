"""What the views of budgets are made of, without a browser."""

from datetime import UTC, datetime, timedelta

import msgspec

from neural_hive.budget_reads import Look, SloBudget
from neural_hive.page.budget_drawing import burn_down, burn_rates
from neural_hive.page.views.budgets import gone_text, path_of, row, target_text
from neural_hive.page.views.freezes import frozen_row, history_row, policy_row
from neural_hive.slo_views import FreezeInfo, PolicyInfo

T0 = datetime(2026, 5, 4, tzinfo=UTC)
HOUR = timedelta(hours=1)
INFO = SloBudget(
    "shop",
    service_name="shop",
    target=0.999,
    window_kind="ROLLING",
    window_days=7,
    budget_id="shop@1",
    status="WARNING",
    level="FAST",
    remaining=0.4,
    good=994,
    valid=1_000,
    budget_total=10,
    budget_consumed=6,
    starts_at=T0,
    upto=T0 + 10 * HOUR,
    exhausted_at=T0 + 40 * HOUR,
    windows=("1h", "6h"),
    goods=(90, 900),
    valids=(100, 1_000),
    rates=(8.0, 6.5),
)
FREEZE = FreezeInfo(
    "f",
    "ACTIVE",
    "careful",
    scope="NAMESPACE",
    subject="eu",
    actions=("BLOCK_DEPLOY", "BLOCK_SCALE"),
    slo_id="shop",
    remaining=0.05,
    activated_at=T0,
)


def test_a_course_is_drawn_over_its_window_with_what_was_frozen_and_what_may_come() -> None:
    looks = (Look(T0 + HOUR, 1.0), Look(T0 + 10 * HOUR, 0.4))
    chart = burn_down(INFO, looks, [(T0 + HOUR, T0 + 2 * HOUR)])
    left, ahead = chart["series"]
    ms = int(T0.timestamp() * 1_000)
    assert chart["xAxis"]["min"] == ms
    assert left["data"] == [[ms + 3_600_000, 100.0], [ms + 36_000_000, 40.0]]
    assert ahead["data"] == [[ms + 36_000_000, 40.0], [ms + 144_000_000, 0]]
    (area,) = left["markArea"]["data"]
    assert [edge["xAxis"] for edge in area] == [ms + 3_600_000, ms + 7_200_000]
    assert sorted(line["yAxis"] for line in left["markLine"]["data"]) == [0, 20, 50]


def test_what_is_gone_or_never_will_be_has_no_forecast() -> None:
    for info in (
        msgspec.structs.replace(INFO, exhausted_at=None),
        msgspec.structs.replace(INFO, remaining=-1.0, exhausted_at=INFO.upto),
        SloBudget("new"),
    ):
        assert len(burn_down(info, (), ())["series"]) == 1


def test_burn_rates_are_drawn_by_their_long_windows() -> None:
    chart = burn_rates((Look(T0, 0.5, 14.5, 6.1, 3.0, 1.25),))
    assert {line["name"]: line["data"][0][1] for line in chart["series"]} == {
        "1h": 14.5,
        "6h": 6.1,
        "24h": 3.0,
        "3d": 1.25,
    }
    assert all(line["showSymbol"] for line in chart["series"]), "one look is a point"


def test_a_row_says_what_is_left() -> None:
    found = row(INFO)
    assert (found["left"], found["share"], found["bad"]) == ("40.0%", 0.4, "6 of 10.0")
    assert (found["burn_1h"], found["burn_6h"], found["burn_3d"]) == ("8.0 ×", "6.5 ×", "")
    assert found["window"] == "7 days"
    overdrawn = row(msgspec.structs.replace(INFO, remaining=-2.5, status="EXHAUSTED"))
    assert (overdrawn["left"], overdrawn["share"], overdrawn["gone"]) == ("-250.0%", 0.0, "now")
    new = row(SloBudget("new"))
    assert (new["status"], new["left"], new["gone"]) == ("nothing yet", "", "")
    assert row(SloBudget("off", enabled=False))["status"] == "OFF"


def test_a_forecast_is_told_from_the_last_look_on() -> None:
    assert gone_text(INFO) == "in 30.0 h"
    assert gone_text(msgspec.structs.replace(INFO, exhausted_at=T0 + 20 * 24 * HOUR)) == "in 20 days"
    assert gone_text(msgspec.structs.replace(INFO, exhausted_at=None)) == "–"


def test_a_target_has_the_digits_that_it_has() -> None:
    assert [target_text(target) for target in (0.9, 0.999, 0.99995)] == ["90 %", "99.9 %", "99.995 %"]


def test_an_address_holds_any_dimension() -> None:
    assert path_of("shop") == "/slo/shop"
    assert path_of("shop", "a/b?c&d#e") == "/slo/shop?dimension=a%2Fb%3Fc%26d%23e"


def test_a_freeze_says_what_it_blocks_and_holds_back() -> None:
    found = frozen_row(FREEZE, {"f": 3})
    assert (found["of"], found["blocks"]) == ("namespace eu", "deployments, scaling")
    assert (found["tickets_held"], found["left"]) == ("3", "5.0%")
    by_hand = msgspec.structs.replace(FREEZE, slo_id="", scope="GLOBAL", actions=("ALERT_ONLY",))
    found = frozen_row(by_hand, {})
    assert (found["of"], found["left"]) == ("everything", "")
    assert found["blocks"] == "nothing, it only alerts"


def test_one_that_is_over_says_how_long_it_held() -> None:
    over = msgspec.structs.replace(FREEZE, status="RESOLVED", resolved_at=T0 + HOUR, duration_ms=3_600_000)
    found = history_row(over)
    assert (found["until"], found["lasted"]) == ("2026-05-04 01:00:00", "60 min")
    assert (history_row(FREEZE)["until"], history_row(FREEZE)["lasted"]) == ("", "")


def test_a_policy_says_whether_something_is_frozen_by_it() -> None:
    policy = PolicyInfo("careful", scope="SERVICE", subject="shop", trigger_percent=10, unfreeze_percent=25)
    assert policy_row(policy, {"careful"})["state"] == "FROZEN"
    assert policy_row(policy, set())["state"] == "WATCHES"
    assert policy_row(msgspec.structs.replace(policy, enabled=False), set())["state"] == "OFF"
    assert policy_row(policy, set())["freezes_below"] == "10 %"

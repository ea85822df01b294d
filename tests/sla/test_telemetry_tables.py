"""SQL over metric windows gives the same numbers as the budgets that were counted from them."""

import random
from collections import Counter
from typing import Any

import msgspec
import pytest

from neural_hive.aggregates.aggregate import Rejected
from neural_hive.aggregates.budget import BUDGET_AGGREGATE
from neural_hive.aggregates.burn import Counts
from neural_hive.aggregates.metric_window import TOPIC, Bucket, MetricWindow
from neural_hive.aggregates.sla_window import MINUTE
from neural_hive.aggregates.sli_expression import parse
from neural_hive.aggregates.sli_source import FIELDS, Source
from neural_hive.aggregates.slo import Definition, Indicator, Slo, SloType
from neural_hive.projections.dead_letters import DEAD_LETTERS
from neural_hive.projections.http_store import HttpStore
from neural_hive.projections.metric_windows import METRIC_WINDOWS
from neural_hive.projections.read_models import rebuild
from neural_hive.schemas.codec import encode_message
from neural_hive.schemas.envelope import Header
from neural_hive.streams.kernel.inbox import dead_letter
from neural_hive.streams.sla import system as sla
from neural_hive.streams.sla.messages import DefineSlo, RecalculateBudget
from neural_hive.streams.sli import system as sli
from tests.projections.conftest import database, store
from tests.projections.grammar import given
from tests.sla.kernel_unit import SlaUnit
from tests.sla.sli_unit import SliUnit

__all__ = ["database", "store"]
INDICATORS = {
    "all": Indicator(Source.TELEMETRY, "outcome = 'ok'"),
    "fast": Indicator(Source.TELEMETRY, "value <= 250", "service = 'shop' AND metric = 'latency_ms'"),
    "slow": Indicator(Source.TELEMETRY, "NOT (value > 300)", "value IS NOT NULL"),
    "near": Indicator(Source.TELEMETRY, "outcome != 'failed'", "region IN ('eu') OR layer IS NULL"),
    "pay": Indicator(Source.TELEMETRY, "value BETWEEN 0 AND 99.5 OR value IS NULL", "endpoint LIKE '/pay%'"),
}


class Record:
    """A record that was refused, as the kernel has it."""

    def __init__(self, offset: int, value: bytes) -> None:
        self.topic, self.partition, self.offset = TOPIC, 0, offset
        self.timestamp, self.key, self.value, self.headers = 1_700_000_000_000, b"shop", value, []


def windows(chance: random.Random, until: int) -> list[MetricWindow]:
    """Some of everything: several series, with and without values, with bounds that are no thresholds, none at all."""
    made = []
    for number in range(150):
        ends_at = until - chance.randrange(1, 90) * MINUTE + chance.choice((0, 1, 59_999_999))
        bounds = sorted(chance.sample([0.5, 99.5, 100.0, 250.0, 300.0, 301.0], chance.randrange(0, 6)))
        buckets = tuple(Bucket(bound, chance.randrange(0, 9)) for bound in bounds)
        events = sum(bucket.events for bucket in buckets) + chance.randrange(0, 5)
        made.append(
            MetricWindow(
                "shop",
                chance.choice(("latency_ms", "requests")),
                ends_at - chance.choice((1, MINUTE, 10 * MINUTE)),
                ends_at,
                events,
                buckets,
                chance.choice(("ok", "failed", "")),
                chance.choice(("api", "")),
                chance.choice(("/pay", "/pay/now", "/", "")),
                chance.choice(("eu", "us", "")),
                f"pod-{number % 40}",
            )
        )
    repeated = chance.sample(made, 30)
    overlapping = [msgspec.structs.replace(window, events=10**6) for window in chance.sample(made, 10)]
    return [*made, *repeated, *overlapping]


def sent(window: MetricWindow) -> bytes:
    header = Header(
        window.message_id, "MetricWindow", 1, window.service, window.service, "", "0" * 32, "0" * 16, "test"
    )
    return encode_message(header, msgspec.to_builtins(window))


@pytest.mark.parametrize("seed", range(3))
def test_what_was_counted_can_be_counted_again(store: HttpStore, seed: int) -> None:
    chance = random.Random(seed)
    counting, budgets = SliUnit(sli.build()), SlaUnit(sla.build())
    try:
        for name, indicator in INDICATORS.items():
            definition = Definition(name, name, SloType.CUSTOM, "shop", 0.9, indicator, window_days=1)
            budgets.handle(DefineSlo(name, definition))
            counting.slos[name] = Slo(definition, 1, 1, 0)
        given_records: list[bytes] = []
        refused: list[bytes] = []
        minutes: dict[str, Counter[tuple[int, str]]] = {name: Counter() for name in INDICATORS}
        for offset, window in enumerate(windows(chance, counting.now // MINUTE * MINUTE)):
            given_records.append(sent(window))
            try:
                counts = counting.window(window)
            except Rejected as error:
                record = Record(offset, given_records[-1])
                refused.append(dead_letter(record, error, "sli.0", {"dead.letters": 1}, None).value)
                continue
            for each in counts:
                budgets.handle(each)
                for counted in each.counts:
                    minutes[each.slo_id][counted.at, "good"] += counted.good
                    minutes[each.slo_id][counted.at, "valid"] += counted.valid
        assert len(refused) >= 5
        given(store, *given_records, *refused)
        for table in (DEAD_LETTERS, METRIC_WINDOWS):
            rebuild(store, table)
        budgets.pass_time(75)
        for name, indicator in INDICATORS.items():
            found = _counted_again(store, indicator)
            assert found == {at: counts for at, counts in _by_minute(minutes[name]).items() if counts.valid}
            budgets.handle(RecalculateBudget(name))
            whole = budgets.state(BUDGET_AGGREGATE, f"{name}@1").sums["budget"]
            assert whole.valid > 0
            assert whole == sum(found.values(), Counts())
    finally:
        counting.close()
        budgets.close()


def _by_minute(counter: Counter[tuple[int, str]]) -> dict[int, Counts]:
    return {at: Counts(counter[at, "good"], counter[at, "valid"]) for at, _ in counter}


def _counted_again(store: HttpStore, wanted: Indicator) -> dict[int, Counts]:
    good, valid = (parse(text, FIELDS[wanted.source]).sql for text in (wanted.good, wanted.valid))
    sql = (
        f"SELECT toUnixTimestamp64Micro(minute) AS at, sumIf(events, {good}), sum(events) FROM metric_events "
        f"WHERE {valid} GROUP BY at"
    )
    rows: list[tuple[Any, ...]] = store.rows(sql)
    return {int(at): Counts(int(good), int(valid)) for at, good, valid in rows}


def test_what_is_sent_has_one_row_for_each_time_and_one_for_each_value(store: HttpStore) -> None:
    window = MetricWindow(
        "shop", "latency_ms", 60 * MINUTE, 61 * MINUTE, 9, (Bucket(1.5, 4), Bucket(2, 3)), "ok"
    )
    given(store, sent(window), sent(window), sent(msgspec.structs.replace(window, buckets=(), region="eu")))
    for table in (DEAD_LETTERS, METRIC_WINDOWS):
        rebuild(store, table)
    assert store.rows("SELECT count(), uniqExact(message_id) FROM metric_windows") == [(3, 2)]
    rows = store.rows(
        "SELECT toString(value), events, outcome, region, layer, toUnixTimestamp64Micro(minute) FROM metric_events "
        "ORDER BY region IS NULL, value"
    )
    assert rows == [
        (None, 9, "ok", "eu", None, 60 * MINUTE),
        ("1.5", 4, "ok", None, None, 60 * MINUTE),
        ("2", 3, "ok", None, None, 60 * MINUTE),
        ("inf", 2, "ok", None, None, 60 * MINUTE),
    ]

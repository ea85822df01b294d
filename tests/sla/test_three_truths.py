"""The same numbers three times: as processors have added them up, as the log gives them again, as SQL counts them.

Random histories run through the real broker, processors and engine: events late, early and too late, messages said
twice, exclusions, lifts, corrections, other targets and windows, and processors killed in between.
"""

import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from confluent_kafka import Producer

from neural_hive.aggregates.aggregate import event_of
from neural_hive.aggregates.budget import BUDGET, BUDGET_AGGREGATE, Budget, budget_id_of, minute_of
from neural_hive.aggregates.sla_window import DAY, HOUR, MINUTE
from neural_hive.aggregates.slo import SLO
from neural_hive.replay.checks.state import kept_states
from neural_hive.replay.history import happening_of
from neural_hive.replay.moment import Moment
from neural_hive.replay.reader import KafkaSource
from neural_hive.replay.report import Findings
from neural_hive.replay.whole import folded, whole
from neural_hive.sdk.sender import Sender
from neural_hive.sdk.tables import Tables
from neural_hive.settings import load_settings
from neural_hive.slo_explaining import explained
from neural_hive.slo_files import Form, write
from neural_hive.slo_rows import judged
from neural_hive.slo_then import BudgetThen, budgets_then
from neural_hive.slo_times import literal
from neural_hive.streams.kernel.state import COUNTER, ROW, Row
from neural_hive.streams.sla import system as sla
from neural_hive.system import processor_name
from tests.sla.stories import PARTITIONS, REACH_DAYS, Story
from tests.system.hive import Hive, eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SEEDS: Final = (1, 2, 3, 4)
STEPS: Final = 45
SOURCES: Final = ("execution.tickets", "orchestration.workflows", "telemetry.aggregated")
Minutes = dict[tuple[str, int], tuple[int, int]]  # budget and minute: good, valid
Kept = tuple[dict[str, Budget], dict[str, int]]  # budgets, and the counters beside them


class World:
    """A system in which stories have happened, and what each of the three says of them."""

    def __init__(self, hive: Hive, stories: list[Story]) -> None:
        self.hive = hive
        self.settings = load_settings(data=hive.data)
        self.tables = Tables(self.settings)
        self.definitions = {name: found for story in stories for name, found in story.definitions.items()}
        self._before: Any = None
        self.live, self.until = eventually(self._at_rest)

    @property
    def source(self) -> KafkaSource:
        return KafkaSource({**self.hive.kafka(), "log_level": 2})

    def _at_rest(self) -> "tuple[Kept, int] | None":
        """Budgets and counters of RocksDB, and when the last event of them was appended, once nothing is under way."""
        ends = self.source.ranges("sla.budgets")
        live, replayed = self._kept(), self.replayed()
        counted = {name: value for name, value in live[1].items() if ":h" in name}
        before, self._before = self._before, counted
        if not counted or counted != before or live != replayed or not self._is_archived():
            time.sleep(3)  # what is counted stays the same for so long
            return None
        if self.source.ranges("sla.budgets") != ends:
            return None
        return live, max(record.timestamp_ms for batch in self.records() for record in batch) * 1_000

    def records(self) -> Iterator[list[Any]]:
        """What the log holds of budgets."""
        for number, (first, end) in self.source.ranges("sla.budgets").items():
            yield from self.source.batches("sla.budgets", number, first, end)

    def _is_archived(self) -> bool:
        ends = {
            (topic, number): end
            for topic in (*("sla.budgets", "sla.definitions", "dead.letters"), *SOURCES)
            for number, (_, end) in self.source.ranges(topic).items()
            if end
        }
        rows = self.tables.rows(
            "SELECT topic, partition, argMax(next, (epoch, step)) FROM positions WHERE state = 'done' GROUP BY ALL"
        )
        reached = {(topic, number): int(following) for topic, number, following in rows}
        return all(reached.get(place, 0) >= end for place, end in ends.items())

    def _kept(self) -> Kept:
        budgets: dict[str, Budget] = {}
        counters: dict[str, int] = {}
        for partition in range(PARTITIONS):
            for kept in kept_states(self.hive.data / "processors", sla.build(), partition, Findings()):
                for key, value in kept.store.rows():
                    if key.startswith(ROW + b"budget\0"):
                        row = msgspec.msgpack.decode(value, type=Row[Budget])
                        budgets[row.state.place.budget_id] = row.state
                    elif key.startswith(COUNTER + b"sli:"):
                        counters[key[1:].decode()] = msgspec.msgpack.decode(value, type=int)
                kept.store.close()
        return budgets, counters

    def replayed(self) -> Kept:
        """The same, from the log alone."""
        budgets: dict[str, Budget] = {}
        counters: Counter[str] = Counter()
        for found in folded(self.source, [BUDGET_AGGREGATE], {}, None):
            before = found.before.state if found.before else None
            event = _event(found)
            for name, change in BUDGET_AGGREGATE.counters(event, before, found.after.state):
                counters[name] += change if name.startswith("sli:") else 0
            budgets[found.key[1]] = found.after.state
        return budgets, {name: value for name, value in counters.items() if value}

    def minutes(self, sql: str) -> Minutes:
        """What a query says of minutes."""
        return {(budget, int(at)): (int(g), int(v)) for budget, at, g, v in self.tables.rows(sql) if g or v}


def _event(found: Any) -> Any:
    return event_of(BUDGET_AGGREGATE, found.happening.envelope.event_type, found.happening.payload)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    hive = Hive(tmp_path_factory.mktemp("truths") / "data", systems='["sla", "sli"]')
    try:
        hive.up()
        kafka = hive.kafka()
        producer, sender = Producer({**kafka, "linger.ms": 1}), Sender(kafka, "a story")
        stories = [Story(seed, sender, producer) for seed in SEEDS]
        for story in stories:
            story.define()
        eventually(lambda: _are_known(hive, stories))
        chance = random.Random(sum(SEEDS))
        for step in range(STEPS):
            for story in stories:
                story.step()
            if step in (STEPS // 3, 2 * STEPS // 3):
                _kill(hive)
            time.sleep(chance.random() / 5)
        time.sleep(2)
        for story in stories:
            story.look()
        yield World(hive, stories)
    finally:
        hive.run("down")
    assert hive.left_behind() == []


def _are_known(hive: Hive, stories: list[Story]) -> bool:
    """Whether whoever counts reads the SLOs: what happens before that counts nowhere."""
    known = whole(KafkaSource({**hive.kafka(), "log_level": 2}), [SLO], types=["slo"])
    if len(known) < sum(len(story.definitions) for story in stories):
        return False
    time.sleep(3)  # the views of the processor are read to their end before each transaction
    return True


def _kill(hive: Hive) -> None:
    name = processor_name(("sla", "sli"))
    hive.wait_replaced(name, hive.signal(name))


def test_there_is_something_of_everything(world: World) -> None:
    rows = world.tables.rows(
        "SELECT sum(late), sum(uncounted), count() FROM sli_counts_versions"
    ) + world.tables.rows("SELECT countIf(kind = 'EXCLUDE'), countIf(kind = 'LIFT'), countIf(kind = 'CORRECT') "
        "FROM budget_adjustments_versions")  # fmt: skip
    assert all(int(value) > 0 for row in rows for value in row), rows
    budgets, _ = world.live
    assert len(budgets) >= len(world.definitions)
    assert any(budget.terms and budget.terms.revision > 1 for budget in budgets.values())


def test_each_minute_is_what_tickets_workflows_and_windows_say(world: World) -> None:
    """`valid` and `good` of each SLO, asked of the tables of the events themselves."""
    since, until = world.until - (REACH_DAYS + 1) * DAY, minute_of(world.until) + 60 * MINUTE
    recounted: Minutes = {}
    for slo_id, definition in world.definitions.items():
        asked = definition.indicator
        rows = judged(asked, since, until)
        by = f"ifNull(`{asked.group_by}`, '')" if asked.group_by else "''"
        budget_id, each = budget_id_of(slo_id, 1), rows.events
        recounted |= world.minutes(
            f"SELECT if({by} = '', '{budget_id}', concat('{budget_id}/', {by})) AS budget, "
            f"toUnixTimestamp64Micro(toDateTime64(toStartOfMinute(at), 6)) AS minute, sumIf({each}, {rows.is_good}), "
            f"sum({each}) FROM {rows.rows} WHERE {rows.is_valid} GROUP BY budget, minute"
        )
    counted = world.minutes(
        "SELECT budget_id, toUnixTimestamp64Micro(minute), good, valid FROM sli_minutes "
        f"WHERE minute >= {literal(since)} AND minute < {literal(until)}"
    )
    assert len(counted) > 100
    assert counted == recounted


def test_each_minute_and_hour_is_the_same_live_and_in_sql(world: World) -> None:
    budgets, counters = world.live
    kept: defaultdict[tuple[str, str, int, bool], list[int]] = defaultdict(lambda: [0, 0])
    for name, value in counters.items():
        budget_id, at, what = name.removeprefix("sli:").rsplit(":", 2)
        kept[budget_id, at[0], int(at[1:]), what[0] == "x"]["gv".index(what[-1])] = value
    found: defaultdict[tuple[str, str, int, bool], list[int]] = defaultdict(lambda: [0, 0])
    rows = world.tables.rows(
        "SELECT budget_id, toUnixTimestamp64Micro(minute), good, valid, is_excluded FROM sli_minutes_known"
    )
    for budget_id, minute, good, valid, is_excluded in rows:
        budget, at = budgets[budget_id], int(minute)
        places = [("m", at)] if at >= budget.minutes_from else []
        places += [("h", at // HOUR * HOUR)] if at >= budget.hours_from else []
        for unit, begin in places:
            total = found[budget_id, unit, begin, bool(is_excluded)]
            total[0] += int(good)
            total[1] += int(valid)
    assert any(is_excluded for *_, is_excluded in kept)
    assert _without_nothing(kept) == _without_nothing(found)


def _without_nothing(found: Any) -> dict[Any, list[int]]:
    return {key: counts for key, counts in found.items() if counts != [0, 0]}


def test_each_window_is_the_same_live_replayed_and_in_sql(world: World) -> None:
    budgets, _ = world.live
    known = {found.budget_id: found for found in _all_then(world, world.until)}
    looked_at = {name: budget for name, budget in budgets.items() if budget.upto}
    assert len(looked_at) >= len(world.definitions) // 2
    for budget_id, budget in looked_at.items():
        found = known[budget_id]
        assert found.known is not None
        live = {window: (counts.good, counts.valid) for window, counts in budget.sums.items()}
        assert {w.window: (w.good, w.valid) for w in found.known.windows} == live, budget_id
        assert (found.known.good, found.known.valid) == live[BUDGET]
        asked = (
            f"known_remaining FROM budgets_known(at = {literal(world.until)}) WHERE budget_id = '{budget_id}'"
        )
        [(in_sql,)] = world.tables.rows(f"SELECT {asked}")
        assert in_sql == pytest.approx(found.known.remaining, abs=2e-9)


def _all_then(world: World, at: int) -> list[BudgetThen]:
    return budgets_then(world.tables, at, known_now=True)


def test_what_was_believed_is_what_the_log_says_of_then(world: World) -> None:
    """At the time of each tenth look: the views, and the state that the log gives as of then."""
    looks = [
        happening.appended_at
        for batch in world.records()
        for record in batch
        if (happening := happening_of(record)) and happening.envelope.event_type == "BudgetEvaluated"
    ]
    compared = 0
    for at in sorted(set(looks))[:: max(len(set(looks)) // 10, 1)]:
        states = whole(world.source, [BUDGET_AGGREGATE], Moment(at))
        then = {name: one.state for (_, name), one in states.items() if one.state.upto}
        found = {each.budget_id: each for each in budgets_then(world.tables, at)}
        assert found.keys() == then.keys()
        for budget_id, believed in found.items():
            state = then[budget_id]
            assert state.terms is not None
            told = believed.remaining, believed.status, believed.level, believed.target, believed.revision
            assert told == (
                state.remaining, state.status, state.level, state.terms.target, state.terms.revision
            )  # fmt: skip
            assert (_us(believed.upto), _us(believed.starts_at)) == (state.upto, state.starts_at)
            compared += 1
    assert compared > 20


def test_an_explanation_of_then_leads_to_the_events(world: World) -> None:
    [(slo_id, dimension, at)] = world.tables.rows(
        "SELECT slo_id, dimension, toUnixTimestamp64Micro(toDateTime64(valid_from, 6)) FROM budgets_versions "
        "WHERE budget_consumed > 3 ORDER BY version DESC LIMIT 1"
    )
    found = explained(world.tables, slo_id, dimension, int(at))
    assert found is not None and found.bad
    of_events = [bad for bad in found.bad if bad.event_type]
    assert of_events and all(bad.subject for bad in of_events)
    assert all(found.starts_at <= bad.minute < found.upto for bad in found.bad)
    assert explained(world.tables, slo_id, dimension, int(at) - 400 * DAY) is None


def test_the_commands_say_it(world: World, tmp_path: Path) -> None:
    at = datetime.fromtimestamp(world.until / 1e6, UTC).isoformat()
    told = _asked(world, "slo", "budgets", "--at", at, "--known-now")["budgets"]
    expected = {found.budget_id: found for found in _all_then(world, world.until)}
    assert {one["budget_id"]: one["known"]["valid"] for one in told} == {
        name: found.known.valid for name, found in expected.items() if found.known
    }
    budget_id = min(expected)
    state = _asked(world, "replay", "state", budget_id, "--at", at)["state"]
    assert state["remaining"] == expected[budget_id].remaining
    alone = _asked(world, "slo", "budgets", "--slo", expected[budget_id].slo_id, "--at", at)["budgets"]
    assert {one["slo_id"] for one in alone} == {expected[budget_id].slo_id}
    assert _asked(world, "slo", "explain", expected[budget_id].slo_id, "--dimension", expected[budget_id].dimension,
        "--at", at)["remaining"] == expected[budget_id].remaining  # fmt: skip
    refused = world.hive.run("slo", "budgets", "--known-now")
    assert refused.returncode and "give --at" in refused.stderr


def test_unchanged_definitions_change_nothing_and_new_ones_are_counted(world: World, tmp_path: Path) -> None:
    file = tmp_path / "slos.yaml"
    file.write_text(write(list(world.definitions.values()), [], Form.OWN).text)
    # Each budget's first look falls within 70 s of what was counted first: that may lie ahead yet.
    until = ("--to", datetime.fromtimestamp((world.until + 2 * MINUTE) / 1e6, UTC).isoformat())
    found = _asked(world, "slo", "what-if", str(file), *until)
    assert found["is_empty"] and found["changed"] == [] and found["notes"] == []
    counted = {one["slo_id"] for one in found["baseline"]["budgets"] if one["numbers"]["valid"]}
    assert counted == set(world.definitions)
    slo_id, was = next((n, d) for n, d in world.definitions.items() if not d.indicator.group_by)
    anew = msgspec.structs.replace(was, slo_id="anew", window_days=30)
    file.write_text(write([anew], [], Form.OWN).text)
    found = _asked(world, "slo", "what-if", str(file), *until)
    [budget] = found["variant"]["budgets"]
    window = f"sli_minutes WHERE slo_id = '{slo_id}' AND minute >= {literal(world.until - 30 * DAY)}"
    sums = [
        f"(SELECT sum(valid) FROM {window} AND minute < {literal(until)})"
        for until in (world.until - 2 * MINUTE, world.until + HOUR)
    ]
    [(already, at_most)] = world.tables.rows(f"SELECT {', '.join(sums)}")
    assert 0 < already <= budget["numbers"]["valid"] <= at_most


def _asked(world: World, *arguments: str) -> Any:
    done = world.hive.run(*arguments, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def _us(at: datetime) -> int:
    return round((at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1_000_000)

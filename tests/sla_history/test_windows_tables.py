"""SQL over metric windows gives what history and what came afterwards have counted together."""

import random

import pytest

from neural_hive.aggregates.burn import Counts
from neural_hive.aggregates.sla_window import HOUR, MINUTE
from neural_hive.projections.dead_letters import DEAD_LETTERS
from neural_hive.projections.http_store import HttpStore
from neural_hive.projections.metric_windows import METRIC_WINDOWS
from neural_hive.slo_rows import judged
from neural_hive.streams.kernel.inbox import dead_letter
from tests.projections.conftest import database, store
from tests.projections.grammar import filled, given
from tests.sla.test_telemetry_tables import INDICATORS, Record, windows
from tests.sla_history.windows_world import CountingWindows, WindowWorld

__all__ = ["database", "store"]


@pytest.mark.parametrize("name", INDICATORS)
def test_what_was_counted_from_the_log_and_as_it_came_is_what_sql_counts(store: HttpStore, name: str) -> None:
    chance = random.Random(name)
    world = WindowWorld(INDICATORS[name])
    try:
        sent = windows(chance, world.sla.now // MINUTE * MINUTE)
        chance.shuffle(sent)
        for number, window in enumerate(sent):
            world.comes(window)
            if number == len(sent) // 2:
                world.counts_on(number)
                world.define()
                world.historian().look()
                world.seen_by_sli()
        world.check()
        sli = world.sli
        assert isinstance(sli, CountingWindows) and len(sli.refused) >= 5
        letters = [
            dead_letter(
                Record(at, world.records[at].value or b""), why, "sli.0", {"dead.letters": 1}, None
            ).value
            for at, why in sli.refused
        ]
        given(store, *(record.value or b"" for record in world.records), *letters)
        filled(store, DEAD_LETTERS, METRIC_WINDOWS)
        of = judged(INDICATORS[name], world.sla.now - 24 * HOUR, world.sla.now)
        sums = f"sumIf({of.events}, {of.is_good}), sumIf({of.events}, {of.is_valid})"
        [(good, valid)] = store.rows(f"SELECT {sums} FROM {of.rows}")
        assert world.held() == Counts(int(good), int(valid))
        assert int(valid) > 0
    finally:
        world.close()

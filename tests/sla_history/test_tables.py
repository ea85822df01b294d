"""What SQL says of how far history is counted."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from neural_hive.aggregates.sla_window import HOUR
from neural_hive.aggregates.sli_history import HistoryPart
from neural_hive.projections.http_store import HttpStore
from neural_hive.projections.read_models import rebuild
from neural_hive.projections.sli_counts import SLI_COUNTS
from neural_hive.projections.slo_history import SLO_HISTORY_RANGES
from neural_hive.projections.slos import SLOS
from neural_hive.streams.sla.messages import DefineSlo
from neural_hive.streams.sla.system import build
from tests.projections.conftest import database, store
from tests.projections.grammar import given
from tests.sla.kernel_unit import SlaUnit
from tests.sla.test_sla import DEFINITION
from tests.sla_history.test_ranges import a_range, minute

__all__ = ["database", "store"]
COLUMNS = "partitions, whole_partitions, is_counted, round(share, 2), lost_offsets, good, valid, uncounted"


@pytest.fixture
def unit() -> Iterator[SlaUnit]:
    made = SlaUnit(build())
    made.handle(DefineSlo("shop", DEFINITION))
    yield made
    made.close()


def shown(store: HttpStore, unit: SlaUnit, since: int) -> list[tuple[Any, ...]]:
    given(store, *(output.value for output in unit.log[since:]))
    for table in (SLOS, SLI_COUNTS, SLO_HISTORY_RANGES):
        rebuild(store, table)
    return store.rows(f"SELECT {COLUMNS} FROM slo_history")


def test_how_far_it_is_and_from_when_on(store: HttpStore, unit: SlaUnit) -> None:
    first, old = minute(unit, 5 * HOUR, 3, 4), minute(unit, 9 * 24 * HOUR, 1, 1)
    unit.handle(a_range(10, 50, first, old, log_begin=10))
    assert shown(store, unit, 0) == [(2, 0, False, 0.25, 10, 3, 4, 1)]
    [(counted_from,)] = store.rows("SELECT counted_from FROM slo_history")
    assert counted_from == "2023-11-14 17:13:00.000000", first
    seen = len(unit.log)
    unit.handle(a_range(50, 100))
    unit.handle(a_range(0, 100, partition=1))
    unit.pass_time(1)
    assert shown(store, unit, seen) == [(2, 2, True, 1.0, 10, 3, 4, 1)]
    assert store.rows("SELECT sum(good), sum(valid) FROM sli_minutes") == [(3, 4)], "once it has joined"


def test_of_what_nothing_counts_there_is_no_beginning(store: HttpStore, unit: SlaUnit) -> None:
    for partition in (0, 1):
        unit.handle(a_range(0, 0, partition=partition, is_whole=True, aim=0))
    assert shown(store, unit, 0) == [(2, 2, True, 1.0, 0, 0, 0, 0)]
    assert store.rows("SELECT counted_from FROM slo_history") == [(None,)]


def test_each_way_of_measuring_has_its_own(store: HttpStore, unit: SlaUnit) -> None:
    unit.handle(a_range(0, 50, parts=(HistoryPart("a", (minute(unit, HOUR),)),)))
    unit.handle(DefineSlo("shop", msgspec.structs.replace(DEFINITION, window_days=30), 1))
    unit.handle(a_range(0, 20, measure=2))
    shown(store, unit, 0)
    rows = store.rows("SELECT measure, round(share, 2), valid FROM slo_history ORDER BY measure")
    assert rows == [(1, 0.25, 1), (2, 0.1, 0)]

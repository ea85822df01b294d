"""Which SLOs Prometheus is asked for, and how far it was, as the tables say after what the calculator was told."""

from collections.abc import Iterator

import msgspec
import pytest

from neural_hive.aggregates.budget import Counted, minute_of
from neural_hive.aggregates.sla_window import MINUTE
from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.slo import Indicator
from neural_hive.connectors.clickhouse import ClickHouse
from neural_hive.projections.http_store import HttpStore
from neural_hive.projections.read_models import rebuild
from neural_hive.projections.sli_counts import SLI_COUNTS
from neural_hive.projections.slos import SLOS
from neural_hive.streams.sla.messages import CountSli, DefineSlo, RemoveSlo
from neural_hive.streams.sla.system import build
from neural_hive.streams.sli_prometheus.asked import Asked, asked_for, last_minutes
from neural_hive.streams.sli_prometheus.minute_counter import message_of
from neural_hive.streams.sli_prometheus.promql_counts import Queries
from tests.fixtures_clickhouse import ClickHouseServer
from tests.projections.conftest import database, store
from tests.projections.grammar import given
from tests.sla.kernel_unit import SlaUnit
from tests.sla.test_sla import DEFINITION

__all__ = ["database", "store"]
QUERIES = Queries("sum(increase(good_total[$window]))", "sum(increase(all_total[$window]))")
PROMQL = Indicator(Source.PROMQL, good_promql=QUERIES.good, valid_promql=QUERIES.valid)


@pytest.fixture
def unit() -> Iterator[SlaUnit]:
    made = SlaUnit(build())
    yield made
    made.close()


@pytest.fixture
def tables(clickhouse: ClickHouseServer, database: str) -> Iterator[ClickHouse]:
    with ClickHouse(
        clickhouse.host,
        clickhouse.port,
        user=clickhouse.user,
        password=clickhouse.password,
        database=database,
    ) as found:
        yield found


def test_what_is_asked_for_and_from_where_on(store: HttpStore, tables: ClickHouse, unit: SlaUnit) -> None:
    def define(slo_id: str, revision: int = 0, **changes: object) -> None:
        definition = msgspec.structs.replace(DEFINITION, **{"slo_id": slo_id, "indicator": PROMQL, **changes})
        unit.handle(DefineSlo(slo_id, definition, revision))

    define("tickets", indicator=DEFINITION.indicator)
    for name in ("shop", "gone", "off"):
        define(name)
    begin = unit.now
    unit.handle(RemoveSlo("gone"))
    define("off", revision=1, enabled=False)
    first = minute_of(unit.now)
    shop = Asked("shop", 1, QUERIES, 0)
    for number in range(3):
        unit.handle(message_of(shop, Counted(first + number * MINUTE, 9, 10)))
    unit.handle(CountSli("shop", 1, (Counted(first + 9 * MINUTE, 1, 1),), "execution.tickets:0:1"))
    unit.pass_time(90)
    define("shop", revision=1, target=0.95)
    given(store, *(output.value for output in unit.log))
    for table in (SLOS, SLI_COUNTS):
        rebuild(store, table)
    [found] = asked_for(tables)
    assert msgspec.structs.replace(found, since=0) == shop
    assert found.since <= begin, "another target measures the same"
    assert last_minutes(tables, [found], first) == {"shop@1": first + 2 * MINUTE}
    assert last_minutes(tables, [found], first + 3 * MINUTE) == {}
    assert last_minutes(tables, [], first) == {}

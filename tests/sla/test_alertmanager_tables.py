"""What Alertmanager shall know, as the tables say after what the calculator was told; and a process that is killed."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from neural_hive.aggregates.budget import AdjustmentKind, Counted, minute_of
from neural_hive.aggregates.sla_window import HOUR, MINUTE
from neural_hive.connectors.alertmanager import Alertmanager, Silence
from neural_hive.connectors.clickhouse import ClickHouse
from neural_hive.connectors.json_api import JsonApi
from neural_hive.projections.budget_adjustments import BUDGET_ADJUSTMENTS
from neural_hive.projections.budgets import BUDGETS
from neural_hive.projections.http_store import HttpStore
from neural_hive.projections.read_models import rebuild
from neural_hive.projections.sli_counts import SLI_COUNTS
from neural_hive.projections.slos import SLOS
from neural_hive.projections.violations import VIOLATIONS
from neural_hive.settings import Settings
from neural_hive.streams.alertmanager.wanted import Wanted, wanted
from neural_hive.streams.sla.messages import AdjustBudget, CountSli, DefineSlo, RemoveSlo
from neural_hive.streams.sla.system import build
from tests.fixtures_clickhouse import ClickHouseServer
from tests.projections.conftest import database, store
from tests.projections.grammar import given
from tests.prometheus.servers import alertmanager, needs_alertmanager
from tests.sla.kernel_unit import SlaUnit
from tests.sla.test_asked_tables import tables
from tests.sla.test_sla import DEFINITION

__all__ = ["database", "store", "tables"]
KILLS = 6
SILENCED = 20


@pytest.fixture
def unit() -> Iterator[SlaUnit]:
    made = SlaUnit(build())
    yield made
    made.close()


def define(unit: SlaUnit, slo_id: str = "shop", **changes: object) -> None:
    definition = msgspec.structs.replace(DEFINITION, slo_id=slo_id, namespace="eu", **changes)
    unit.handle(DefineSlo(slo_id, definition))


def count(unit: SlaUnit, good: int, valid: int, slo_id: str = "shop", dimension: str = "") -> None:
    counted = (Counted(minute_of(unit.now), good, valid),)
    unit.handle(CountSli(slo_id, 1, counted, f"t:0:{unit.now}", dimension))


def adjust(unit: SlaUnit, name: str, kind: AdjustmentKind, ahead: int, dimension: str = "") -> None:
    begin = minute_of(unit.now) + ahead
    wanted = AdjustBudget("shop", name, kind, begin, begin + HOUR, "the database moves", dimension)
    unit.handle(wanted)


def known(store: HttpStore, tables: ClickHouse, unit: SlaUnit) -> Wanted:
    given(store, *(output.value for output in unit.log))
    for table in (SLOS, VIOLATIONS, BUDGETS, SLI_COUNTS, BUDGET_ADJUSTMENTS):
        rebuild(store, table)
    return wanted(tables, unit.now, unit.now - HOUR)


def test_what_is_violated_and_what_was(store: HttpStore, tables: ClickHouse, unit: SlaUnit) -> None:
    define(unit)
    count(unit, 0, 100)
    unit.pass_time(90)
    count(unit, 0, 100, dimension="eu")
    unit.pass_time(90)
    count(unit, 50_000, 50_000)
    unit.pass_time(1_200)
    found = known(store, tables, unit)
    shown = {
        (labels["alertname"], labels["severity"], labels.get("dimension", ""), alert.is_open)
        for alert in found.alerts
        for labels in [dict(alert.labels)]
    }
    assert shown == {
        ("SLOBudgetExhausted", "critical", "", False),
        ("SLOBudgetBurn", "high", "", False),
        ("SLOBudgetExhausted", "critical", "eu", True),
        ("SLOBudgetBurn", "high", "eu", True),
    }
    for alert in found.alerts:
        labels = dict(alert.labels)
        assert (labels["slo"], labels["service"], labels["namespace"]) == ("shop", "shop", "eu")
        assert alert.starts_at <= (alert.ended_at or unit.now) <= unit.now
        assert dict(alert.annotations)["summary"].startswith("Tickets of the shop: ")
    later = wanted(tables, unit.now + 2 * HOUR, unit.now + HOUR)
    assert {alert.is_open for alert in later.alerts} == {True}


def test_what_is_excluded_now_or_will_be(store: HttpStore, tables: ClickHouse, unit: SlaUnit) -> None:
    define(unit)
    count(unit, 9, 10)
    count(unit, 9, 10, dimension="eu")
    adjust(unit, "past", AdjustmentKind.EXCLUDE, -2 * HOUR)
    adjust(unit, "now", AdjustmentKind.EXCLUDE, 0)
    adjust(unit, "ahead", AdjustmentKind.EXCLUDE, 5 * HOUR)
    adjust(unit, "lifted", AdjustmentKind.EXCLUDE, 10 * HOUR)
    adjust(unit, "lifted", AdjustmentKind.LIFT, 10 * HOUR)
    adjust(unit, "again", AdjustmentKind.EXCLUDE, 15 * HOUR)
    adjust(unit, "again", AdjustmentKind.LIFT, 15 * HOUR)
    adjust(unit, "again", AdjustmentKind.EXCLUDE, 16 * HOUR)
    adjust(unit, "now", AdjustmentKind.EXCLUDE, 0, "eu")
    found = {
        silence.reason.rpartition("exclusion ")[2]: silence for silence in known(store, tables, unit).silences
    }
    assert found.keys() == {"now)", "ahead)", "lifted)", "again)"}
    all_of_them = known(store, tables, unit).silences
    assert len(all_of_them) == 5 and len({silence.marker for silence in all_of_them}) == 5
    assert [silence.is_lifted for silence in all_of_them].count(True) == 1 and found["lifted)"].is_lifted
    assert found["again)"].starts_at == minute_of(unit.now) + 16 * HOUR
    matches = {silence.matches for silence in all_of_them if silence.reason.endswith("(exclusion now)")}
    assert matches == {(("slo", "shop"),), (("slo", "shop"), ("dimension", "eu"))}
    unit.handle(RemoveSlo("shop"))
    assert all(silence.is_lifted for silence in known(store, tables, unit).silences)


@needs_alertmanager
def test_killed_at_any_time_it_makes_each_silence_once(
    store: HttpStore,
    clickhouse: ClickHouseServer,
    database: str,
    unit: SlaUnit,
    tables: ClickHouse,
    tmp_path: Path,
) -> None:
    unit.now = time.time_ns() // 1_000 - 2 * MINUTE
    for number in range(SILENCED):
        define(unit, f"slo-{number}")
        count(unit, 0, 100, f"slo-{number}")
        begin = minute_of(unit.now)
        name = f"slo-{number}"
        unit.handle(AdjustBudget(name, "m", AdjustmentKind.EXCLUDE, begin + HOUR, begin + 2 * HOUR, "moves"))
    unit.pass_time(90)
    unit.now = time.time_ns() // 1_000
    assert len(known(store, tables, unit).silences) == SILENCED
    chance = random.Random(7)
    with alertmanager(tmp_path) as url:
        server = Alertmanager(JsonApi("Alertmanager", url))
        settings = Settings(
            data=tmp_path / "data",
            kafka_bootstrap="127.0.0.1:1",
            clickhouse_host=clickhouse.host,
            clickhouse_port=clickhouse.port,
            clickhouse_user=clickhouse.user,
            clickhouse_password=clickhouse.password,
            clickhouse_database=database,
            alertmanager_url=url,
            alertmanager_every_s=0.1,
        )
        for number in range(KILLS + 1):
            process = started(settings)
            try:
                until = time.monotonic() + 60
                wanted_count = SILENCED if number == KILLS else min(SILENCED, 3 * (number + 1))
                while len(lasting(server)) < wanted_count:
                    assert process.poll() is None and time.monotonic() < until
                    time.sleep(0.001)
                time.sleep(chance.random() / 50)
            finally:
                process.send_signal(signal.SIGKILL)
                process.wait()
        comments = [silence.comment for silence in lasting(server)]
        assert len(comments) == len(set(comments)) == SILENCED
        assert (
            len({alert.fingerprint for alert in server.alerts(['alertname="SLOBudgetExhausted"'])})
            == SILENCED
        )
        server.close()


def started(settings: Settings) -> subprocess.Popen[bytes]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("NEURAL_HIVE_")}
    settings.data.mkdir(exist_ok=True)
    with (settings.data / "log").open("ab") as log:
        command = [sys.executable, "-m", "neural_hive.cli", "alertmanager-sender"]
        return subprocess.Popen(command, env=ours | settings.environment(), stdout=log, stderr=log)


def lasting(server: Alertmanager) -> list[Silence]:
    return [silence for silence in server.silences() if silence.status.state != "expired"]

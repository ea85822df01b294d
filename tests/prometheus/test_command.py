"""Settings, processes and the dry run of a query, as a person meets them."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result
from pydantic import ValidationError
from typer.testing import CliRunner

from neural_hive.aggregates.budget import minute_of
from neural_hive.aggregates.sla_window import MINUTE
from neural_hive.aggregates.sli_source import Source
from neural_hive.aggregates.slo import Definition, Indicator, SloType
from neural_hive.asked_prometheus import NoPrometheus
from neural_hive.cli import build
from neural_hive.commands import slo_test
from neural_hive.sdk.asking import CannotDo
from neural_hive.settings import Settings
from neural_hive.system import plan_system
from tests.prometheus.servers import Point, needs_prometheus, prometheus

URL = "http://127.0.0.1:9"
GOOD, VALID = "sum(increase(good_total[$window]))", "sum(increase(all_total[$window]))"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"prometheus_url": "ftp://h"}, "prometheus_url"),
        ({"prometheus_url": "http://user:secret@h"}, "prometheus_url"),
        ({"prometheus_url": "http://h/?x=1"}, "prometheus_url"),
        ({"prometheus_username": "a", "prometheus_token_file": "t"}, "two logins"),
        ({"prometheus_password": "a"}, "with prometheus_username"),
        ({"prometheus_lag_s": 3_600, "prometheus_back_s": 3_600}, "must be longer"),
        ({"prometheus_per_s": 0}, "prometheus_per_s"),
    ],
)
def test_settings_that_make_no_sense(given: dict[str, object], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Settings(**given)


@pytest.mark.parametrize("url", ["", "http://h:9090", "https://h/prometheus/"])
def test_addresses(url: str) -> None:
    assert Settings(prometheus_url=url).prometheus_url == url


@pytest.mark.parametrize(
    ("systems", "url", "is_started"),
    [(("orchestrator",), URL, False), (("sla",), "", False), (("sla", "sli"), URL, True)],
)
def test_up_asks_prometheus_where_it_is_named(
    tmp_path: Path, systems: tuple[str, ...], url: str, is_started: bool
) -> None:
    given = {"kafka_bootstrap": "127.0.0.1:9", "schema_registry_url": URL, "prometheus_url": url}
    plan = plan_system(Settings(data=tmp_path, systems=systems, metrics_port=31_000, **given))
    services = {service.name: service for stage in plan.stages for service in stage.services}
    assert ("sli-prometheus" in services) == is_started
    if is_started:
        assert services["sli-prometheus"].environment["NEURAL_HIVE_PROMETHEUS_URL"] == url


def run(tmp_path: Path, url: str, *arguments: str) -> Result:
    line = ["slo", "test", *arguments, "--data", str(tmp_path)]
    environment = {"NEURAL_HIVE_PROMETHEUS_URL": url, "COLUMNS": "200"}
    return CliRunner().invoke(build(line), line, env=environment)


def definition(slo_id: str, good: str) -> Definition:
    asked = Indicator(Source.PROMQL, good_promql=good, valid_promql=VALID)
    return Definition(slo_id, slo_id, SloType.AVAILABILITY, "shop", 0.95, asked)


def test_a_dry_run_needs_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slo_test, "_known", lambda *_: [definition("shop", GOOD)])
    result = run(tmp_path, "", "shop")
    assert isinstance(result.exception, NoPrometheus) and "prometheus_url" in str(result.exception)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that has seen ten events a scrape for two hours, of which nine were good."""
    begin = (minute_of(time.time_ns() // 1_000) - 120 * MINUTE) // 1_000_000
    points = [
        Point(name, begin + 3 + 15 * number, number * each)
        for name, each in (("good_total", 9.0), ("all_total", 10.0))
        for number in range(122 * 4)
    ]
    with prometheus(tmp_path_factory.mktemp("prometheus"), points) as found:
        yield found


@needs_prometheus
def test_a_dry_run(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [definition("shop", GOOD)]
    monkeypatch.setattr(slo_test, "_known", lambda *_: asked)
    result = run(tmp_path, url, "shop")
    assert (result.exit_code, result.output.splitlines()) == (
        0,
        [
            "shop: 2,160 good of 2,400 valid events in the last hour = 90.00%, promised are 95.00%",
            "60 minutes would count, 0 are empty, 0 would be left out",
        ],
    )
    asked.append(definition("wrong", "sum("))
    result = run(tmp_path, url, "shop", "--json")
    first, second = json.loads(result.output)["tested"]
    assert result.exit_code == 1, "one of them would not be counted"
    assert (first["good"], first["valid"], first["counted"]) == (2_160, 2_400, 60)
    assert (second["counted"], second["unasked"]) == (0, 59) and "parse error" in second["wrong"][0]["why"]


def test_an_slo_that_there_is_not_cannot_be_tested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Tables:
        def __init__(self, settings: Settings) -> None:
            """Asks nobody."""

        def rows(self, sql: str, params: dict[str, str]) -> list[tuple[object, ...]]:
            return []

        def close(self) -> None:
            """Nothing is open."""

    monkeypatch.setenv("NEURAL_HIVE_KAFKA_BOOTSTRAP", "127.0.0.1:9")
    monkeypatch.setattr("neural_hive.sdk.tables.Tables", Tables)
    result = run(tmp_path, URL, "none")
    assert isinstance(result.exception, CannotDo) and "no SLO" in str(result.exception)


FILE = f"""
kind: Slo
slo_id: requests
name: Requests
slo_type: AVAILABILITY
service_name: shop
target: 0.95
window_kind: ROLLING
window_days: 30
indicator:
  source: PROMQL
  valid_promql: {VALID}
  good_promql: {GOOD} or vector(0)
"""


@needs_prometheus
def test_a_file_is_tried_before_it_is_applied(tmp_path: Path, url: str) -> None:
    pytest.importorskip("neural_hive.slo_files", reason="this build reads no files of SLOs")
    file = tmp_path / "slo.yaml"
    file.write_text(FILE)
    result = run(tmp_path, url, str(file))
    assert (result.exit_code, result.exception) == (0, None)
    assert "requests: 2,160 good of 2,400 valid events" in result.output
    file.write_text(FILE.replace("good_total", "no_total"))
    result = run(tmp_path, url, str(file))
    assert (result.exit_code, "requests: 0 good of 2,400" in result.output) == (0, True)

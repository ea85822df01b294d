"""SLOs over metric windows and SLOs of SLOs on a whole system: counted, corrected, explained, killed in between."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from neural_hive.aggregates.metric_window import TOPIC, Bucket, MetricWindow
from neural_hive.aggregates.sla_window import MINUTE
from neural_hive.connectors.publisher import Publisher
from neural_hive.schemas.topics import partition_of
from neural_hive.sdk.client import HiveClient
from neural_hive.sdk.outcome import Verdict
from neural_hive.sdk.windows import BadWindows
from neural_hive.settings import load_settings
from tests.system.hive import Hive, eventually

SYSTEMS = '["orchestrator", "registry", "operations", "privacy", "sla", "sli"]'
NOW = time.time_ns() // 1_000 // MINUTE * MINUTE
SLOS = """
kind: Slo
slo_id: checkout-fast
name: The checkout is fast
slo_type: LATENCY
service_name: checkout
target: 0.9
indicator:
  source: TELEMETRY
  valid: "service = 'checkout' AND metric = 'latency_ms'"
  good: "value <= 250"
---
kind: Slo
slo_id: search-answers
name: The search answers
slo_type: AVAILABILITY
service_name: search
target: 0.9
indicator:
  source: TELEMETRY
  valid: "service = 'search' AND metric = 'requests'"
  good: "outcome = 'ok'"
---
kind: Slo
slo_id: shop
name: The shop
slo_type: CUSTOM
service_name: shop
target: 0.9
window_days: 7
indicator:
  source: COMPOSITE
  parts: [{slo_id: checkout-fast, weight: 0.5}, {slo_id: search-answers, weight: 1.5}]
"""
BEFORE = 30  # minutes ago that everything begins


@pytest.fixture(scope="module")
def hive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hive]:
    system = Hive(tmp_path_factory.mktemp("sources") / "data", systems=SYSTEMS)
    try:
        system.up()
        yield system
    finally:
        system.run("down")
        assert system.left_behind() == []


def latency(minute: int, fast: int, slow: int, instance: str = "a") -> MetricWindow:
    at = NOW - (BEFORE - minute) * MINUTE
    buckets = (Bucket(100.0, fast), Bucket(250.0, 0), Bucket(1000.0, slow))
    return MetricWindow("checkout", "latency_ms", at, at + MINUTE, fast + slow, buckets, instance=instance)


def requests(minute: int, outcome: str, events: int) -> MetricWindow:
    at = NOW - (BEFORE - minute) * MINUTE
    return MetricWindow("search", "requests", at, at + MINUTE, events, outcome=outcome)


def done(hive: Hive, *arguments: str) -> Any:
    found = hive.run(*arguments, "--json")
    assert found.returncode == 0, found.stdout + found.stderr
    return json.loads(found.stdout)


def held(hive: Hive, slo_id: str, good: int, valid: int) -> None:
    """Waits until a budget holds that, once somebody looks."""

    def look() -> bool:
        hive.run("slo", "recalculate", slo_id)
        found = [row for row in done(hive, "slo", "budgets")["budgets"] if row["slo_id"] == slo_id]
        last.append(found)
        return bool(found) and (int(found[0]["good"]), int(found[0]["valid"])) == (good, valid)

    last: list[Any] = []
    try:
        eventually(look)
    except Exception as error:
        raise AssertionError(f"{slo_id} should hold {good} of {valid}: {last[-1:]}") from error


def published(hive: Hive, folder: Path, *windows: MetricWindow, code: int = 0) -> dict[str, Any]:
    file = folder / "windows.jsonl"
    file.write_bytes(b"\n".join(map(msgspec.json.encode, windows)))
    found = hive.run("publish", "windows", str(file), "--wait", "--json")
    assert found.returncode == code, found.stdout + found.stderr
    told: dict[str, Any] = json.loads(found.stdout)
    return told


@pytest.mark.long
def test_the_whole_way(hive: Hive, tmp_path: Path) -> None:
    assert len({partition_of(name.encode(), 4) for name in ("checkout-fast", "search-answers", "shop")}) > 1
    file = tmp_path / "slos.yaml"
    file.write_text(SLOS)
    parts, composite = SLOS.rpartition("---")[::2]
    file.write_text(parts)
    done(hive, "slo", "apply", str(file))

    windows = [latency(0, 8, 2), latency(1, 9, 1), latency(1, 5, 0, "b"), requests(2, "ok", 10)]
    assert published(hive, tmp_path, *windows) == {"windows": 4, "refused": 0, "reasons": []}
    assert published(hive, tmp_path, windows[0])["refused"] == 0, "the same again"
    overlapping = msgspec.structs.replace(windows[0], events=99)
    refused = published(hive, tmp_path, overlapping, code=1)
    assert refused["refused"] == 1 and "overlaps the window" in refused["reasons"][0]
    held(hive, "checkout-fast", 22, 25)
    held(hive, "search-answers", 10, 10)

    file.write_text(composite)  # what its parts have counted before counts too
    done(hive, "slo", "apply", str(file))
    held(hive, "shop", 22 + 30, 25 + 30)
    with HiveClient(load_settings(data=hive.data)) as client:
        with pytest.raises(BadWindows, match="service must not be empty"):
            client.publish_window(MetricWindow("", "m", 1, 2, 3))
        token = client.publish_window(requests(3, "failed", 5))
        assert client.wait(token).verdict is Verdict.ACCEPTED
    held(hive, "shop", 22 + 30, 25 + 45)

    at = f"{time.strftime('%Y-%m-%dT%H:%M', time.gmtime(NOW / 1e6 - (BEFORE - 3) * 60))}"
    end = f"{time.strftime('%Y-%m-%dT%H:%M', time.gmtime(NOW / 1e6 - (BEFORE - 4) * 60))}"
    done(hive, "slo", "exclude", "search-answers", at, end, "--reason", "it was moved", "--id", "moved")
    held(hive, "search-answers", 10, 10)
    held(hive, "shop", 52, 55)
    _explained(hive)
    _refused(hive, tmp_path)

    pid = hive.signal("processor")
    published(hive, tmp_path, *(latency(minute, 3, 1, "c") for minute in range(5, 15)))
    hive.wait_replaced("processor", pid)
    done(hive, "slo", "lift", "search-answers", "moved", "--reason", "it was not")
    held(hive, "checkout-fast", 22 + 30, 25 + 40)
    held(hive, "shop", 52 + 30, 70 + 40)
    _counted_again(hive)
    report = hive.verify()
    assert report["exit_code"] == 0, report
    decisions = hive.run("replay", "verify", "--decisions")
    assert decisions.returncode == 0, decisions.stdout + decisions.stderr


def _explained(hive: Hive) -> None:
    found = done(hive, "slo", "explain", "shop")
    assert {(p["slo_id"], p["weight"], p["good"], p["valid"]) for p in found["parts"]} == {
        ("checkout-fast", 1, 22, 25),
        ("search-answers", 3, 30, 30),
    }
    text = hive.run("slo", "explain", "shop").stdout
    assert "0 bad of 30 = 3 × 0 of 10  search-answers" in text
    assert f"part:search-answers:{TOPIC}:" in text, "where its bad events stand"
    assert "part:checkout-fast:before" in text


def _refused(hive: Hive, folder: Path) -> None:
    """What cannot be counted is refused, with the reason; and what is sent past the SDK is a dead letter."""
    file = folder / "both.yaml"
    file.write_text(
        SLOS.rpartition("---")[2].replace("slo_id: shop", "slo_id: both", 1).replace("search-answers", "shop")
    )
    found = hive.run("slo", "apply", str(file))
    assert found.returncode == 1 and "shop is composite itself" in found.stderr + found.stdout
    found = hive.run("slo", "remove", "search-answers", "--reason", "nobody needs it")
    assert found.returncode == 1 and "is a part of shop" in found.stderr + found.stdout
    publisher = Publisher(hive.kafka(), "somebody")
    window = requests(3, "ok", -1)
    header = publisher.header("MetricWindow", window.message_id, "search")
    publisher.publish(TOPIC, header, msgspec.to_builtins(window), lambda _: None)
    assert publisher.flush(20) == 0
    sql = f"SELECT reason FROM dead_letters WHERE source_topic = '{TOPIC}' AND reason LIKE '%events must be%'"
    assert eventually(lambda: hive.rows(sql))


def _counted_again(hive: Hive) -> None:
    """From the windows themselves, in SQL."""
    sql = (
        "SELECT toInt64(sumIf(events, value <= 250)) AS good, toInt64(sum(events)) AS valid FROM metric_events "
        "WHERE service = 'checkout' AND metric = 'latency_ms'"
    )
    (row,) = hive.rows(sql)
    assert {name: int(value) for name, value in row.items()} == {"good": 52, "valid": 65}

"""Files of metric windows: what is read, and what is told of what cannot be."""

from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from neural_hive.aggregates.metric_window import Bucket, MetricWindow
from neural_hive.cli import build
from neural_hive.metric_windows import read_windows
from neural_hive.sdk.windows import WINDOWS_MAX, BadWindows, checked

YAML = """
service: checkout
metric: latency_ms
starts_at: 2026-05-04T13:00:00Z
ends_at: 2026-05-04T15:01+02:00
events: 100
buckets: [{upto: 100, events: 80}, {upto: 250.5, events: 15}]
outcome: ok
"""
WINDOW = MetricWindow(
    "checkout",
    "latency_ms",
    1_777_899_600_000_000,
    1_777_899_660_000_000,
    100,
    (Bucket(100.0, 80), Bucket(250.5, 15)),
    "ok",
)


def test_one_a_list_and_several_documents() -> None:
    assert read_windows(YAML, "w.yaml") == [WINDOW]
    assert read_windows(f"{YAML}---{YAML}", "w.yaml") == [WINDOW, WINDOW]
    listed = "- " + YAML.strip().replace("\n", "\n  ")
    assert read_windows(f"{listed}\n{listed}", "w.yaml") == [WINDOW, WINDOW]


def test_json_and_a_document_a_line() -> None:
    line = msgspec.json.encode(WINDOW).decode()
    assert read_windows(line, "w.json") == [WINDOW]
    assert read_windows(f"{line}\n\n{line}\n", "w.jsonl") == [WINDOW, WINDOW]


def test_a_time_without_a_zone_is_utc() -> None:
    (found,) = read_windows(YAML.replace("13:00:00Z", "13:00"), "w.yaml")
    assert found == WINDOW


@pytest.mark.parametrize(
    ("text", "name", "why"),
    [
        (
            YAML.replace("metric:", "metrik:"),
            "w.yaml",
            "w.yaml:3:9: metrik: there is no such field, did you mean",
        ),
        (YAML.replace("13:00:00Z", "noon"), "w.yaml", "w.yaml:4:12: starts_at: must be a whole number, not"),
        (YAML.replace("15:01+02:00", "13:00"), "w.yaml", "w.yaml:2:1: ends_at must be after starts_at"),
        ("", "w.yaml", "there is no window in it"),
        ("{", "w.jsonl", "w.jsonl:1"),
        ('{"service": "a"}\n{"service": }', "w.jsonl", "w.jsonl:2"),
        ("[1]", "w.yaml", "must be a mapping with service, metric"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, name: str, why: str) -> None:
    with pytest.raises(BadWindows) as told:
        read_windows(text, name)
    assert why in "\n".join(told.value.errors)


def test_all_errors_are_told_up_to_a_limit() -> None:
    with pytest.raises(BadWindows) as told:
        read_windows("\n".join(["- {service: a}"] * 30), "w.yaml")
    assert len(told.value.errors) == 21 and told.value.errors[-1].startswith("and ")


def test_what_programs_publish_is_looked_at_too() -> None:
    assert checked([WINDOW]) == [WINDOW]
    with pytest.raises(BadWindows, match="window 2: service must not be empty"):
        checked([WINDOW, msgspec.structs.replace(WINDOW, service="")])
    with pytest.raises(BadWindows, match="10,001 windows"):
        checked([WINDOW] * (WINDOWS_MAX + 1))


def test_a_bad_file_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    file = tmp_path / "w.yaml"
    file.write_text(YAML.replace("events: 100", "events: 90"))
    line = ["publish", "windows", str(file), "--data", str(tmp_path)]
    result = CliRunner().invoke(build(line), line)
    assert result.exit_code == 2
    assert "the buckets have 95 events, and the window only 90" in result.output
    line[2] = str(tmp_path / "none.yaml")
    result = CliRunner().invoke(build(line), line)
    assert result.exit_code == 2 and "cannot be read" in result.output

"""What is asked of the commands on their line: settings to try, times, and what makes no sense."""

from pathlib import Path

import pytest

from neural_hive.commands import replay_rerun
from neural_hive.settings import BadSettings, Settings

PLAIN = Settings()


def test_what_is_set_wins_over_the_file_and_the_file_over_what_is(tmp_path: Path) -> None:
    file = tmp_path / "tried.toml"
    file.write_text('workflows_max = 3\nasked_factor = 4\nkafka_bootstrap = "elsewhere:9092"\n')
    tried = replay_rerun._tried(PLAIN, file, ["workflows_max=5"])
    assert (tried["workflows_max"], tried["asked_factor"]) == (5, 4.0)
    assert tried["fairness_step_s"] == PLAIN.fairness_step_s
    assert "kafka_bootstrap" not in tried


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            "workers=3",
            "--set workers=3: write NAME=VALUE, where NAME is a setting by which something is decided",
        ),
        ("workflows_max", "write NAME=VALUE"),
        ("workflows_max=many", "workflows_max .*valid integer"),
        ("agent_degraded_s=1", "agent_degraded_s .* must be longer than agent_heartbeat_s"),
    ],
)
def test_what_cannot_be_tried_is_named(change: str, why: str) -> None:
    with pytest.raises(BadSettings, match=why):
        replay_rerun._tried(PLAIN, None, [change])


def test_times_are_utc_unless_they_say() -> None:
    first, last = replay_rerun._between("2026-05-04T13:00:00", "2026-05-04T13:00:00+02:00")
    assert first - last == 2 * 3_600_000
    with pytest.raises(BadSettings, match="--to tomorrow is not a time"):
        replay_rerun._between(None, "tomorrow")


def test_code_and_topics_make_sense_only_with_all_decisions() -> None:
    with pytest.raises(BadSettings, match="give it with --decisions"):
        replay_rerun.decide(PLAIN, False, "HEAD", None, lambda number: {})
    with pytest.raises(BadSettings, match="leave --topic out"):
        replay_rerun.decide(PLAIN, True, None, ["execution.tickets"], lambda number: {})
    assert replay_rerun.decide(PLAIN, False, None, None, lambda number: {}) is None


def test_a_picture_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="cannot write"):
        replay_rerun._write(tmp_path / "no" / "such.svg", "")

"""What is asked wrongly is refused before any log is read."""

import pytest

from neural_hive.cli import build
from neural_hive.replay.moment import BadMoment
from neural_hive.settings import BadSettings


@pytest.mark.parametrize(
    ("line", "error", "says"),
    [
        ("state local --at soon", BadMoment, "'soon' is not a time"),
        ("state local --at 2026-01-01 --version 2", BadSettings, "give one of --at, --version and --offset"),
        ("state local --offset there", BadSettings, "no place of an event"),
        ("state", BadSettings, "give the id of an aggregate, or --all"),
        ("state local --all", BadSettings, "give the id of an aggregate, or --all"),
        ("diff local", BadSettings, "--from is missing"),
        ("diff --from v1", BadSettings, "give the id of an aggregate, or --all"),
        ("diff local --from soon", BadMoment, "'soon' is no moment"),
        ("diff local --from v1 --to v0", BadMoment, "'v0' is no moment"),
    ],
)
def test_nonsense_is_refused_and_says_what_to_write(line: str, error: type[Exception], says: str) -> None:
    arguments = ["replay", *line.split()]
    with pytest.raises(error, match=says):
        build(arguments)(args=arguments, standalone_mode=False)

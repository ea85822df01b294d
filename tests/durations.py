"""How long each file of tests takes, by which the longest begin first: what comes last is short.

make test ARGS=--keep-durations measures it anew.
"""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

FILE: Final = Path(__file__).with_suffix(".json")
UNKNOWN_S: Final = 60.0  # of a new file


def file_of(nodeid: str) -> str:
    """The file of a test."""
    return nodeid.split("::", 1)[0]


def kept() -> dict[str, float]:
    """Seconds by file."""
    found: dict[str, float] = json.loads(FILE.read_text())
    return found


class Keeper:
    """Adds up what the tests of a file take, with what sets them up and takes them down."""

    def __init__(self) -> None:
        self._seconds: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Called for each part of each test, of whatever process."""
        self._seconds[file_of(report.nodeid)] += report.duration

    def pytest_sessionfinish(self) -> None:
        """Writes what was measured; what was not run stays as it was, and what is gone goes."""
        there = {name: seconds for name, seconds in kept().items() if (FILE.parents[1] / name).exists()}
        there |= {name: round(seconds, 1) for name, seconds in self._seconds.items()}
        FILE.write_text(json.dumps(dict(sorted(there.items())), indent=1) + "\n")


def longest_first(items: list[pytest.Item], scope_of: Callable[[str], str]) -> list[pytest.Item]:
    """The tests, scope by scope."""
    seconds, total = kept(), Counter[str]()
    for name in {file_of(item.nodeid) for item in items}:
        total[scope_of(name)] += seconds.get(name, UNKNOWN_S)

    def place(item: pytest.Item) -> tuple[float, str]:
        scope = scope_of(item.nodeid)
        return -total[scope], scope

    return sorted(items, key=place)

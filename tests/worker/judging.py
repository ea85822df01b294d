"""Judges by Rego in a process of its own, as the executor does.

The engine's C++ library and RocksDB's take each other's memory functions when both are loaded: the process dies.
"""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

from neural_hive.connectors.executors.rego import Policy


class Judge:
    """Asks what a rule says."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def __call__(self, source: str, given: Any, reference: str = "data.main.deny", **data: Any) -> Any:
        """See Policy.value."""
        return self._pool.submit(_judge, source, given, reference, data).result(60)


def _judge(source: str, given: Any, reference: str, data: dict[str, Any]) -> Any:
    module = f"package main\nimport rego.v1\n{source}"
    return Policy({"policy.rego": module}, given, data).value(reference)


@contextmanager
def judging() -> Iterator[Judge]:
    """A judge whose process ends with this."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        yield Judge(pool)

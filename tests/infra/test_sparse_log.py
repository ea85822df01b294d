"""While a broker is away the log gets one line of each kind, not hundreds."""

import logging

import pytest

from neural_hive.connectors import sparse_log
from neural_hive.connectors.sparse_log import Sparse


def line(text: str) -> logging.LogRecord:
    return logging.LogRecord("kafka", logging.ERROR, "", 0, "%s %s", tuple(text.split(" ", 1)), None)


def test_one_line_of_each_kind_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    sparse = Sparse()
    assert sparse.filter(line("FAIL Connection refused"))
    assert not any(sparse.filter(line("FAIL Connection refused")) for _ in range(300))
    assert sparse.filter(line("GETPID failed")), "another kind"
    monkeypatch.setattr(sparse_log.time, "monotonic", lambda: 1e12)
    again = line("FAIL Connection refused")
    assert sparse.filter(again)
    assert again.getMessage() == "FAIL Connection refused (and 300 more like it before)"

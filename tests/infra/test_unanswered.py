"""Questions to a broker that does not answer leave nothing behind."""

import gc
import os
from pathlib import Path

import pytest

from neural_hive.connectors import kafka_log
from neural_hive.connectors.kafka_log import UnreadableLog, end_offsets
from neural_hive.connectors.ports import HOST, free_port

QUESTIONS = 5


def _threads() -> int:
    return len(list(Path(f"/proc/{os.getpid()}/task").iterdir()))


def test_a_question_that_nobody_answers_leaves_no_client_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each client has four threads and as many sockets; a processor that cannot reach its broker asks for hours."""
    monkeypatch.setattr(kafka_log, "CALL_TIMEOUT_S", 0.3)
    monkeypatch.setattr(kafka_log, "_FIRST_TRY_S", 0.1)
    nobody = {"bootstrap.servers": f"{HOST}:{free_port()}"}
    gc.collect()
    gc.disable()  # processors collect so seldom that it does not count
    try:
        before = _threads()
        for _ in range(QUESTIONS):
            with pytest.raises(UnreadableLog):
                end_offsets(nobody, [("topic", 0)])
        assert _threads() <= before + 4  # those of the last one may still be on their way out
    finally:
        gc.enable()

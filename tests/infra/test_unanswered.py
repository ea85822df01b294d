"""Questions to a broker that does not answer leave nothing behind."""

import gc
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaException

from neural_hive.connectors import kafka_offsets
from neural_hive.connectors.kafka_offsets import UnreadableLog, end_offsets
from neural_hive.connectors.ports import HOST, free_port
from neural_hive.streams.kernel import membership

QUESTIONS = 5
TRY_S = 0.3


def _ends(kafka: Mapping[str, Any]) -> None:
    end_offsets(kafka, [("topic", 0)])


def _owner(kafka: Mapping[str, Any]) -> None:
    membership.owner_of(kafka, "group", 0)


@pytest.mark.parametrize("ask", [_ends, _owner])
def test_a_question_that_nobody_answers_leaves_no_client_behind(
    ask: Callable[[Mapping[str, Any]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each client has four threads and as many sockets; a processor that cannot reach its broker asks for hours."""
    monkeypatch.setattr(kafka_offsets, "CALL_TIMEOUT_S", TRY_S)
    monkeypatch.setattr(kafka_offsets, "_FIRST_TRY_S", TRY_S)
    monkeypatch.setattr(membership, "ASK_TIMEOUT_S", TRY_S)
    nobody = {"bootstrap.servers": f"{HOST}:{free_port()}"}
    gc.collect()
    gc.disable()  # processors collect so seldom that it does not count
    try:
        before = _threads()
        for _ in range(QUESTIONS):
            with pytest.raises((UnreadableLog, KafkaException)):
                ask(nobody)
        assert _threads() <= before + 4  # those of the last one may still be on their way out
    finally:
        gc.enable()


def _threads() -> int:
    return len(list(Path(f"/proc/{os.getpid()}/task").iterdir()))

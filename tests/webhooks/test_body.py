"""What a webhook says of an event: all of it, the same each time, or its ids if it is too large."""

import msgspec
import pytest

from neural_hive.aggregates.ticket import TicketCancelled
from neural_hive.connectors.record import Record
from neural_hive.schemas.codec import encode_event
from neural_hive.schemas.envelope import NO_HASH, Envelope
from neural_hive.streams.webhooks.body import NoEvent, told

HEAD = Envelope(
    *("TicketCancelled", "ticket", 1, "logic", "orchestrator", "e-1", "t-1", 7, 1_700_000_000_123_456),
    *("w", "cause", "ab" * 16, "cd" * 8, 1, "", 0, 0, NO_HASH),
)


def record(value: bytes) -> Record:
    return Record("execution.tickets", 0, 1, 1, b"w", value, ())


def cancelled(reason: str) -> Record:
    return record(encode_event(HEAD, msgspec.to_builtins(TicketCancelled("t-1", "w", reason, 1))))


def test_all_of_an_event() -> None:
    what = told(cancelled("because"), 100_000)
    said = msgspec.json.decode(what.body)
    assert said == {
        "type": "TicketCancelled",
        "timestamp": "2023-11-14T22:13:20.123456Z",
        "data": {
            "ticket_id": "t-1", "workflow_id": "w", "reason": "because", "cancelled_at": 1, "attempt": None,
            "agent_id": None,
        },
        "event_id": "e-1",
        "aggregate": {"type": "ticket", "id": "t-1", "version": 7},
        "correlation_id": "w",
        "causation_id": "cause",
        "trace_id": "ab" * 16,
    }  # fmt: skip
    assert what.traceparent == f"00-{'ab' * 16}-{'cd' * 8}-01"
    assert told(cancelled("because"), 100_000) == what


def test_what_is_too_large_is_told_by_its_ids() -> None:
    what = told(cancelled("x" * 5_000), 1_024)
    said = msgspec.json.decode(what.body)
    assert said["data"] == {"ticket_id": "t-1", "workflow_id": "w", "agent_id": None} and said["cut"]
    assert said["event_id"] == "e-1" and len(what.body) <= 1_024


@pytest.mark.parametrize("value", [b"", b"nonsense", b"\0\0\0\0\1", b"\0\xff\xff\xff\xff"])
def test_what_is_no_event_is_not_told(value: bytes) -> None:
    with pytest.raises(NoEvent, match=r"execution\.tickets:0:1"):
        told(record(value), 1_024)

"""What a newer build wrote: passed over where it cannot concern the worker, and never where it may."""

import uuid

import pytest

from neural_hive.schemas.codec import BadRecord, avro_string
from neural_hive.streams.work_ledger import Dispatch, Work
from neural_hive.streams.worker.events import Reader, Unreadable
from neural_hive.streams.worker.worker import WorkerStopped
from tests.worker.conftest import Log, StartWorker, envelope

NEWER = b"\0" + (999_999).to_bytes(4, "big")


def newer(event_type: str, *texts: str) -> bytes:
    return NEWER + b"".join(avro_string(text) for text in (event_type, "ticket", *texts)) + b"\x02\x04"


def unfinished(ticket_id: str) -> Work:
    dispatch = Dispatch(ticket_id, "w", "t", "EXECUTE", 1, "me", ("true",), {}, {}, 1, 0, ())
    return Work(dispatch, envelope("TicketDispatched", ticket_id, "w"))


@pytest.mark.parametrize(
    ("value", "stops"),
    [
        (newer("TicketDispatched", "me"), True),
        (newer("TicketDispatched", "me too"), False),
        (newer("TicketCancelled", "t-1"), True),
        (newer("TicketCancelled", "t-2"), False),
        (newer("TicketPostponed", "t-1", "me"), False),
    ],
)
def test_only_what_may_concern_the_worker_stops_it(value: bytes, stops: bool) -> None:
    read = Reader("me")
    if stops:
        with pytest.raises(
            Unreadable, match="schema id 999999, which may be for this worker: update the worker"
        ):
            read(value, lambda: [unfinished("t-1")])
    else:
        assert read(value, lambda: [unfinished("t-1")]) is None


@pytest.mark.parametrize(
    "value", [b"", NEWER, NEWER + b"\x80", NEWER + b"\x08ab", NEWER + avro_string("a b")]
)
def test_what_is_no_event_is_a_bad_record(value: bytes) -> None:
    with pytest.raises(BadRecord):
        Reader("me")(value, list)


def test_it_goes_on_past_others_and_stops_at_its_own(log: Log, start_worker: StartWorker) -> None:
    me = f"agent-{uuid.uuid4().hex[:8]}"
    worker = start_worker(me)
    for value in (newer("TicketPostponed", me), newer("TicketDispatched", "somebody else")):
        log._producer.produce(log.tickets, value=value, partition=0)
    assert log.result(log.dispatch(me, "true")).payload["outcome"] == "COMPLETED"
    log._producer.produce(log.tickets, value=newer("TicketDispatched", me), partition=0)
    log._producer.flush(30)
    worker.join()
    assert isinstance(worker.failure, WorkerStopped)
    assert "partition 0, offset" in str(worker.failure)

"""What a worker reads of the log: dispatches to its agent, and what else the log says of its tickets.

Events of other types are not even decoded. What a newer build wrote is passed over where it cannot concern this
worker, and counted; where it may (its agent or one of its tickets stands in it), the worker must not go on: it would
leave a ticket lying, or run one that is over.
"""

from collections.abc import Callable, Iterable
from typing import Final

import msgspec
import structlog

from neural_hive.schemas.catalogue import registered
from neural_hive.schemas.codec import FRAME_BYTES, BadRecord, avro_string, decode, schema_id
from neural_hive.schemas.envelope import Envelope
from neural_hive.streams.work_ledger import Dispatch, Work
from neural_hive.streams.worker import metrics as worker_metrics

ENDINGS: Final = frozenset(
    {
        "TicketCompleted",
        "TicketFailed",
        "TicketTimedOut",
        "TicketCancelled",
        "TicketCompensated",
        "TicketCompensationFailed",
    }
)
DISPATCHED: Final = "TicketDispatched"
STARTED: Final = "TicketStarted"

log = structlog.get_logger()


class Unreadable(Exception):
    """An event that a newer build wrote, and that this worker may not pass over; the text says what to do."""


class Said(msgspec.Struct, frozen=True):
    """The log says that an attempt has started, or that it, or the whole ticket (None), is over."""

    event_type: str
    ticket_id: str
    attempt: int | None
    started_at: int = 0


class Reader:
    """Reads the events of execution.tickets for one agent."""

    def __init__(self, agent_id: str) -> None:
        self._agent_id = agent_id
        self._told: set[int] = set()  # the unknown schema ids of which the log was told

    def __call__(self, value: bytes, unfinished: Callable[[], Iterable[Work]]) -> Work | Said | None:
        """What one event means to this worker; None: nothing. Raises BadRecord, Unreadable.

        `unfinished` gives the worker's tickets; it is seldom asked.
        """
        number = schema_id(value)
        row = registered().get(number)
        if row is None:
            self._pass_over(value, number, unfinished)
            return None
        if row.name not in ENDINGS and row.name not in (DISPATCHED, STARTED):
            return None
        event = decode(value, "event")
        assert isinstance(event.head, Envelope)
        if row.name != DISPATCHED:
            of = event.payload
            return Said(row.name, of["ticket_id"], of.get("attempt"), of.get("started_at", 0))
        if event.payload["allocated_agent_id"] != self._agent_id:
            return None
        return Work(msgspec.convert(event.payload, Dispatch), event.head)

    def _pass_over(self, value: bytes, number: int, unfinished: Callable[[], Iterable[Work]]) -> None:
        event_type = _event_type(value)
        texts = [self._agent_id] if event_type == DISPATCHED else []
        if event_type in ENDINGS:
            texts = [work.dispatch.ticket_id for work in unfinished()]
        if any(avro_string(text) in value for text in texts):
            raise Unreadable(
                f"a newer build wrote {event_type} with schema id {number}, which may be for this worker:"
                " update the worker"
            )
        worker_metrics.passed_over()
        if number not in self._told and len(self._told) < 1_000:
            self._told.add(number)
            log.warning("newer_events_passed_over", event_type=event_type, schema_id=number)


def _event_type(value: bytes) -> str:
    """The name in front of every event's envelope, which no version may move. Raises BadRecord."""
    size = (
        value[FRAME_BYTES] >> 1 if len(value) > FRAME_BYTES else 0
    )  # names are short: their length has one byte
    name = value[FRAME_BYTES + 1 : FRAME_BYTES + 1 + size]
    if not 0 < len(name) == size < 64 or not name.isalnum():
        raise BadRecord("an unknown schema id, and no event type behind it")
    return name.decode("ascii")

"""How attempts at tickets went in the history: when they were given out, and what was heard of them."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import msgspec

from neural_hive.connectors.kafka_log import Record
from neural_hive.schemas.codec import Decoded, decode
from neural_hive.schemas.envelope import Envelope, Header

ENDS = frozenset(
    {
        "TicketCompleted",
        "TicketFailed",
        "TicketTimedOut",
        "TicketCancelled",
        "TicketCompensated",
        "TicketCompensationFailed",
    }
)
Key = tuple[str, int]  # ticket id and attempt


class Heard(msgspec.Struct, frozen=True):
    """One report about an attempt."""

    after_ms: int  # since the attempt was given out
    record: Record
    header: Header
    payload: dict[str, Any]

    @property
    def is_result(self) -> bool:
        """Whether it ends the attempt; else it says that the attempt has begun."""
        return self.header.message_type == "ReportResult"


class Attempt(msgspec.Struct):
    """One attempt, as it went."""

    ticket_id: str
    number: int
    agent_id: str
    task_type: str
    given_at_ms: int
    heard: list[Heard] = []
    end: str = ""  # the event that ended it; empty: none did, up to the history's end
    ended_at_ms: int = 0

    @property
    def result(self) -> Heard | None:
        """How its agent says that it ended; None: it never did."""
        return next((h for h in self.heard if h.is_result and h.payload["agent_id"] == self.agent_id), None)

    @property
    def start(self) -> Heard | None:
        """When its agent says that it began."""
        starts = (h for h in self.heard if not h.is_result)
        return next((h for h in starts if h.payload["agent_id"] == self.agent_id), None)


class Attempts:
    """All of them, by ticket and number; and what the tickets are."""

    def __init__(self, events: Iterable[Record]) -> None:
        """`events`: those of tickets, each partition in its order."""
        self.known: dict[Key, Attempt] = {}
        self.of_ticket: defaultdict[str, list[Attempt]] = defaultdict(list)
        for record in events:
            kind = dict(record.headers).get("event_type")
            if kind == b"TicketDispatched" or (kind and kind.decode() in ENDS):
                self._take(record)

    def _take(self, record: Record) -> None:
        decoded = decode(record.value or b"", "event")
        assert isinstance(decoded.head, Envelope)
        told, kind = decoded.payload, decoded.head.event_type
        if kind == "TicketDispatched":
            about = (told["ticket_id"], told["attempt"], told["allocated_agent_id"], told["task_type"])
            attempt = Attempt(*about, record.timestamp_ms)
            self.known[attempt.ticket_id, attempt.number] = attempt
            self.of_ticket[attempt.ticket_id].append(attempt)
        elif (ended := self.known.get((told["ticket_id"], told["attempt"] or 0))) and not ended.end:
            ended.end, ended.ended_at_ms = kind, record.timestamp_ms

    def hear(self, record: Record, report: Decoded) -> bool:
        """Takes a report; False: it is about no attempt that had been given out by then."""
        told, header = report.payload, report.head
        assert isinstance(header, Header)
        attempt = self.known.get((told["ticket_id"], told["attempt"]))
        if attempt is None or record.timestamp_ms < attempt.given_at_ms:
            return False
        attempt.heard.append(Heard(record.timestamp_ms - attempt.given_at_ms, record, header, told))
        return True

"""What the view of one workflow asks of ClickHouse: as it is, as it was at a moment, and what caused what in it."""

from datetime import datetime
from typing import Any, Final

import msgspec

from neural_hive.api.views import TimelineEvent
from neural_hive.listing.pages import one
from neural_hive.listing.things import WORKFLOWS
from neural_hive.sdk.tables import Reader
from neural_hive.sdk.views import TicketInfo, WorkflowInfo, rows_as, select

TICKETS_MAX: Final = 6_000  # a plan has 5,000 tasks at most
EVENTS_MAX: Final = 2_000
_OWN: Final = (
    "ticket_id IN (SELECT ticket_id FROM tickets_versions "
    "WHERE workflow_id = {id:String} AND event_type = 'TicketCreated')"
)


class Step(TimelineEvent, frozen=True, kw_only=True):
    """An event of the workflow, and when the broker appended it: moments of the slider."""

    timestamp: datetime

    @property
    def place(self) -> str:
        """Where it lies."""
        return f"{self.topic}:{self.partition}:{self.offset}"


class Link(msgspec.Struct, frozen=True):
    """An event or message of the workflow, and what it says caused it."""

    id: str
    type: str
    causation_id: str
    occurred_at: datetime
    place: str = ""


_TRAIL: Final = (
    "SELECT {columns} FROM events WHERE key = {{id:String}} "
    "AND topic IN ('orchestration.workflows', 'execution.tickets', 'orchestration.incidents') "
    "ORDER BY sequence LIMIT {{count:UInt32}}"
).format(columns=", ".join(Step.__struct_fields__))
_MESSAGES: Final = (
    "SELECT message_id, message_type, causation_id, occurred_at, concat(topic, ':', toString(partition), ':', "
    "toString(offset)) FROM messages "
    "WHERE correlation_id = {id:String} OR routing_id = {id:String} ORDER BY occurred_at LIMIT {count:UInt32}"
)


def workflow(reader: Reader, workflow_id: str) -> WorkflowInfo | None:
    """As it stands; None: there is none. Raises ClickHouseError."""
    return one(reader, WORKFLOWS, WorkflowInfo, workflow_id)


def workflow_at(reader: Reader, workflow_id: str, at: datetime) -> WorkflowInfo | None:
    """As it stood; None: there was none. Raises ClickHouseError."""
    sql = select(WorkflowInfo, f"workflows_as_of(at = {_moment(at)})", "WHERE workflow_id = {id:String}")
    found = rows_as(WorkflowInfo, reader.rows(sql, {"id": workflow_id}))
    return found[0] if found else None


def tickets(reader: Reader, workflow_id: str, at: datetime | None = None) -> tuple[TicketInfo, ...]:
    """Its tickets in the order of the plan, as they stand or stood. Raises ClickHouseError."""
    table = "tickets" if at is None else f"tickets_as_of(at = {_moment(at)})"
    sql = select(TicketInfo, table, f"WHERE {_OWN} ORDER BY created_at, task_id LIMIT {TICKETS_MAX}")
    return rows_as(TicketInfo, reader.rows(sql, {"id": workflow_id}))


def trail(reader: Reader, workflow_id: str) -> tuple[Step, ...]:
    """Its events, its tickets' and its incidents', in the order of the log. Raises ClickHouseError."""
    return rows_as(Step, reader.rows(_TRAIL, {"id": workflow_id, "count": EVENTS_MAX}))


def links(reader: Reader, workflow_id: str, steps: tuple[Step, ...]) -> tuple[Link, ...]:
    """What caused what: its events and the messages of it. Raises ClickHouseError."""
    messages = rows_as(Link, reader.rows(_MESSAGES, {"id": workflow_id, "count": EVENTS_MAX}))
    events = (Link(s.event_id, s.event_type, s.causation_id, s.occurred_at, s.place) for s in steps)
    return (*messages, *events)


def tree(found: tuple[Link, ...]) -> list[dict[str, Any]]:
    """The links as nodes of a tree: what caused nothing of this stands at the top, the earliest first.

    Each says how long after its cause it came.
    """
    at = {link.id: link.occurred_at.timestamp() for link in found}
    nodes: dict[str, dict[str, Any]] = {}
    tops: list[dict[str, Any]] = []
    for link in sorted(found, key=lambda known: known.occurred_at):
        if link.id not in nodes:  # the same message may have come twice
            after = at[link.id] - at[link.causation_id] if link.causation_id in at else None
            late = "" if after is None else f"  +{after * 1_000:,.0f} ms"
            nodes[link.id] = {"id": link.id, "label": f"{link.type}{late}  {link.place}", "children": []}
    for link in sorted(found, key=lambda known: known.occurred_at):
        node, cause = nodes.get(link.id), nodes.get(link.causation_id)
        if node is None or node.get("placed"):
            continue
        node["placed"] = True
        (tops if cause is None or cause is node or _is_below(node, cause) else cause["children"]).append(node)
    return tops


def _is_below(node: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether `other` already hangs below `node`: a circle of causes is damage, and must not end in one here."""
    waiting = list(node["children"])
    while waiting:
        child = waiting.pop()
        if child is other:
            return True
        waiting += child["children"]
    return False


def _moment(at: datetime) -> str:
    return f"'{at.strftime('%Y-%m-%d %H:%M:%S.%f')[:-3]}'"

"""What must hold of orchestrator and registry together, whatever happened to them.

Every workflow that was accepted has ended, and its tickets with it; no attempt was given out twice; no agent held more
than it could; and what one system said to the other was heard once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from neural_hive.aggregates import tally
from neural_hive.aggregates.slot import SLOT, TRIED, held_key, waiting_key
from neural_hive.aggregates.ticket import TICKET, UNFINISHED
from neural_hive.aggregates.workflow import OPEN, WORKFLOW, Status, Workflow
from neural_hive.schemas.topics import partition_of
from neural_hive.streams.kernel.fold import Fold
from neural_hive.streams.kernel.state import counter_key, row_key
from neural_hive.streams.registry.messages import ANSWERS, COMMANDS
from tests.simulation.history import History, Written

if TYPE_CHECKING:
    from tests.simulation.world import World

ENDS = ("WorkflowCompleted", "WorkflowFailed", "WorkflowCancelled")
UNDONE_BY_NOBODY = "TicketCompensationFailed"  # also if no agent took it in time
ATTEMPT_ENDS = (
    "TicketCompleted",
    "TicketFailed",
    "TicketTimedOut",
    "TicketCancelled",
    "TicketCompensated",
    UNDONE_BY_NOBODY,
)
REFUSALS = ("BadRecord", "UnknownSchema", "Rejected")
Claim = tuple[str, str, int, int]  # agent, ticket, attempt, allocation


def is_open(world: World, workflow_id: str) -> bool:
    """Whether a workflow that was published has not ended yet, as its owner sees it."""
    workflow = _workflow(world, workflow_id)
    return workflow is not None and workflow.status in (*OPEN, Status.COMPENSATING)


def is_held(world: World, workflow_id: str) -> bool:
    """Whether a workflow's deadline has passed in a pause, so that only a person can end it."""
    workflow = _workflow(world, workflow_id)
    return workflow is not None and workflow.status is Status.PAUSED and workflow.overdue != ""


def _workflow(world: World, workflow_id: str) -> Workflow | None:
    found: Workflow | None = _state(_fold(world, "orchestrator", workflow_id), WORKFLOW, workflow_id)
    return found


def check(world: World, history: History) -> None:
    """Raises AssertionError."""
    _check_letters(history)
    _check_plans(history)
    _check_workflows(world, history)
    _check_dispatches(history)
    _check_attempts(history)
    _check_results(world, history)
    _check_slots(world, history)
    _check_talk(history)


def _fold(world: World, system: str, routing_id: str) -> Fold:
    seat = (system, partition_of(routing_id.encode(), 2))
    return world.owner(seat).partitions[seat].fold


def _state(fold: Fold, aggregate: Any, aggregate_id: str) -> Any:
    row = fold.row(aggregate, row_key(aggregate.name, aggregate_id))
    return row.state if row is not None else None


def _of(history: History, *kinds: str) -> Iterator[Written]:
    return (written for written in history.events if written.kind in kinds)


def _check_letters(history: History) -> None:
    """Only what came from outside is refused, and no handler breaks."""
    broken = [letter for letter in history.letters if letter.error_type not in REFUSALS]
    assert not broken, f"a handler failed: {broken[0]}"
    inside = [
        letter for letter in history.letters if letter.message_id and letter.message_id[:8] != "message-"
    ]
    assert not inside, f"one system refuses what the other says: {inside[0]}"


def _check_plans(history: History) -> None:
    """Every plan is accepted or rejected, or refused as another one under a known id."""
    known = {w.envelope.aggregate_id for w in _of(history, "WorkflowStarted", "PlanRejected")}
    for message in history.messages("plans.consensus", "DecisionConsolidated"):
        assert message.header.routing_id in known, f"plan {message.header.routing_id} was lost"


def _check_workflows(world: World, history: History) -> None:
    """Each has ended once, soundly, and nothing of it is left to be done."""
    ends = Counter(w.envelope.aggregate_id for w in _of(history, *ENDS))
    started = {w.envelope.aggregate_id: w.payload for w in _of(history, "WorkflowStarted")}
    assert ends == Counter(list(started)), f"started {sorted(started)}, ended {ends}"
    for written in _of(history, "IntegrityChecked"):
        assert written.payload["sound"], f"unsound: {written.payload['findings']}"
    tickets: dict[str, list[str]] = defaultdict(list)
    for written in _of(history, "TicketCreated"):
        tickets[written.payload["workflow_id"]].append(written.envelope.aggregate_id)
    for workflow_id, payload in started.items():
        assert len(tickets[workflow_id]) == payload["task_count"], f"{workflow_id} lacks tickets"
        fold = _fold(world, "orchestrator", workflow_id)
        for ticket_id in tickets[workflow_id]:
            ticket = _state(fold, TICKET, ticket_id)
            assert ticket.status not in UNFINISHED, f"{ticket_id} is {ticket.status} at the end"
            assert ticket.slot is None, f"{ticket_id} has {ticket.slot} at the end"
        for counter in (tally.queued(workflow_id), tally.unfinished(workflow_id)):
            assert fold.count(counter_key(counter)) == 0, f"{counter} is not 0 at the end"
        assert not fold.first(tally.ready_queue(workflow_id), 1), f"{workflow_id}: a ticket still waits"


def _check_dispatches(history: History) -> None:
    """No attempt is given out twice, none without a slot, none before what it needs; AT_MOST_ONCE means it."""
    granted = {
        (message.payload["agent_id"], ref["ticket_id"], ref["attempt"])
        for message in history.messages(ANSWERS, "SlotsGranted")
        for ref in message.payload["slots"]
    }
    needs = {w.payload["ticket_id"]: w.payload["dependencies"] for w in _of(history, "TicketCreated")}
    attempts: set[tuple[str, int]] = set()
    done: set[str] = set()
    for written in _of(history, "TicketCompleted", "TicketDispatched"):
        told = written.payload
        ticket_id = told["ticket_id"]
        if written.kind == "TicketCompleted":
            done.add(ticket_id)
            continue
        attempt = (ticket_id, told["attempt"])
        assert attempt not in attempts, f"{attempt} was given out twice"
        assert (told["allocated_agent_id"], *attempt) in granted, f"{attempt} was given out without a slot"
        if not told["compensates"]:
            assert told["delivery_mode"] != "AT_MOST_ONCE" or told["attempt"] == 1, f"{attempt}: AT_MOST_ONCE"
            assert done.issuperset(needs[ticket_id]), f"{ticket_id} was given out before what it needs"
        attempts.add(attempt)


def _check_attempts(history: History) -> None:
    """An attempt ends once, at the agent that it was given to, and before the next one begins."""
    working: dict[str, tuple[int, str]] = {}  # ticket → attempt and agent
    for written in _of(history, "TicketDispatched", *ATTEMPT_ENDS):
        told = written.payload
        ticket_id = told["ticket_id"]
        if written.kind == "TicketDispatched":
            assert ticket_id not in working, f"two attempts at once: {told}"
            working[ticket_id] = told["attempt"], told["allocated_agent_id"]
        elif told["agent_id"] and (ticket_id in working or written.kind != UNDONE_BY_NOBODY):
            by = told["attempt"], told["agent_id"]
            assert working.pop(ticket_id, None) == by, f"{written.kind} of nobody's attempt: {told}"
    assert not working, f"attempts that never ended: {working}"


def _check_results(world: World, history: History) -> None:
    """The first report that can be true ends its attempt, unless something else ended it before."""
    given = {
        (w.payload["ticket_id"], w.payload["attempt"], w.payload["allocated_agent_id"])
        for w in _of(history, "TicketDispatched")
    }
    causes = {written.envelope.causation_id for written in history.events}
    first: dict[tuple[str, int], Any] = {}
    for message in history.messages("execution.results", "ReportResult"):
        told = message.payload
        is_right = partition_of(message.header.routing_id.encode(), 2) == message.place[1]
        if is_right and (told["ticket_id"], told["attempt"], told["agent_id"]) in given:
            first.setdefault((told["ticket_id"], told["attempt"]), message)
    for written in _of(history, "TicketCompleted", "TicketFailed", "TicketTimedOut", "TicketCompensated"):
        report = first.get((written.payload["ticket_id"], written.payload["attempt"]))
        if report is None or report.header.message_id in causes:
            continue
        head = written.envelope
        if head.source_topic == "execution.results":
            assert head.source_offset < report.offset, f"{report} was lost"
        elif not head.source_topic and not world.broker_was_set_back:
            assert head.occurred_at <= report.at, f"{report} was lost"


def _check_slots(world: World, history: History) -> None:
    """At no point of the log are more slots held than the agent has; at its end none is."""
    for (system, _), events in history.by_seat.items():
        if system == "registry":
            _check_held(events)
    for written in _of(history, "AgentRegistered"):
        agent_id = written.payload["agent_id"]
        for counter in (held_key(agent_id), waiting_key(agent_id)):
            left = _fold(world, "registry", agent_id).count(counter_key(counter))
            assert left == 0, f"{counter} is {left} at the end"
        for number in range(2):
            fold = world.owner(("orchestrator", number)).partitions["orchestrator", number].fold
            asked = fold.count(counter_key(tally.outstanding(agent_id)))
            assert asked == 0, f"partition {number} still claims {asked} slots of {agent_id}"


def _check_held(events: list[Written]) -> None:
    capacity: dict[str, int] = {}
    held: dict[str, set[str]] = defaultdict(set)
    for written in events:
        told, slot_id = written.payload, written.envelope.aggregate_id
        if written.kind == "AgentRegistered":
            capacity[told["agent_id"]] = told["capacity"]
        elif written.kind == "SlotGranted":
            held[told["agent_id"]].add(slot_id)
            count = len(held[told["agent_id"]])
            assert count == told["held"] <= capacity[told["agent_id"]], f"{count} slots held: {told}"
        elif written.envelope.aggregate_type == SLOT.name:
            held[told["agent_id"]].discard(slot_id)


def check_turns(history: History, limit: int) -> None:
    """At no point of a partition's log do more workflows go on than may. Raises AssertionError."""
    for (system, _), events in history.by_seat.items():
        active: set[str] = set()
        for written in events if system == "orchestrator" else ():
            workflow_id = written.envelope.aggregate_id
            if written.kind == "WorkflowQueued":
                active.discard(workflow_id)
            assert not limit or len(active) <= limit, f"{len(active)} workflows go on: {sorted(active)}"
            if written.kind in ("WorkflowStarted", "WorkflowAdmitted"):
                active.add(workflow_id)
            elif written.kind in ENDS:
                active.discard(workflow_id)


def _check_talk(history: History) -> None:
    """Each claim was asked for once, each request answered once, each claim given back at most once, or denied."""
    asked = Counter(_claims(history, COMMANDS, "ReserveSlots", "requests"))
    given_back = Counter(_claims(history, COMMANDS, "ReleaseSlots", "releases"))
    granted = Counter(_claims(history, ANSWERS, "SlotsGranted", "slots"))
    denied = Counter(_claims(history, ANSWERS, "SlotsDenied", "slots"))
    assert asked == Counter(map(_claim, _of(history, "TicketAllocated"))), "claims and requests differ"
    reserving = {message.header.message_id for message in history.messages(COMMANDS, "ReserveSlots")}
    heard = Counter(
        _claim(w)
        for w in _of(history, "SlotRequested", "SlotGranted", "SlotDenied")
        if w.envelope.source_topic == COMMANDS and w.envelope.causation_id in reserving
    )
    assert heard == asked, f"requests were lost or doubled: {asked - heard} {heard - asked}"
    assert granted == Counter(map(_claim, _of(history, "SlotGranted"))), "grants and their messages differ"
    assert denied == Counter(map(_claim, _of(history, "SlotDenied"))), "denials and their messages differ"
    for name, answers in (("given back", given_back), ("granted", granted), ("denied", denied)):
        assert not [claim for claim, count in answers.items() if count > 1], f"{name} twice"
        assert answers.keys() <= asked.keys(), f"{name}, and never asked for"
    open_claims = asked.keys() - given_back.keys() - denied.keys()
    assert not open_claims, f"nobody gave back {sorted(open_claims)[:3]}"
    tried = [w for w in _of(history, "SlotReturned") if w.payload["domain"] and w.payload["outcome"] in TRIED]
    assert len(tried) == sum(1 for _ in _of(history, "TrailReinforced")), "outcomes and trails differ"


def _claim(written: Written) -> Claim:
    told = written.payload
    return told["agent_id"], told["ticket_id"], told["attempt"], told["allocation"]


def _claims(history: History, topic: str, kind: str, field: str) -> Iterator[Claim]:
    for message in history.messages(topic, kind):
        for ref in message.payload[field]:
            yield message.payload["agent_id"], ref["ticket_id"], ref["attempt"], ref["allocation"]

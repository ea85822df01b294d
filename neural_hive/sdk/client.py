"""A program's way to the hive: publish plans and commands, and read what became of them.

with HiveClient() as hive:
    token = hive.publish_plan("plan.yaml")
    assert hive.wait(token).is_accepted
    workflow = hive.wait_for_end(token.routing_id)
"""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeVar

import msgspec

from neural_hive.aggregates.decision import DecisionConsolidated
from neural_hive.aggregates.metric_window import MetricWindow
from neural_hive.aggregates.vocabulary import Priority, TaskType
from neural_hive.connectors.personal import Personal, Shown
from neural_hive.discovery import Found, Wanted, discover
from neural_hive.flow_c import FlowCStatus, flow_c_status
from neural_hive.plans import plan_from, read_plan
from neural_hive.sdk.log_places import LogPlaces
from neural_hive.sdk.outcome import Answers, NoAnswerYet, Outcome
from neural_hive.sdk.sender import Command, Sender, Token
from neural_hive.sdk.tables import Tables
from neural_hive.sdk.views import (
    PAGE_MAX,
    STEPS_MAX,
    AgentInfo,
    Flow,
    FlowStep,
    Page,
    TicketInfo,
    WorkflowInfo,
    cursor,
    flow_of,
    place_of,
    rows_as,
    select,
)
from neural_hive.sdk.windows import checked
from neural_hive.settings import Settings, load_settings
from neural_hive.streams.operations.messages import RedriveDeadLetter
from neural_hive.streams.orchestrator.messages import (
    AdjustQos,
    CancelWorkflow,
    CompleteTicket,
    PauseWorkflow,
    ResumeWorkflow,
    RetryTicket,
)

ANSWER_TIMEOUT_S: Final = 60.0
AGENTS_MAX: Final = 10_000
T = TypeVar("T", bound=msgspec.Struct)
_LOOK_EVERY_S: Final = 0.25
_FILTERS: Final = ("plan_id", "workflow_id", "status", "priority", "agent_id", "task_type")


class HiveClient:
    """Connections to Kafka and ClickHouse, opened when first used; may be used from many threads.

    Reading methods take `after`, a token: what they give then holds the answer to that message. They raise
    ClickHouseAway, ClickHouseError, NoAnswerYet; publishing ones raise Unreachable, TooLarge, BadRecord,
    SubjectKeysUnusable: who asks is encrypted. All raise
    CircuitOpen: who is asked has failed repeatedly, and is left alone for a while.
    """

    def __init__(self, settings: Settings | None = None, timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        """Without `settings`, the system that runs on the data folder is taken, or what the environment names.

        `timeout_s`: how long an answer is waited for, unless a call says so. Raises BadSettings.
        """
        self._settings = settings or load_settings()
        self._timeout_s = timeout_s
        self._personal = Personal.of(self._settings)
        kafka = self._settings.kafka_config()
        self._sender = Sender(kafka, "neural-hive client", personal=self._personal)
        self._tables = Tables(self._settings)
        self._log = LogPlaces(kafka)
        self._answers = Answers(self._log, self._settings, self._tables)

    def publish_plan(self, plan: Path | str | Mapping[str, Any] | DecisionConsolidated) -> Token:
        """Publishes a plan: a file, its content, or a decision. The token's `routing_id` is the workflow's id.

        Raises BadPlan: the orchestrator would refuse it.
        """
        if isinstance(plan, DecisionConsolidated):
            return self._sender.plan(plan)
        return self._sender.plan(plan_from(plan) if isinstance(plan, Mapping) else read_plan(Path(plan)))

    def publish_window(self, window: MetricWindow) -> Token:
        """Publishes what a service's metric has counted in a time; the same window again counts once.

        Raises BadWindows: it would be refused.
        """
        return self.publish_windows([window])[0]

    def publish_windows(self, windows: Iterable[MetricWindow]) -> list[Token]:
        """Publishes metric windows, up to 10,000 at once. If not all were delivered, publish all of them again.

        Raises BadWindows: some would be refused; then none was published.
        """
        return self._sender.windows(checked(list(windows)))

    def publish_command(self, command: Command) -> Token:
        """Publishes what somebody wants of a workflow."""
        return self._sender.command(command)

    def cancel(self, workflow_id: str, reason: str, requested_by: str = "") -> Token:
        """Stops a workflow: all that has not ended is cancelled."""
        return self._sender.command(CancelWorkflow(workflow_id, reason, requested_by))

    def pause(self, workflow_id: str, reason: str, requested_by: str = "") -> Token:
        """Gives nothing more of a workflow to agents; what runs goes on."""
        return self._sender.command(PauseWorkflow(workflow_id, reason, requested_by))

    def resume(self, workflow_id: str, reason: str, requested_by: str = "") -> Token:
        """Lets a paused workflow go on."""
        return self._sender.command(ResumeWorkflow(workflow_id, reason, requested_by))

    def adjust_qos(
        self,
        workflow_id: str,
        reason: str,
        priority: Priority | str = Priority.UNKNOWN,
        deadline_ms: int = 0,
        requested_by: str = "",
    ) -> Token:
        """Changes priority (UNKNOWN: not) or deadline (ms from the plan's acceptance; 0: not) of a workflow."""
        wanted = AdjustQos(workflow_id, reason, Priority(priority), deadline_ms, requested_by)
        return self._sender.command(wanted)

    def retry_ticket(self, workflow_id: str, ticket_id: str, reason: str, requested_by: str = "") -> Token:
        """Tries a ticket again, now."""
        return self._sender.command(RetryTicket(workflow_id, ticket_id, reason, requested_by))

    def complete_ticket(
        self,
        workflow_id: str,
        ticket_id: str,
        reason: str,
        outputs: Mapping[str, str] | None = None,
        requested_by: str = "",
    ) -> Token:
        """Says that the work of a ticket that an agent has was done elsewhere."""
        done = CompleteTicket(workflow_id, ticket_id, reason, dict(outputs or {}), requested_by)
        return self._sender.command(done)

    def redrive(self, dead_letter: str, reason: str, requested_by: str, again: bool = False) -> Token:
        """Writes the record of a dead letter, named by its place, into its topic; `again`: also if it was before."""
        return self._sender.redrive(RedriveDeadLetter(dead_letter, reason, requested_by, again))

    def revealed(self, found: T) -> T:
        """What reading gave, with persons in the clear; `erased` where a key is destroyed, shortened where it is not
        here. Raises SubjectKeysUnusable.
        """
        return self._personal.shown_in(found, Shown.CLEAR)

    def wait(self, token: Token, timeout_s: float | None = None) -> Outcome:
        """What became of a message, once the tables hold it; what is read from then on has seen it."""
        return self._answers.wait(token, self._timeout_s if timeout_s is None else timeout_s)

    def wait_for_end(self, workflow_id: str, timeout_s: float | None = None) -> WorkflowInfo:
        """The workflow, once it has ended, well or not; and what is read of its tickets from then on is final."""
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        until = time.monotonic() + limit_s
        while True:
            found = self.get_workflow(workflow_id)
            if found is not None and found.has_ended:
                self._answers.settle(workflow_id, max(until - time.monotonic(), _LOOK_EVERY_S))
                return self.get_workflow(workflow_id) or found
            if time.monotonic() + _LOOK_EVERY_S > until:
                standing = found.status if found else "not known yet"
                raise NoAnswerYet(f"workflow {workflow_id} is {standing} after {limit_s:g} s")
            time.sleep(_LOOK_EVERY_S)

    def get_workflow(self, workflow_id: str, after: Token | None = None) -> WorkflowInfo | None:
        """A workflow as it stands; None if there is none."""
        return self._one(WorkflowInfo, "workflows", "workflow_id", workflow_id, after)

    def get_ticket(self, ticket_id: str, after: Token | None = None) -> TicketInfo | None:
        """A ticket as it stands; None if there is none."""
        return self._one(TicketInfo, "tickets", "ticket_id", ticket_id, after)

    def list_tickets(
        self, *, limit: int = 100, start: str = "", after: Token | None = None, **filters: str
    ) -> Page[TicketInfo]:
        """Tickets in the order of their creation, at most 1,000 at once; `start` is `next` of the page before.

        Filters, of which all must hold: plan_id, intent_id, workflow_id, status, priority, agent_id, task_type.
        """
        self._see(after)
        conditions, params = _filtered(filters)
        if start:
            conditions.append(
                "(created_at, ticket_id) > (toDateTime64({at:String}, 6, 'UTC'), {after:String})"
            )
            params["at"], params["after"] = place_of(start)
        limit = max(1, min(limit, PAGE_MAX))
        rest = f"WHERE {' AND '.join(conditions)} ORDER BY created_at, ticket_id LIMIT {limit + 1}"
        found = rows_as(TicketInfo, self._tables.rows(select(TicketInfo, "tickets", rest), params))
        if len(found) <= limit:
            return Page(found)
        last = found[limit - 1]
        assert last.created_at is not None
        return Page(found[:limit], cursor(last.created_at, last.ticket_id))

    def list_agents(self, gone: bool = False) -> tuple[AgentInfo, ...]:
        """The agents that are known, by id; with `gone` those too that have left or were removed."""
        known = "1" if gone else "status NOT IN ('REMOVED', 'DEREGISTERED')"
        rest = f"WHERE {known} ORDER BY agent_id LIMIT {AGENTS_MAX}"
        return rows_as(AgentInfo, self._tables.rows(select(AgentInfo, "agents", rest)))

    def discover(
        self,
        capabilities: Iterable[str] = (),
        task_type: TaskType | str | None = None,
        count: int = 10,
        domain: str = "",
    ) -> tuple[Found, ...]:
        """The best `count` agents that are healthy and have all capabilities, best first, with their scores and loads.

        `domain`: of the trails that count, else the task type's name. Raises ValueError: no such task type.
        """
        kind = None if task_type is None else TaskType(task_type)
        return discover(self._tables, Wanted(tuple(capabilities), kind, domain, count))

    def get_flow(self, workflow_id: str, after: Token | None = None) -> Flow | None:
        """A plan's whole way: its context, the steps that were measured so far, the result once it has ended."""
        found = self.get_workflow(workflow_id, after)
        if found is None:
            return None
        rest = f"WHERE workflow_id = {{wanted:String}} ORDER BY at, step LIMIT {STEPS_MAX}"
        rows = self._tables.rows(select(FlowStep, "telemetry", rest), {"wanted": workflow_id})
        return flow_of(found, rows_as(FlowStep, rows))

    def flow_c_status(self, hours: float = 0) -> FlowCStatus:
        """How all plans do: rates, times, objectives; of ended ones those of the last hours, 0 for all."""
        return flow_c_status(self._tables, hours)

    def close(self) -> None:
        """Lets the servers go."""
        self._log.close()
        self._tables.close()

    def __enter__(self) -> "HiveClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _one(self, kind: type[T], table: str, key: str, wanted: str, after: Token | None) -> T | None:
        self._see(after)
        rest = f"WHERE {key} = {{wanted:String}} LIMIT 1"
        found = rows_as(kind, self._tables.rows(select(kind, table, rest), {"wanted": wanted}))
        return found[0] if found else None

    def _see(self, after: Token | None) -> None:
        if after is not None:
            self.wait(after)


def _filtered(filters: Mapping[str, str]) -> tuple[list[str], dict[str, Any]]:
    """Conditions and parameters. Raises TypeError: there is no such filter."""
    conditions, params = ["1"], {}
    for name, value in filters.items():
        if name == "intent_id":
            conditions.append(
                "workflow_id IN (SELECT workflow_id FROM workflows WHERE intent_id = {intent_id:String})"
            )
        elif name in _FILTERS:
            conditions.append(f"{name} = {{{name}:String}}")
        else:
            raise TypeError(
                f"tickets cannot be asked for by {name!r}; but by: intent_id, {', '.join(_FILTERS)}"
            )
        params[name] = str(value)
    return conditions, params

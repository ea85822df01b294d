"""Two outcomes side by side: which workflows and tickets ended otherwise, took other times, were decided otherwise."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from neural_hive.replay.rerun.difference import Difference, compared
from neural_hive.replay.rerun.outcome import Outcome, Step, TicketOutcome, Totals, WorkflowOutcome, totals

_OF_TICKETS: Final = ("status", "attempts", "agent_id", "waited_ms", "ran_ms")
_OF_WORKFLOWS: Final = ("status", "duration_ms", "incidents")


class Changed(msgspec.Struct, frozen=True):
    """A workflow or ticket that is not the same on both sides."""

    workflow_id: str
    ticket_id: str  # empty: it is the workflow
    name: str  # of its plan or task
    fields: tuple[Difference, ...]  # empty: only what led to it differs
    left: Step | None  # the first step that differs; None: there is none
    right: Step | None


class Comparison(msgspec.Struct, frozen=True):
    """All that differs. Empty where the left and the right are one."""

    workflows: tuple[Changed, ...]
    tickets: tuple[Changed, ...]
    left: Totals
    right: Totals

    @property
    def is_empty(self) -> bool:
        """Whether nothing differs, in any event."""
        return not (self.workflows or self.tickets)


def compare(left: Outcome, right: Outcome) -> Comparison:
    """Every workflow and ticket that either side knows."""
    workflows = _changed(left.workflows, right.workflows, _OF_WORKFLOWS)
    tickets = _changed(left.tickets, right.tickets, _OF_TICKETS)
    return Comparison(tuple(workflows), tuple(tickets), totals(left), totals(right))


Either = WorkflowOutcome | TicketOutcome


def _changed(left: Mapping[str, Any], right: Mapping[str, Any], names: Sequence[str]) -> Iterator[Changed]:
    for key in sorted(left.keys() | right.keys()):
        one, other = left.get(key), right.get(key)
        steps = _first_difference(one.steps if one else [], other.steps if other else [])
        fields = compared(_fields(one, names), _fields(other, names))
        if fields or steps:
            yield Changed(*_about(one or other), tuple(fields), *(steps or (None, None)))


def _fields(outcome: Either | None, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(outcome, name) for name in names} if outcome is not None else {}


def _about(outcome: Any) -> tuple[str, str, str]:
    if isinstance(outcome, TicketOutcome):
        return outcome.workflow_id, outcome.ticket_id, outcome.task_id
    return outcome.workflow_id, "", outcome.plan_id


def _first_difference(left: list[Step], right: list[Step]) -> tuple[Step | None, Step | None] | None:
    for one, other in zip(left, right, strict=False):
        if one.digest != other.digest:
            return one, other
    if len(left) == len(right):
        return None
    at = min(len(left), len(right))
    return (left[at] if at < len(left) else None), (right[at] if at < len(right) else None)

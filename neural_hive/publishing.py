"""Publishes a decision and follows it to its end. The exit codes of the commands that do."""

import time
from collections.abc import Callable
from enum import IntEnum
from typing import Any, Final

import msgspec

from neural_hive.aggregates.decision import DecisionConsolidated
from neural_hive.connectors.personal import Personal
from neural_hive.following import Follower
from neural_hive.sdk.sender import COMMAND_TYPES, Sender
from neural_hive.streams.kernel.reading import Fetch
from neural_hive.workflow_view import WorkflowView

_SHOW_EVERY_S: Final = 0.1


class ExitCode(IntEnum):
    """How a command that publishes ends."""

    COMPLETED = 0
    FAILED = 1  # the workflow failed, was cancelled, or the plan was rejected
    BAD_PLAN = 2
    NO_ANSWER = 3  # Kafka is unreachable, or the time was over


def publish_command(
    kafka: dict[str, Any], message_type: str, payload: dict[str, Any], personal: Personal | None = None
) -> str:
    """Publishes what somebody wants of a workflow, by the name of its type; the message's id.

    Raises Unreachable, TooLarge, BadRecord, SubjectKeysUnusable.
    """
    return (
        Sender(kafka, personal=personal)
        .command(msgspec.convert(payload, COMMAND_TYPES[message_type]))
        .message_id
    )


def publish_and_follow(
    kafka: dict[str, Any],
    decision: DecisionConsolidated,
    timeout_s: float,
    show: Callable[[WorkflowView], None],
    fetch: Fetch | None = None,
    personal: Personal | None = None,
) -> WorkflowView:
    """Publishes a decision and follows it to its end, or until the time is over (then it `is_over` not).

    `show` is called whenever something has changed; `fetch` finds the schemas of a newer build. Raises Unreachable,
    TooLarge, BadRecord, SubjectKeysUnusable, RegistryAway.
    """
    view = WorkflowView(decision)
    follower = Follower(kafka, decision.decision_id, fetch)
    try:
        Sender(kafka, personal=personal).plan(decision)
        shown_at, changed = 0.0, True
        for record in follower.records(timeout_s):
            if record:
                view.apply(record)
                changed = True
            if changed and (time.monotonic() - shown_at > _SHOW_EVERY_S or view.is_told):
                show(view)
                shown_at, changed = time.monotonic(), False
            if view.is_told:
                break
    finally:
        follower.close()
    return view


def exit_code(view: WorkflowView) -> ExitCode:
    """What the end of a workflow means to a shell."""
    if not view.is_over:
        return ExitCode.NO_ANSWER
    return ExitCode.COMPLETED if view.status == "COMPLETED" else ExitCode.FAILED

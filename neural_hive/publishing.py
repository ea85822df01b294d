"""Publishes a decision, and waits for its end if wanted. The exit codes of the commands that do."""

import time
import uuid
from collections.abc import Callable
from enum import IntEnum
from typing import Any, Final

import msgspec
from confluent_kafka import KafkaException

from neural_hive.aggregates.decision import DecisionConsolidated, content_hash
from neural_hive.aggregates.identity import derived_id
from neural_hive.connectors.publisher import Publisher
from neural_hive.following import Follower, Unreachable, unreachable
from neural_hive.schemas.topics import MESSAGE_BYTES_MAX
from neural_hive.workflow_view import WorkflowView

PLANS: Final = "plans.consensus"
COMMANDS: Final = "orchestration.commands"
_SHOW_EVERY_S: Final = 0.1
_DELIVERY_TIMEOUT_S: Final = 30.0


class ExitCode(IntEnum):
    """How a command that publishes ends."""

    COMPLETED = 0
    FAILED = 1  # the workflow failed, was cancelled, or the plan was rejected
    BAD_PLAN = 2
    NO_ANSWER = 3  # Kafka is unreachable, or the time was over


def publish(kafka: dict[str, Any], decision: DecisionConsolidated) -> None:
    """Publishes a decision; the same one again has the same message id, and is carried out once.

    Raises Unreachable, TooLarge, BadRecord.
    """
    message_id = derived_id(decision.decision_id, content_hash(decision))
    _deliver(kafka, PLANS, ("DecisionConsolidated", message_id, decision.decision_id), _payload(decision))


def publish_command(kafka: dict[str, Any], message_type: str, payload: dict[str, Any]) -> str:
    """Publishes what somebody wants of a workflow; the message's id. Raises as `publish` does."""
    message_id = str(uuid.uuid4())
    _deliver(kafka, COMMANDS, (message_type, message_id, payload["workflow_id"]), payload)
    return message_id


def _deliver(kafka: dict[str, Any], topic: str, about: tuple[str, str, str], payload: dict[str, Any]) -> None:
    """One message, with its type, id and routing id, and Kafka's word that it has it."""
    publisher = Publisher(kafka, "neural-hive publish", give_up_ms=int(_DELIVERY_TIMEOUT_S * 1_000))
    header = publisher.header(*about)
    problems: list[str] = []
    try:
        publisher.partition(topic, header.routing_id, timeout_s=10.0)
    except KafkaException as error:
        raise unreachable(kafka, error) from error
    publisher.publish(topic, header, payload, lambda problem: problems.append(problem) if problem else None)
    if publisher.flush(_DELIVERY_TIMEOUT_S + 5) or problems:
        reason = problems[0] if problems else "no acknowledgement in time"
        raise Unreachable(
            f"{header.message_type} was not delivered: {reason}; the topic takes {MESSAGE_BYTES_MAX:,} bytes"
        )


def publish_and_follow(
    kafka: dict[str, Any],
    decision: DecisionConsolidated,
    timeout_s: float,
    show: Callable[[WorkflowView], None],
) -> WorkflowView:
    """Publishes a decision and follows it to its end, or until the time is over (then it `is_over` not).

    `show` is called whenever something has changed. Raises as `publish` does.
    """
    view = WorkflowView(decision)
    follower = Follower(kafka, decision.decision_id)
    try:
        publish(kafka, decision)
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


def _payload(decision: DecisionConsolidated) -> dict[str, Any]:
    payload: dict[str, Any] = msgspec.to_builtins(decision)
    return payload

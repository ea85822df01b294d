"""`publish command`: what a person wants of a running workflow, as a message in the log."""

from typing import Annotated, Any

import orjson
import typer

from neural_hive.aggregates.vocabulary import Priority
from neural_hive.commands.publish import Config, Data, Json, reachable, refuse

Workflow = Annotated[str, typer.Argument(help="Id of the workflow")]
Ticket = Annotated[str, typer.Argument(help="Id of the ticket")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it stays in the log")]
By = Annotated[str, typer.Option("--by", help="Who asks for it")]
PRIORITIES = [priority.value for priority in Priority if priority is not Priority.UNKNOWN]


def register(publish: typer.Typer) -> None:
    """Adds the commands to `publish`."""
    group = typer.Typer(help="Publish a command to a running workflow.", no_args_is_help=True)
    for name, command in (
        ("pause", pause),
        ("resume", resume),
        ("cancel", cancel),
        ("adjust-qos", adjust_qos),
        ("retry", retry),
        ("complete", complete),
    ):
        group.command(name)(command)
    publish.add_typer(group, name="command")


def pause(
    workflow: Workflow,
    reason: Reason,
    by: By = "",
    json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Give nothing more of a workflow to agents; what runs goes on, and its results count."""
    _send(
        "PauseWorkflow", {"workflow_id": workflow, "reason": reason, "requested_by": by}, json, data, config
    )


def resume(
    workflow: Workflow,
    reason: Reason,
    by: By = "",
    json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Let a paused workflow go on."""
    _send(
        "ResumeWorkflow", {"workflow_id": workflow, "reason": reason, "requested_by": by}, json, data, config
    )


def cancel(
    workflow: Workflow,
    reason: Reason,
    by: By = "",
    json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Stop a workflow: all that has not ended is cancelled."""
    _send(
        "CancelWorkflow", {"workflow_id": workflow, "reason": reason, "requested_by": by}, json, data, config
    )


def adjust_qos(
    workflow: Workflow,
    reason: Reason,
    priority: Annotated[str, typer.Option(help=f"One of {', '.join(PRIORITIES)}; else it stays")] = "",
    deadline_ms: Annotated[int, typer.Option(help="From the plan's acceptance; else it stays", min=0)] = 0,
    by: By = "",
    json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Change priority or deadline of a workflow."""
    if priority and priority not in PRIORITIES:
        refuse([f"--priority {priority}: it must be one of {', '.join(PRIORITIES)}"], 2, json)
    if not priority and not deadline_ms:
        refuse(["nothing to adjust: give --priority, --deadline-ms, or both"], 2, json)
    wanted = {"priority": priority or Priority.UNKNOWN.value, "deadline_ms": deadline_ms}
    payload = {"workflow_id": workflow, **wanted, "reason": reason, "requested_by": by}
    _send("AdjustQos", payload, json, data, config)


def retry(
    workflow: Workflow,
    ticket: Ticket,
    reason: Reason,
    by: By = "",
    json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Try a ticket again, now: one that failed or timed out, or waits for its next attempt."""
    payload = {"workflow_id": workflow, "ticket_id": ticket, "reason": reason, "requested_by": by}
    _send("RetryTicket", payload, json, data, config)


def complete(
    workflow: Workflow,
    ticket: Ticket,
    reason: Reason,
    output: Annotated[list[str] | None, typer.Option(help="name=value; may be given many times")] = None,
    by: By = "",
    json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Say that the work of a ticket that an agent has was done elsewhere."""
    wrong = [pair for pair in output or () if not pair.partition("=")[0] or "=" not in pair]
    if wrong:
        refuse([f"--output {pair}: it must be name=value" for pair in wrong], 2, json)
    outputs = {name: value for name, _, value in (pair.partition("=") for pair in output or ())}
    payload = {"workflow_id": workflow, "ticket_id": ticket, "outputs": outputs}
    _send("CompleteTicket", {**payload, "reason": reason, "requested_by": by}, json, data, config)


def _send(message_type: str, payload: dict[str, Any], json: bool, data: Data, config: Config) -> None:
    from neural_hive.connectors.publisher import TooLarge
    from neural_hive.following import Unreachable
    from neural_hive.publishing import ExitCode, publish_command
    from neural_hive.schemas.codec import BadRecord

    try:
        message_id = publish_command(reachable(data, config, json), message_type, payload)
    except (TooLarge, BadRecord) as error:
        refuse([str(error)], ExitCode.BAD_PLAN, json)
    except Unreachable as error:
        refuse([str(error)], ExitCode.NO_ANSWER, json)
    if json:
        typer.echo(orjson.dumps({"message_id": message_id, "status": "PUBLISHED"}))
    else:
        typer.echo(message_id)

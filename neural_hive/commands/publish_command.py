"""`publish command`: what a person wants of a running workflow, as a message in the log."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import orjson
import typer

from neural_hive.aggregates.vocabulary import Priority
from neural_hive.commands.publish import Config, Data, Json, reachable, refuse
from neural_hive.quiet import logs_to_stderr
from neural_hive.streams.orchestrator import messages

if TYPE_CHECKING:
    from neural_hive.sdk.outcome import Outcome

Workflow = Annotated[str, typer.Argument(help="Id of the workflow")]
Ticket = Annotated[str, typer.Argument(help="Id of the ticket")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it stays in the log")]
By = Annotated[str, typer.Option("--by", help="Who asks for it")]
Command = (
    messages.PauseWorkflow
    | messages.ResumeWorkflow
    | messages.CancelWorkflow
    | messages.AdjustQos
    | messages.RetryTicket
    | messages.CompleteTicket
)
PRIORITIES: Final = [priority.value for priority in Priority if priority is not Priority.UNKNOWN]


class _Unfit(ValueError):
    """Options that make no sense together or hold no known value."""


def pause(workflow: Workflow, reason: Reason, by: By = "") -> Command:
    """Give nothing more of a workflow to agents; what runs goes on, and its results count."""
    return messages.PauseWorkflow(workflow, reason, by)


def resume(workflow: Workflow, reason: Reason, by: By = "") -> Command:
    """Let a paused workflow go on."""
    return messages.ResumeWorkflow(workflow, reason, by)


def cancel(workflow: Workflow, reason: Reason, by: By = "") -> Command:
    """Stop a workflow: all that has not ended is cancelled."""
    return messages.CancelWorkflow(workflow, reason, by)


def adjust_qos(
    workflow: Workflow,
    reason: Reason,
    priority: Annotated[str, typer.Option(help=f"One of {', '.join(PRIORITIES)}; else it stays")] = "",
    deadline_ms: Annotated[int, typer.Option(help="From the plan's acceptance; else it stays", min=0)] = 0,
    by: By = "",
) -> Command:
    """Change priority or deadline of a workflow."""
    if priority and priority not in PRIORITIES:
        raise _Unfit(f"--priority {priority}: it must be one of {', '.join(PRIORITIES)}")
    if not priority and not deadline_ms:
        raise _Unfit("nothing to adjust: give --priority, --deadline-ms, or both")
    wanted = Priority(priority) if priority else Priority.UNKNOWN
    return messages.AdjustQos(workflow, reason, wanted, deadline_ms, by)


def retry(workflow: Workflow, ticket: Ticket, reason: Reason, by: By = "") -> Command:
    """Try a ticket again, now: one that failed or timed out, or waits for its next attempt."""
    return messages.RetryTicket(workflow, ticket, reason, by)


def complete(
    workflow: Workflow,
    ticket: Ticket,
    reason: Reason,
    output: Annotated[list[str] | None, typer.Option(help="name=value; may be given many times")] = None,
    by: By = "",
) -> Command:
    """Say that the work of a ticket that an agent has was done elsewhere."""
    pairs = [pair.partition("=") for pair in output or ()]
    if wrong := ["".join(pair) for pair in pairs if not pair[0] or not pair[1]]:
        raise _Unfit("\n".join(f"--output {pair}: it must be name=value" for pair in wrong))
    return messages.CompleteTicket(workflow, ticket, reason, {name: value for name, _, value in pairs}, by)


_SIGNALS: Final[dict[str, Callable[..., Command]]] = {
    "pause": pause,
    "resume": resume,
    "cancel": cancel,
    "adjust-qos": adjust_qos,
    "retry": retry,
    "complete": complete,
}


def register(publish: typer.Typer) -> None:
    """Adds the commands to `publish`."""
    group = typer.Typer(help="Publish a command to a running workflow.", no_args_is_help=True)
    for name, signal in _SIGNALS.items():
        group.command(name)(_published(signal))
    publish.add_typer(group, name="command")


class _Common(msgspec.Struct, frozen=True):
    """The options that all signals have."""

    timeout_s: float | None  # None: no answer is waited for
    json: bool
    data: Path | None
    config: Path | None


def _common(
    wait: Annotated[bool, typer.Option("--wait", help="Say what became of it")] = False,
    timeout: Annotated[float, typer.Option(help="Give up waiting after so many seconds", min=0.1)] = 60.0,
    json: Json = False,
    data: Data = None,
    config: Config = None,
) -> _Common:
    return _Common(timeout if wait else None, json, data, config)


def _published(signal: Callable[..., Command]) -> Callable[..., None]:
    """The command that publishes what a signal makes of its options; the common ones stand behind them."""
    common = inspect.signature(_common).parameters
    own = inspect.signature(signal).parameters

    def command(**given: Any) -> None:
        options = _common(**{name: given[name] for name in common})
        try:
            message = signal(**{name: given[name] for name in own})
        except _Unfit as unfit:
            refuse(str(unfit).splitlines(), 2, options.json)
        _publish(message, options)

    command.__doc__ = signal.__doc__
    command.__annotations__ = {**signal.__annotations__, **_common.__annotations__}
    command.__signature__ = inspect.Signature([*own.values(), *common.values()])  # type: ignore[attr-defined]
    return command


def _publish(message: Command, options: _Common) -> None:
    from neural_hive.connectors.clickhouse import ClickHouseError
    from neural_hive.connectors.publisher import TooLarge
    from neural_hive.following import Unreachable
    from neural_hive.publishing import ExitCode
    from neural_hive.schemas.codec import BadRecord
    from neural_hive.sdk.client import HiveClient
    from neural_hive.sdk.outcome import NoAnswerYet
    from neural_hive.tracing import traced

    logs_to_stderr()
    json = options.json
    settings = reachable(options.data, options.config, json)
    try:
        with traced(settings, "publish"), HiveClient(settings) as hive:
            token = hive.publish_command(message)
            outcome = None if options.timeout_s is None else hive.wait(token, options.timeout_s)
    except (TooLarge, BadRecord) as error:
        refuse([str(error)], ExitCode.BAD_PLAN, json)
    except (Unreachable, ClickHouseError, NoAnswerYet) as error:
        refuse([str(error)], ExitCode.NO_ANSWER, json)
    _show(token.message_id, outcome, json)
    if outcome is not None and not outcome.is_accepted:
        raise typer.Exit(ExitCode.FAILED)


def _show(message_id: str, outcome: "Outcome | None", json: bool) -> None:
    if json:
        told = msgspec.to_builtins(outcome) if outcome else {"verdict": "PUBLISHED"}
        typer.echo(orjson.dumps({"message_id": message_id, "status": told.pop("verdict"), **told}))
        return
    typer.echo(message_id)
    if outcome:
        what = ", ".join(event.event_type for event in outcome.events)
        typer.echo(" ".join(part for part in (outcome.verdict.value, what, outcome.reason) if part))
